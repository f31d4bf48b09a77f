//! The operator's configuration: a TOML file with names for places, profiles, presets of backends,
//! how the server serves, limits, and what the store keeps.
//!
//! - `file`: what can be written in it
//! - `error`: what is wrong with one, by file, line and key
//! - `resolve`: from what is written to what is used, and where each value came from
//!
//! Every command reads it, so that a Worker can be run by whatever opens its store. Precedence: flag,
//! environment, file, default.

mod error;
mod file;
mod resolve;

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use etcetera::BaseStrategy;
use worker_runtime_core::{
    Code, Mounts, RuntimeOptions, ScopeError, backend::BackendFactory, limits::Limits,
    profile::NamedProfiles,
};
use worker_runtime_execution::exec::{ExecFactory, ExecOptions};
use worker_runtime_http::server::HttpLimits;
use worker_runtime_persist::RetentionPolicy;

use crate::{args::Global, error::CliError};
pub(crate) use resolve::{Entry, Origin};

/// The file below the platform's directory for configuration.
const DEFAULT_FILE: &str = "worker-runtime/config.toml";
/// The variable that names another one.
pub(crate) const FILE_VARIABLE: &str = "WORKER_RUNTIME_CONFIG";
/// The variable that says where to listen.
pub(crate) const BIND_VARIABLE: &str = "WORKER_RUNTIME_BIND";
/// No configuration that a person writes is longer.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What is configured, resolved.
pub(crate) struct Config {
    /// The file, where there is one.
    pub(crate) file: Option<PathBuf>,
    /// Where to listen.
    pub(crate) bind: Option<SocketAddr>,
    /// Further names of the server.
    pub(crate) hosts: Vec<String>,
    /// Origins whose pages may ask.
    pub(crate) origins: Vec<String>,
    /// What the server takes at most.
    pub(crate) http: HttpLimits,
    /// What the Runtime takes and keeps at most.
    pub(crate) limits: Limits,
    /// What the store keeps.
    pub(crate) retention: RetentionPolicy,
    /// The operator's profiles.
    pub(crate) profiles: NamedProfiles,
    /// The operator's presets, beside the program's own backends.
    pub(crate) presets: Vec<Arc<dyn BackendFactory>>,
    /// Every value with where it came from, in the order of the documentation.
    pub(crate) entries: Vec<Entry>,
    mounts: Mounts,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            bind: None,
            hosts: Vec::new(),
            origins: Vec::new(),
            http: HttpLimits::default(),
            limits: Limits::default(),
            retention: RetentionPolicy::FILE,
            profiles: NamedProfiles::default(),
            presets: Vec::new(),
            entries: Vec::new(),
            mounts: Mounts::default(),
        }
    }
}

impl Config {
    /// Reads the configuration that is meant: the flag's file, else the environment's, else the
    /// platform's if it is there.
    ///
    /// # Errors
    /// When a file that was named is not there, or what is there can't be used.
    pub(crate) fn load(global: &Global) -> Result<Self, CliError> {
        let Some(path) = path(global)? else {
            return resolve::resolve(None, "");
        };
        match read(&path) {
            Ok(text) => resolve::resolve(Some(&path), &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound && global.config.is_none() => {
                resolve::resolve(None, "")
            }
            Err(error) => {
                let message = format!("{}: {error}", path.display());
                let at = match error.kind() {
                    io::ErrorKind::NotFound => path.parent().unwrap_or(&path),
                    _ => &path,
                };
                let hint = crate::suggest::Suggestion::directory(at);
                Err(CliError::new(Code::ConfigInvalid, message).hint(hint))
            }
        }
    }

    /// The execution backends: the program's own, and the operator's presets.
    pub(crate) fn backends(&self) -> Vec<Arc<dyn BackendFactory>> {
        let exec = ExecFactory::new(ExecOptions::default());
        let mut backends: Vec<Arc<dyn BackendFactory>> = vec![Arc::new(exec)];
        backends.extend(self.presets.iter().cloned());
        backends
    }

    /// How a Runtime is opened with what is configured, and with these further names for places; one
    /// that is the operator's too means what the operator says.
    ///
    /// # Errors
    /// As [`Mounts::set`].
    pub(crate) fn options(&self, mut mounts: Mounts) -> Result<RuntimeOptions, ScopeError> {
        let mut names = self.mounts.iter();
        names.try_for_each(|(name, path)| mounts.set(name, path))?;
        Ok(RuntimeOptions {
            backends: self.backends(),
            mounts,
            profiles: self.profiles.clone(),
            limits: self.limits.clone(),
            ..RuntimeOptions::default()
        })
    }
}

fn path(global: &Global) -> Result<Option<PathBuf>, CliError> {
    match &global.config {
        Some(path) if path.as_os_str().is_empty() => {
            let message = "--config (or WORKER_RUNTIME_CONFIG) is empty; it must name a file";
            Err(CliError::new(Code::Usage, message))
        }
        Some(path) => std::path::absolute(path).map(Some).map_err(|error| {
            CliError::new(Code::ConfigInvalid, format!("{}: {error}", path.display()))
        }),
        None => {
            let base = etcetera::choose_base_strategy().ok();
            Ok(base.map(|base| base.config_dir().join(DEFAULT_FILE)))
        }
    }
}

/// The text of a file that a person wrote.
fn read(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > FILE_BYTES_MAX {
        let reason = format!("it is longer than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::other(reason));
    }
    fs::read_to_string(path)
}

#[cfg(test)]
mod tests;
