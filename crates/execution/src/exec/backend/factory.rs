//! The factory that a Runtime is opened with.

use std::sync::Arc;

use async_trait::async_trait;
use worker_runtime_core::{
    backend::{
        BackendCapabilities, BackendError, BackendFactory, ExecutionBackend, Proof, Restored,
        StartWorker,
    },
    record::ProcessRecord,
};

use super::super::{self as exec, ProcessIdentity};
use super::{
    ExecOptions,
    config::{ExecConfig, Mode},
    launch::Launcher,
    lines::LinesBackend,
    simple::SimpleBackend,
    temporary::TemporaryDirectory,
};

/// Makes Workers of command-line programs, under the name `exec`.
///
/// ```
/// use std::sync::Arc;
///
/// use worker_runtime_core::RuntimeOptions;
/// use worker_runtime_execution::exec::{ExecFactory, ExecOptions};
///
/// let options = RuntimeOptions {
///     backends: vec![Arc::new(ExecFactory::new(ExecOptions::default()))],
///     ..RuntimeOptions::default()
/// };
/// # drop(options);
/// ```
///
/// The embedding binary calls [`shim::run_if_requested`](exec::shim::run_if_requested) first in its
/// `main`, or what a command starts is not contained.
#[derive(Debug, Clone)]
pub struct ExecFactory {
    options: Arc<ExecOptions>,
}

impl ExecFactory {
    /// The name under which Workers choose it.
    pub const NAME: &str = "exec";

    /// A factory whose commands are started and bounded like this.
    pub fn new(options: ExecOptions) -> Self {
        Self {
            options: Arc::new(options),
        }
    }

    fn backend(
        &self,
        start: &StartWorker,
        resume: Option<String>,
    ) -> Result<Box<dyn ExecutionBackend>, BackendError> {
        let launcher = Launcher::new(start, self.options.clone())?;
        Ok(match launcher.config.mode {
            Mode::Simple => Box::new(SimpleBackend::new(launcher)),
            Mode::Lines => Box::new(LinesBackend::new(launcher, start, resume)),
        })
    }
}

#[async_trait]
impl BackendFactory for ExecFactory {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn resolve(&self, config: &serde_json::Value) -> Result<serde_json::Value, BackendError> {
        let resolved = ExecConfig::resolve(config, &self.options)?;
        serde_json::to_value(resolved).map_err(|error| {
            let kind = worker_runtime_core::backend::BackendErrorKind::Config;
            BackendError::new(kind, error.to_string())
        })
    }

    /// What a command in lines mode may do; one in simple mode does none of it.
    fn capabilities(&self) -> BackendCapabilities {
        BackendCapabilities {
            multi_turn: true,
            resume: true,
            actions: true,
            usage: true,
            images: true,
        }
    }

    /// Starts no process: the first input does.
    async fn start(&self, start: StartWorker) -> Result<Box<dyn ExecutionBackend>, BackendError> {
        self.backend(&start, None)
    }

    /// The command is asked with its first input; if it can't, that run has a `context.lost`.
    async fn restore(&self, start: StartWorker, resume: &[u8]) -> Result<Restored, BackendError> {
        let reference = String::from_utf8_lossy(resume).into_owned();
        self.backend(&start, Some(reference))
            .map(Restored::Restored)
    }

    fn prove_dead(&self, process: &ProcessRecord) -> Proof {
        let identity: ProcessIdentity = match serde_json::from_slice(&process.identity) {
            Ok(identity) => identity,
            Err(error) => {
                return Proof::Unproven {
                    reason: format!("the record of {} can't be read: {error}", process.label),
                };
            }
        };
        match exec::prove_dead(&identity, self.options.prove_within) {
            exec::Proof::Dead => {
                TemporaryDirectory::remove_left(&self.options.temporary, &identity.run_marker);
                Proof::Dead
            }
            exec::Proof::Unproven { reason } => Proof::Unproven {
                reason: format!("{}: {reason}", process.label),
            },
        }
    }
}
