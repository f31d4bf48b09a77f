//! The one way in which a command starts: held, recorded, let go.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tracing::{debug, warn};
use worker_runtime_core::{
    Fence, RunId, RunSink, WorkerId,
    backend::{BackendError, BackendErrorKind, SecretResolver, StartWorker},
    record::{ProcessLife, ProcessRecord},
    sabotage::{self, Sabotage},
    worker::MountRef,
};

use super::super::{
    Containment, ProcessIdentity, RunMarker, Running, SpawnError, SpawnOptions, spawn::spawn,
};
use super::{
    ExecOptions,
    config::{EnvironmentValue, ExecConfig, RESERVED_PREFIX},
    life::Watched,
};

/// What is the same for every start of a Worker's command.
pub(super) struct Launcher {
    pub(super) worker_id: WorkerId,
    pub(super) config: ExecConfig,
    pub(super) options: Arc<ExecOptions>,
    directory: PathBuf,
    /// What the directory is to a client.
    workspace: Option<MountRef>,
    secrets: Arc<dyn SecretResolver>,
    containment_told: AtomicBool,
}

/// What differs between them.
pub(super) struct Start<'a> {
    pub(super) life: ProcessLife,
    /// The run that it is started in.
    pub(super) run_id: RunId,
    pub(super) fence: Option<Fence>,
    /// An argument beyond those of the configuration.
    pub(super) last_argument: Option<&'a str>,
}

/// A command that executes.
pub(super) struct Launched {
    pub(super) stdin: tokio::net::unix::pipe::Sender,
    pub(super) stdout: tokio::net::unix::pipe::Receiver,
    pub(super) stderr: tokio::net::unix::pipe::Receiver,
    pub(super) watched: Watched,
}

impl Launcher {
    pub(super) fn new(
        start: &StartWorker,
        options: Arc<ExecOptions>,
    ) -> Result<Self, BackendError> {
        let directory = start.working_directory.clone();
        Ok(Self {
            worker_id: start.worker_id,
            config: ExecConfig::parse(&start.config)?,
            workspace: start.spec.workspace.clone().filter(|_| directory.is_some()),
            directory: directory.unwrap_or_else(|| options.directory.clone()),
            options,
            secrets: start.secrets.clone(),
            containment_told: AtomicBool::new(false),
        })
    }

    /// Starts the command; when this returns `Ok`, it executes.
    ///
    /// # Errors
    /// [`BackendErrorKind::Start`]; nothing of it was executed.
    pub(super) async fn launch(
        &self,
        start: Start<'_>,
        sink: &RunSink,
    ) -> Result<Launched, BackendError> {
        let options = self.spawn_options(&start)?;
        let held = spawn(options)
            .await
            .map_err(|error| self.start_error(&error))?;
        let identity = held.identity().clone();
        let kept = identity_bytes(&identity)?;
        let record = ProcessRecord {
            life: start.life,
            label: self.label(&identity),
            identity: kept.clone(),
        };
        // Not let go unless this is durable: dropped, it executes nothing.
        sink.process_started(record)
            .await
            .map_err(|error| start_failed(format!("the command could not be recorded: {error}")))?;
        let Running {
            stdin,
            stdout,
            stderr,
            process,
            ..
        } = match held.go().await {
            Ok(running) => running,
            Err(error) => {
                if let Err(error) = sink.process_ended(kept).await {
                    debug!(%error, "a command that never ran stays recorded");
                }
                return Err(self.start_error(&error));
            }
        };
        self.tell_containment(process.containment(), sink).await;
        Ok(Launched {
            stdin,
            stdout,
            stderr,
            watched: Watched::new(process, self.options.prove_within),
        })
    }

    fn spawn_options(&self, start: &Start<'_>) -> Result<SpawnOptions, BackendError> {
        let marker = match start.life {
            ProcessLife::Run => start.run_id.to_string(),
            // It lives on when the run that it was started in is over.
            ProcessLife::Backend => format!("backend-{}", start.run_id),
        };
        let run_marker = RunMarker::new(marker)
            .map_err(|error| BackendError::new(BackendErrorKind::Broken, error.to_string()))?;
        let mut argv = self.config.argv.iter();
        let program = argv.next().cloned().unwrap_or_default();
        let mut options = SpawnOptions::new(program, &self.directory, run_marker);
        options.arguments = argv.map(Into::into).collect();
        options
            .arguments
            .extend(start.last_argument.map(Into::into));
        options.environment = self.environment(start.fence)?;
        options.shim = self.options.shim.clone();
        options.leftover_grace = self.options.leftover_grace;
        options.ready_within = self.options.ready_within;
        Ok(options)
    }

