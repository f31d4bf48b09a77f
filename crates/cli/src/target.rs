//! The state directory: which one is meant, and its store opened to read or to write.
//!
//! A read goes through [`open_read`], which changes no byte and makes nothing (I12). A change opens
//! the store for writing, which records what an earlier process left behind, changes, and closes.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use etcetera::BaseStrategy;
use worker_runtime_core::{
    Code, Dispatch, Observation, Runtime, RuntimeOptions, backend::BackendFactory, limits::Limits,
    open_read_only, store::Store,
};
use worker_runtime_execution::exec::{ExecFactory, ExecOptions};
use worker_runtime_persist::{FileOptions, FileStore, OpenError, ReadStore};

use crate::{
    args::Global,
    error::{CliError, Failure},
    here::Here,
    suggest::Suggestion,
};

/// The name of our directory below the platform's.
const DIRECTORY: &str = "worker-runtime";

/// A stopped store that is being read.
pub(crate) struct ReadTarget {
    pub(crate) path: PathBuf,
    pub(crate) observation: Observation,
    pub(crate) loaded: worker_runtime_core::store::Loaded,
    /// The observation reads from it.
    pub(crate) store: ReadStore,
}

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

/// The execution backends of this program.
pub(crate) fn backends() -> Vec<Arc<dyn BackendFactory>> {
    vec![Arc::new(ExecFactory::new(ExecOptions::default()))]
}

/// Opens the store to read.
///
/// # Errors
/// When there is none, or another process holds it.
pub(crate) fn open_read(global: &Global) -> Result<ReadTarget, CliError> {
    let path = path(global)?;
    let store = ReadStore::open(&path)?;
    let loaded = store.load()?;
    let limits = Limits::default();
    let observation = open_read_only(loaded.clone(), store.reader(), backends(), limits)?;
    Ok(ReadTarget {
        path,
        observation,
        loaded,
        store,
    })
}

/// How a store is opened to be changed.
pub(crate) struct Writing {
    /// Whether a store is made where there is none.
    pub(crate) create: bool,
    /// Which Workers' inputs are run.
    pub(crate) dispatch: Dispatch,
    /// The directory in which the command was started.
    pub(crate) here: Here,
}

/// Opens the store to change it, with whatever recovery finds recorded. Needs a tokio runtime.
///
/// # Errors
/// When there is none and none is to be made, or another process holds it.
pub(crate) async fn open_write(global: &Global, writing: Writing) -> Result<Runtime, CliError> {
    let path = path(global)?;
    let options = FileOptions {
        create: writing.create,
        ..FileOptions::default()
    };
    let mut store = FileStore::open(&path, options)?;
    let mounts = writing.here.mounts(&store.load()?)?;
    let options = RuntimeOptions {
        backends: backends(),
        mounts,
        dispatch: writing.dispatch,
        ..RuntimeOptions::default()
    };
    Ok(Runtime::open(Box::new(store), options).await?)
}

/// Whether a store is there, without opening it.
pub(crate) fn has_store(path: &Path) -> bool {
    path.join("runtime.redb").exists()
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        let code = error.code();
        match error {
            // The details name the directory themselves.
            OpenError::Missing { detail, .. } => {
                Self::new(code, detail).hint(Suggestion::run_example())
            }
            OpenError::Locked { detail, .. } | OpenError::Damaged { detail, .. } => {
                Self::new(code, detail).hint(Suggestion::state_info())
            }
            OpenError::Foreign { detail, .. } | OpenError::Denied { detail, .. } => {
                Self::new(code, detail)
            }
            OpenError::Store(error) => error.into(),
            other => Self::new(code, other.to_string()),
        }
    }
}

/// Runs what needs tokio. What still runs when it returns is let go.
///
/// # Errors
/// When tokio can't be started, or as `future`.
pub(crate) fn block_on<T, E: From<CliError>>(
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| {
            CliError::new(Code::StateIo, format!("no threads can be started: {error}"))
        })?;
    let result = tokio.block_on(future);
    tokio.shutdown_background();
    result
}

/// Opens the store, changes it, and closes it clean, whatever became of the change.
///
/// # Errors
/// As [`open_write`] and `change`, or when the store can't be closed clean.
pub(crate) fn change<T>(
    global: &Global,
    writing: Writing,
    change: impl AsyncFnOnce(&Runtime) -> Result<T, CliError>,
) -> Result<T, CliError> {
    block_on(async {
        let runtime = open_write(global, writing).await?;
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

/// That signals can't be listened to.
pub(crate) fn no_signals(error: &io::Error) -> CliError {
    CliError::new(
        Code::StateIo,
        format!("signals can't be listened to: {error}"),
    )
}
