//! What is wrong with a configuration file, so that it is found at once: `FILE:LINE: KEY: reason`.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use serde_path_to_error::Segment;
use worker_runtime_core::Code;

use crate::{error::CliError, suggest::Suggestion};

/// A configuration file that can't be used.
#[derive(Debug)]
pub(super) struct ConfigError {
    path: PathBuf,
    line: Option<usize>,
    key: String,
    reason: String,
}

/// The line of a place in a text, counted from one.
pub(super) fn line_of(text: &str, span: &Range<usize>) -> usize {
    let before = text.bytes().take(span.start);
    before.filter(|byte| *byte == b'\n').count() + 1
}

impl ConfigError {
    pub(super) fn new(
        path: &Path,
        line: Option<usize>,
        key: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            path: path.to_owned(),
            line,
            key: key.into(),
            reason: reason.into(),
        }
    }

    /// Of a text that is no TOML.
    pub(super) fn of_syntax(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let line = error.span().map(|span| line_of(text, &span));
        Self::new(path, line, "", error.message())
    }

    /// Of a value that is not what its key takes.
    pub(super) fn of_value(
        path: &Path,
        text: &str,
        error: &serde_path_to_error::Error<toml::de::Error>,
    ) -> Self {
        let keys = error.path().iter().filter_map(|segment| match segment {
            // How the library carries a value's place.
            Segment::Map { key } if key.starts_with("$__") => None,
            Segment::Map { key } => Some(key.clone()),
            Segment::Seq { index } => Some(index.to_string()),
            _ => None,
        });
        let line = error.inner().span().map(|span| line_of(text, &span));
        let key = keys.collect::<Vec<_>>().join(".");
        Self::new(path, line, key, error.inner().message())
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        let mut place = error.path.display().to_string();
        if let Some(line) = error.line {
            place = format!("{place}:{line}");
        }
        // One line, whatever the library says.
        let reason = error.reason.lines().collect::<Vec<_>>().join("; ");
        let message = match error.key.is_empty() {
            true => format!("{place}: {reason}"),
            false => format!("{place}: {}: {reason}", error.key),
        };
        let told = Self::new(Code::ConfigInvalid, message);
        match error.line {
            Some(line) => told.hint(Suggestion::line_of(&error.path, line)),
            None => told.hint(Suggestion::directory(&error.path)),
        }
    }
}
