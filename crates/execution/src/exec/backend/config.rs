//! A Worker's own configuration of `exec`: checked when the Worker is made, then kept as it is.
//!
//! What is kept names every default, so that a later default changes no Worker.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use worker_runtime_core::backend::{BackendError, BackendErrorKind};

use super::ExecOptions;

const ARGUMENTS_MAX: usize = 1024;
const ARGUMENT_BYTES_MAX: usize = 128 << 10;
const VARIABLES_MAX: usize = 256;
const VARIABLE_BYTES_MAX: usize = 32 << 10;
const TERM_GRACE_MS_MAX: u64 = 10 * 60 * 1000;
/// Variables of this prefix are told by the Runtime alone.
pub(super) const RESERVED_PREFIX: &str = "WORKER_RUNTIME_";

/// How a command and its Worker talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One process per input.
    #[default]
    Simple,
    /// One long-lived process, JSON lines both ways.
    Lines,
}

/// How a command in simple mode gets its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputWay {
    /// On its standard input.
    #[default]
    Stdin,
    /// As its last argument, which other users of the machine can read.
    Argument,
    /// Not at all: an input only sets it off.
    None,
}

/// Whether the kernel keeps a command to what its Worker may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confine {
    /// Nobody but itself.
    #[default]
    Off,
    /// By Landlock; a run whose command can't be confined fails.
    On,
}

impl Confine {
    fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

/// What a variable is set to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EnvironmentValue {
    /// This text, which is kept with the Worker.
    Plain(String),
    /// What the embedder's resolver gives for this name when the command starts; never kept.
    Secret(SecretName),
}

/// The name of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretName {
    /// It.
    pub secret: String,
}

/// The configuration of a Worker that is a command.
///
/// ```
/// let config: worker_runtime_execution::exec::ExecConfig = serde_json::from_value(serde_json::json!({
///     "argv": ["sh", "-c", "wc -w"],
///     "env": { "TOKEN": { "secret": "service-token" } },
/// }))?;
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecConfig {
    /// The program, and its arguments.
    pub argv: Vec<String>,
    /// How they talk.
    #[serde(default)]
    pub mode: Mode,
    /// How it gets its input, in simple mode; `stdin` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<InputWay>,
    /// Variables of its environment.
    #[serde(default)]
    pub env: BTreeMap<String, EnvironmentValue>,
    /// Variables that it gets as the host has them, by name; an entry of `env` wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_allow: Option<Vec<String>>,
    /// Whether it is confined. Kept only when it is, so that an older program runs every other Worker,
    /// and refuses this one.
    #[serde(default, skip_serializing_if = "Confine::is_off")]
    pub confine: Confine,
    /// How long it may take to end after TERM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term_grace_ms: Option<u64>,
}

impl ExecConfig {
    /// Checks what was sent and fills in what it leaves out.
    ///
    /// # Errors
    /// [`BackendErrorKind::Config`] naming the field.
    pub(super) fn resolve(
        sent: &serde_json::Value,
        options: &ExecOptions,
    ) -> Result<Self, BackendError> {
        let mut config = Self::parse(sent)?;
        config.check()?;
        if config.mode == Mode::Simple {
            config.input.get_or_insert_default();
        }
        config
            .env_allow
            .get_or_insert_with(|| options.env_allow.clone());
        let grace_ms = u64::try_from(options.term_grace.as_millis()).unwrap_or(TERM_GRACE_MS_MAX);
        config.term_grace_ms.get_or_insert(grace_ms);
        Ok(config)
    }

    /// Reads what was resolved before.
    ///
    /// # Errors
    /// [`BackendErrorKind::Config`].
    pub(super) fn parse(value: &serde_json::Value) -> Result<Self, BackendError> {
        serde_json::from_value(value.clone()).map_err(|error| config_error(error.to_string()))
    }

    pub(super) fn term_grace(&self, options: &ExecOptions) -> Duration {
        self.term_grace_ms
            .map_or(options.term_grace, Duration::from_millis)
    }

    fn check(&self) -> Result<(), BackendError> {
        self.check_arguments()?;
        if self.mode == Mode::Lines && self.input.is_some() {
            return Err(field("input", "only mode `simple` has it"));
        }
        if self.env.len() > VARIABLES_MAX {
            return Err(field("env", format!("more than {VARIABLES_MAX} variables")));
        }
        for (name, value) in &self.env {
            let place = format!("env.{name}");
            check_name(&place, name)?;
            match value {
                EnvironmentValue::Plain(text) => check_text(&place, text, VARIABLE_BYTES_MAX)?,
                EnvironmentValue::Secret(secret) if secret.secret.is_empty() => {
                    return Err(field(&place, "the secret has no name"));
                }
                EnvironmentValue::Secret(_) => {}
            }
        }
        let allowed = self.env_allow.as_deref().unwrap_or_default();
        if allowed.len() > VARIABLES_MAX {
            return Err(field("env_allow", format!("more than {VARIABLES_MAX}")));
        }
        for name in allowed {
            check_name("env_allow", name)?;
        }
        match self.term_grace_ms {
            Some(ms) if ms > TERM_GRACE_MS_MAX => Err(field(
                "term_grace_ms",
                format!("{ms} is more than {TERM_GRACE_MS_MAX}"),
            )),
            _ => Ok(()),
        }
    }

    fn check_arguments(&self) -> Result<(), BackendError> {
        if self.argv.first().is_none_or(String::is_empty) {
            return Err(field("argv", "it names no program"));
        }
        if self.argv.len() > ARGUMENTS_MAX {
            return Err(field(
                "argv",
                format!("more than {ARGUMENTS_MAX} arguments"),
            ));
        }
        for (index, argument) in self.argv.iter().enumerate() {
            check_text(&format!("argv[{index}]"), argument, ARGUMENT_BYTES_MAX - 1)?;
        }
        Ok(())
    }
}

/// Why the text can't be an argument of a command, if so.
pub(super) fn argument_fault(text: &str) -> Option<String> {
    text_fault(text, ARGUMENT_BYTES_MAX - 1)
}

fn text_fault(text: &str, bytes_max: usize) -> Option<String> {
    if text.contains('\0') {
        Some("it has a zero byte".to_owned())
    } else if text.len() > bytes_max {
        let bytes = text.len();
        Some(format!("it has {bytes} bytes, more than {bytes_max}"))
    } else {
        None
    }
}

fn check_text(place: &str, text: &str, bytes_max: usize) -> Result<(), BackendError> {
    text_fault(text, bytes_max).map_or(Ok(()), |fault| Err(field(place, fault)))
}

fn check_name(place: &str, name: &str) -> Result<(), BackendError> {
    if name.is_empty() || name.contains(['=', '\0']) || name.len() > 256 {
        return Err(field(place, format!("{name:?} is no name of a variable")));
    }
    if name.starts_with(RESERVED_PREFIX) {
        let why = format!("{name}: variables {RESERVED_PREFIX}… are the Runtime's own");
        return Err(field(place, why));
    }
    Ok(())
}

fn field(name: &str, fault: impl std::fmt::Display) -> BackendError {
    config_error(format!("{name}: {fault}"))
}

fn config_error(message: String) -> BackendError {
    BackendError::new(BackendErrorKind::Config, message)
}

#[cfg(test)]
mod tests;
