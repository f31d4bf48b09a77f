//! The store itself, opened to read or to write by this process.

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use worker_runtime_core::{
    Code, Dispatch, Observation, Runtime, RuntimeOptions, open_read_only, store::Store,
};
use worker_runtime_persist::{FileOptions, FileStore, OpenError, ReadStore};

use super::{block_on, path};
use crate::{
    args::Global,
    config::Config,
    error::{CliError, Failure},
    here::Here,
    operator::operator,
    output::Printer,
};

/// How often a store that another process holds is tried again.
const POLL: Duration = Duration::from_millis(20);

/// A stopped store that is being read.
pub(crate) struct ReadTarget {
    pub(crate) path: PathBuf,
    pub(crate) observation: Observation,
    pub(crate) loaded: worker_runtime_core::store::Loaded,
    /// The observation reads from it.
    pub(crate) store: ReadStore,
}

/// Opens the store to read, whatever serves it: for what only a stopped one can tell.
///
/// # Errors
/// When there is none, or another process holds it.
pub(crate) fn open_read(global: &Global) -> Result<ReadTarget, CliError> {
    let path = path(global)?;
    let store = waiting(global, || ReadStore::open(&path))?;
    ReadTarget::new(path, store, &Config::load(global)?)
}

impl ReadTarget {
    pub(super) fn new(path: PathBuf, store: ReadStore, config: &Config) -> Result<Self, CliError> {
        let loaded = store.load()?;
        let (backends, limits) = (config.backends(), config.limits.clone());
        let observation = open_read_only(loaded.clone(), store.reader(), backends, limits)?;
        Ok(Self {
            path,
            observation,
            loaded,
            store,
        })
    }
}

/// How a Runtime is opened to change a store.
pub(crate) struct Writing {
    /// Which Workers' inputs are run.
    pub(crate) dispatch: Dispatch,
    /// The directory in which the command was started.
    pub(crate) here: Here,
    /// What the operator configured.
    pub(crate) config: Config,
    /// Why, where what is called has no field for it.
    pub(crate) reason: Option<String>,
}

impl Writing {
    /// With what is configured for this call.
    ///
    /// # Errors
    /// When the configuration can't be used.
    pub(crate) fn new(global: &Global, dispatch: Dispatch, here: Here) -> Result<Self, CliError> {
        Ok(Self {
            dispatch,
            here,
            config: Config::load(global)?,
            reason: None,
        })
    }

    /// The same, for this reason.
    pub(crate) fn because(self, reason: Option<String>) -> Self {
        Self { reason, ..self }
    }
}

/// Opens the store's files to change them, before anything runs: a signal still ends the program
/// while it waits.
///
/// # Errors
/// When there is none and `create` is not set, another process holds it, or the configuration can't be used.
pub(crate) fn open_files(global: &Global, create: bool) -> Result<FileStore, CliError> {
    let path = path(global)?;
    let retention = Config::load(global)?.retention;
    let open = || {
        let mut options = FileOptions {
            create,
            ..FileOptions::default()
        };
        options.store.retention = retention;
        FileStore::open(&path, options)
    };
    Ok(waiting(global, open)?)
}

/// Tries again while another process holds the store, for as long as the user wants to wait. One that
/// serves it holds it for long, and can be asked.
pub(crate) fn waiting<T>(
    global: &Global,
    mut open: impl FnMut() -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let wait = Duration::from_millis(global.wait.unwrap_or(0));
    let started = Instant::now();
    loop {
        match open() {
            Err(OpenError::Locked { address: None, .. }) if started.elapsed() < wait => {
                thread::sleep(POLL)
            }
            opened => return opened,
        }
    }
}

/// Opens the store to change it, with whatever recovery finds recorded, and tells if it is not
/// what it was. What is changed is recorded as asked for by whoever runs this. Needs a tokio runtime.
///
/// # Errors
/// When the store can't be read or written.
pub(crate) async fn open_write(
    mut store: FileStore,
    writing: Writing,
    printer: &Printer,
) -> Result<Runtime, CliError> {
    let mounts = writing.here.mounts(&store.load()?)?;
    let options = RuntimeOptions {
        dispatch: writing.dispatch,
        ..writing.config.options(mounts)?
    };
    let runtime = Runtime::open(Box::new(store), options).await?;
    warn_if_went_back(&runtime, printer);
    match runtime.operated_by(operator(), writing.reason) {
        Ok(operated) => Ok(operated),
        Err(error) => {
            runtime.close().await?;
            Err(error.into())
        }
    }
}

/// Tells if acknowledged state is gone.
pub(crate) fn warn_if_went_back(runtime: &Runtime, printer: &Printer) {
    if let Some(went) = runtime.observation().runtime().went_back {
        printer.warn_code(
            Code::StateWentBack,
            format_args!(
                "acknowledged state is gone: position {} was acknowledged, and the store went back to {}",
                went.witnessed, went.found
            ),
        );
    }
}

/// Opens the store, changes it, and closes it clean, whatever became of the change.
///
/// # Errors
/// As [`open_files`], [`open_write`] and `change`, or when the store can't be closed clean.
pub(crate) fn change<T>(
    global: &Global,
    create: bool,
    writing: Writing,
    printer: &Printer,
    change: impl AsyncFnOnce(&Runtime) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let store = open_files(global, create)?;
    block_on(async {
        let runtime = open_write(store, writing, printer).await?;
        let changed = change(&runtime).await;
        let closed = runtime.close().await;
        let changed = changed?;
        closed?;
        Ok(changed)
    })
}

/// The error, once the Runtime is closed: a refusal leaves the store as clean as a success.
pub(crate) async fn closed_after(runtime: &Runtime, error: impl Into<CliError>) -> Failure {
    let error = error.into();
    // What is told is why nothing was done; a store that was not closed clean lost nothing.
    if let Err(closing) = runtime.close().await {
        tracing::warn!(error = %closing, "the store was not closed clean");
    }
    error.into()
}