    /// Secrets are asked for at each start and kept nowhere.
    fn environment(&self, fence: Option<Fence>) -> Result<Vec<(OsString, OsString)>, BackendError> {
        let mut environment: Vec<(OsString, OsString)> = Vec::new();
        for name in self.config.env_allow.as_deref().unwrap_or_default() {
            let is_set = self.config.env.contains_key(name)
                || environment.iter().any(|(other, _)| other == name.as_str());
            if let (Some(value), false) = (self.options.environment.get(name), is_set) {
                environment.push((name.into(), value));
            }
        }
        for (name, value) in &self.config.env {
            let value = match value {
                EnvironmentValue::Plain(text) => text.clone(),
                EnvironmentValue::Secret(secret) => {
                    let resolved = self.secrets.resolve(&secret.secret);
                    resolved
                        .filter(|value| !value.contains('\0'))
                        .ok_or_else(|| {
                            start_failed(format!(
                                "the secret {:?} can't be resolved",
                                secret.secret
                            ))
                        })?
                }
            };
            environment.push((name.into(), value.into()));
        }
        let own =
            |name: &str, value: String| (format!("{RESERVED_PREFIX}{name}").into(), value.into());
        environment.push(own("WORKER_ID", self.worker_id.to_string()));
        environment.extend(fence.map(|fence| own("FENCE", fence.to_string())));
        Ok(environment)
    }

    /// The program as it was configured; of an absolute path only its name (I11).
    fn program_name(&self) -> String {
        let program = self.config.argv.first().map_or("", String::as_str);
        let path = Some(Path::new(program)).filter(|path| path.is_absolute());
        let name = path.and_then(Path::file_name);
        name.map_or_else(
            || program.to_owned(),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    fn label(&self, identity: &ProcessIdentity) -> String {
        match identity.leader {
            Some(leader) => format!("pid {} ({})", leader.pid, self.program_name()),
            None => format!(
                "{} of run marker {}",
                self.program_name(),
                identity.run_marker
            ),
        }
    }

    /// What a client may read of it; the log has the whole of it (I11).
    fn start_error(&self, error: &SpawnError) -> BackendError {
        let (worker_id, program) = (self.worker_id, self.program_name());
        warn!(%worker_id, %error, "a command did not start");
        start_failed(match error {
            error if sabotage::is(Sabotage::LeakPath) => {
                format!("{error}, in {}", self.directory.display())
            }
            SpawnError::Execute { source, .. } => format!("cannot execute {program:?}: {source}"),
            SpawnError::WorkingDirectory { source, .. } => {
                let place = self.workspace.as_ref();
                let place = place.map(|at| format!(" ({}:{})", at.mount, at.path));
                let place = place.unwrap_or_default();
                format!("cannot enter the working directory of {program:?}{place}: {source}")
            }
            SpawnError::Shim { source, .. } => {
                format!("cannot start the shim above {program:?}: {source}")
            }
            SpawnError::NotAShim { answer, .. } => {
                format!("the program above {program:?} does not answer as a shim: {answer}")
            }
            SpawnError::Prepare { source, .. } => {
                format!("cannot prepare to execute {program:?}: {source}")
            }
        })
    }

    /// Once per backend: it is the same for every start.
    async fn tell_containment(&self, containment: Containment, sink: &RunSink) {
        if !self.containment_told.swap(true, Ordering::Relaxed)
            && let Err(error) = sink.status("containment", &containment).await
        {
            self.containment_told.store(false, Ordering::Relaxed);
            debug!(%error, "the containment of a command was not taken");
        }
    }
}

/// A process's identity, as it is recorded.
pub(super) fn identity_bytes(identity: &ProcessIdentity) -> Result<Vec<u8>, BackendError> {
    serde_json::to_vec(identity).map_err(|error| start_failed(error.to_string()))
}

pub(super) fn start_failed(message: String) -> BackendError {
    BackendError::new(BackendErrorKind::Start, message)
}
