//! The one way in which a command starts: held, recorded, let go.

use std::{
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
    scope::RunScope,
    worker::MountRef,
};

use rustix::io::Errno;

use super::super::{
    Containment, Enclosure, ProcessIdentity, RunMarker, Running, SpawnError, SpawnOptions,
    spawn::spawn,
};
use super::{
    ExecOptions,
    config::ExecConfig,
    confinement::{Confinement, Plan, unconfined},
    life::Watched,
    temporary::TemporaryDirectory,
};

/// What is the same for every start of a Worker's command.
pub(super) struct Launcher {
    pub(super) worker_id: WorkerId,
    pub(super) config: ExecConfig,
    pub(super) options: Arc<ExecOptions>,
    /// Its workspace, when it has one.
    pub(super) workspace_directory: Option<PathBuf>,
    /// What that is to a client.
    workspace: Option<MountRef>,
    pub(super) secrets: Arc<dyn SecretResolver>,
    containment_told: AtomicBool,
    /// Held while it is told, so that what is told last is so: hence a lock that may be.
    pub(super) confinement_told: tokio::sync::Mutex<Option<Confinement>>,
}

/// What differs between them.
pub(super) struct Start<'a> {
    pub(super) life: ProcessLife,
    /// The run that it is started in.
    pub(super) run_id: RunId,
    pub(super) fence: Option<Fence>,
    /// What the run may touch.
    pub(super) scope: Option<&'a RunScope>,
    /// An argument beyond those of the configuration.
    pub(super) last_argument: Option<&'a str>,
}

