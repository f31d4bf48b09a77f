//! Which state directory is meant.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use worker_runtime_core::Code;

use crate::{args::Global, error::CliError};

/// The name of our directory below the platform's.
const DIRECTORY: &str = "worker-runtime";

/// The state directory that is meant: the flag, else the environment, else the platform's own.
///
/// # Errors
/// When nothing names one.
pub(crate) fn path(global: &Global) -> Result<PathBuf, CliError> {
    let named = match &global.state {
        Some(path) if path.as_os_str().is_empty() => {
            let message = "--state (or WORKER_RUNTIME_STATE) is empty; it must name a directory";
            return Err(CliError::new(Code::Usage, message));
        }
        Some(path) => Some(path.clone()),
        None => {
            let platform = etcetera::choose_base_strategy().ok();
            platform.map(|base| {
                let parent = base.state_dir().unwrap_or_else(|| base.data_dir());
                parent.join(DIRECTORY)
            })
        }
    };
    let named = named.ok_or_else(|| {
        let message = "there is no home directory to keep the state in; name one with --state DIR";
        CliError::new(Code::Usage, message)
    })?;
    std::path::absolute(&named)
        .map_err(|error| CliError::new(Code::StateIo, format!("{}: {error}", named.display())))
}

/// Whether a store is there, without opening it.
pub(crate) fn has_store(path: &Path) -> bool {
    path.join("runtime.redb").exists()
}