/// A command that executes.
pub(super) struct Launched {
    pub(super) stdin: tokio::net::unix::pipe::Sender,
    pub(super) stdout: tokio::net::unix::pipe::Receiver,
    pub(super) stderr: tokio::net::unix::pipe::Receiver,
    pub(super) watched: Watched,
    /// What it is kept to, if it is.
    pub(super) confined: Option<(Plan, Confinement)>,
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
            workspace_directory: directory,
            options,
            secrets: start.secrets.clone(),
            containment_told: AtomicBool::new(false),
            confinement_told: tokio::sync::Mutex::new(None),
        })
    }

    /// Starts the command; when this returns `Ok`, it executes.
    ///
    /// # Errors
    /// [`BackendErrorKind::Start`], or [`BackendErrorKind::Unconfined`]; nothing of it was executed.
    pub(super) async fn launch(
        &self,
        start: Start<'_>,
        sink: &RunSink,
    ) -> Result<Launched, BackendError> {
        let plan = self.plan(start.scope, sink).await?;
        let run_marker = run_marker(&start)?;
        let temporary = plan
            .as_ref()
            .map(|_| self.temporary(&run_marker))
            .transpose()?;
        let mut options = self.spawn_options(&start, run_marker, temporary.as_ref())?;
        options.enclosure = self.enclosure(plan.as_ref(), temporary.as_ref())?;
        let held = match spawn(options).await {
            Ok(held) => held,
            Err(error) => return Err(self.did_not_start(&error, sink).await),
        };
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
            landlock_version,
            ..
        } = match held.go().await {
            Ok(running) => running,
            Err(error) => {
                if let Err(error) = sink.process_ended(kept).await {
                    debug!(%error, "a command that never ran stays recorded");
                }
                return Err(self.did_not_start(&error, sink).await);
            }
        };
        self.tell_containment(process.containment(), sink).await;
        let confined = self
            .tell_started(plan, landlock_version, start.scope, sink)
            .await;
        Ok(Launched {
            stdin,
            stdout,
            stderr,
            watched: Watched::new(process, self.options.prove_within, temporary),
            confined,
        })
    }

    /// What keeps it from what: told as soon as it is so.
    async fn tell_started(
        &self,
        plan: Option<Plan>,
        landlock_version: Option<u32>,
        scope: Option<&RunScope>,
        sink: &RunSink,
    ) -> Option<(Plan, Confinement)> {
        let Some(plan) = plan else {
            self.tell_unconfined(scope, sink).await;
            return None;
        };
        // Without a version its monitor was lost before it told, and the run fails for that.
        let confinement = plan.confinement(landlock_version?);
        self.tell_confinement(confinement.clone(), sink).await;
        Some((plan, confinement))
    }

    fn temporary(&self, marker: &RunMarker) -> Result<TemporaryDirectory, BackendError> {
        TemporaryDirectory::make(&self.options.temporary, marker).map_err(|error| {
            start_failed(format!("its temporary directory can't be made: {error}"))
        })
    }

    fn enclosure(
        &self,
        plan: Option<&Plan>,
        temporary: Option<&TemporaryDirectory>,
    ) -> Result<Option<Enclosure>, BackendError> {
        let (Some(plan), Some(temporary)) = (plan, temporary) else {
            return Ok(None);
        };
        let own = temporary.path().to_str().ok_or_else(|| {
            unconfined("the place of its temporary directory has no plain name".to_owned())
        })?;
        Ok(Some(plan.enclosure(
            own.to_owned(),
            self.options.landlock_version_max,
        )))
    }

    fn spawn_options(
        &self,
        start: &Start<'_>,
        run_marker: RunMarker,
        temporary: Option<&TemporaryDirectory>,
    ) -> Result<SpawnOptions, BackendError> {
        let mut argv = self.config.argv.iter();
        let program = argv.next().cloned().unwrap_or_default();
        let mut options = SpawnOptions::new(program, self.directory(start.scope), run_marker);
        options.arguments = argv.map(Into::into).collect();
        options
            .arguments
            .extend(start.last_argument.map(Into::into));
        options.environment = self.environment(start, temporary)?;
        options.shim = self.options.shim.clone();
        options.leftover_grace = self.options.leftover_grace;
        options.ready_within = self.options.ready_within;
        Ok(options)
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

    /// What a client is told of it; that it can't be confined is its Worker's status too.
    async fn did_not_start(&self, error: &SpawnError, sink: &RunSink) -> BackendError {
        let error = self.start_error(error);
        if error.kind == BackendErrorKind::Unconfined {
            let refused = Confinement::unavailable(error.message.clone());
            self.tell_confinement(refused, sink).await;
        }
        error
    }

    /// What a client may read of it; the log has the whole of it (I11).
    fn start_error(&self, error: &SpawnError) -> BackendError {
        let (worker_id, program) = (self.worker_id, self.program_name());
        warn!(%worker_id, %error, "a command did not start");
        let kind = match error {
            SpawnError::Enclose { .. } => BackendErrorKind::Unconfined,
            _ => BackendErrorKind::Start,
        };
        let message = match error {
            error if sabotage::is(Sabotage::LeakPath) => {
                format!("{error}, in {}", self.directory(None).display())
            }
            SpawnError::Execute { source, .. } => format!("cannot execute {program:?}: {source}"),
            SpawnError::WorkingDirectory { source, .. } => {
                let place = self.workspace.as_ref();
                let place = place.map(|at| format!(" ({}:{})", at.mount, at.path));
                let place = place.unwrap_or_default();
                format!("cannot enter the working directory of {program:?}{place}: {source}")
            }
            SpawnError::Enclose { source, .. } => {
                let none = [Errno::OPNOTSUPP, Errno::NOSYS].map(|none| Some(none.raw_os_error()));
                let reason = match source.raw_os_error() {
                    errno if none.contains(&errno) => {
                        "this kernel has no Landlock, or it is switched off".to_owned()
                    }
                    _ => source.to_string(),
                };
                format!("cannot confine {program:?}: {reason}")
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
        };
        BackendError::new(kind, message)
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

fn run_marker(start: &Start<'_>) -> Result<RunMarker, BackendError> {
    let marker = match start.life {
        ProcessLife::Run => start.run_id.to_string(),
        // It lives on when the run that it was started in is over.
        ProcessLife::Backend => format!("backend-{}", start.run_id),
    };
    RunMarker::new(marker)
        .map_err(|error| BackendError::new(BackendErrorKind::Broken, error.to_string()))
}

/// A process's identity, as it is recorded.
pub(super) fn identity_bytes(identity: &ProcessIdentity) -> Result<Vec<u8>, BackendError> {
    serde_json::to_vec(identity).map_err(|error| start_failed(error.to_string()))
}

pub(super) fn start_failed(message: String) -> BackendError {
    BackendError::new(BackendErrorKind::Start, message)
}
