//! The state directory: which one is meant, and its store opened to read or to write.
//!
//! A read goes through [`open_read`], which changes no byte and makes nothing (I12). A change opens
//! the store for writing, which records what an earlier process left behind, changes, and closes.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
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
    output::Printer,
    suggest::Suggestion,
};

/// The name of our directory below the platform's.
const DIRECTORY: &str = "worker-runtime";

/// How often a store that another process holds is tried again.
const POLL: Duration = Duration::from_millis(20);
/// The words of commands that change a store.
const VERBS: &[&str] = &[
    "run", "worker", "create", "send", "stop", "cancel", "pause", "resume", "archive", "restore",
    "rm",
];

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
    let store = waiting(global, || ReadStore::open(&path))?;
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

/// How a Runtime is opened to change a store.
pub(crate) struct Writing {
    /// Which Workers' inputs are run.
    pub(crate) dispatch: Dispatch,
    /// The directory in which the command was started.
    pub(crate) here: Here,
}

/// Opens the store's files to change them, before anything runs: a signal still ends the program
/// while it waits.
///
/// # Errors
/// When there is none and `create` is not set, or another process holds it.
pub(crate) fn open_files(global: &Global, create: bool) -> Result<FileStore, CliError> {
    let path = path(global)?;
    let open = || {
        let options = FileOptions {
            create,
            ..FileOptions::default()
        };
        FileStore::open(&path, options)
    };
    Ok(waiting(global, open)?)
}

/// Tries again while another process holds the store, for as long as the user wants to wait.
fn waiting<T>(global: &Global, open: impl Fn() -> Result<T, OpenError>) -> Result<T, OpenError> {
    let wait = Duration::from_millis(global.wait.unwrap_or(0));
    let started = Instant::now();
    loop {
        match open() {
            Err(OpenError::Locked { .. }) if started.elapsed() < wait => thread::sleep(POLL),
            opened => return opened,
        }
    }
}

/// Opens the store to change it, with whatever recovery finds recorded, and tells if it is not
/// what it was. Needs a tokio runtime.
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
        backends: backends(),
        mounts,
        dispatch: writing.dispatch,
        ..RuntimeOptions::default()
    };
    let runtime = Runtime::open(Box::new(store), options).await?;
    if let Some(went) = runtime.observation().runtime().went_back {
        printer.warn_code(
            Code::StateWentBack,
            format_args!(
                "acknowledged state is gone: position {} was acknowledged, and the store went back to {}",
                went.witnessed, went.found
            ),
        );
    }
    Ok(runtime)
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
            OpenError::Missing { path, detail } => Self::new(code, detail).hint(
                // Where something else is, no store would be made.
                match is_free(&path) {
                    true => Suggestion::run_example(),
                    false => Suggestion::other_state(),
                },
            ),
            OpenError::Locked { pid, detail, .. } => locked(pid, &detail),
            OpenError::Damaged { path, detail } => Self::new(code, detail)
                .hint(Suggestion::state_info())
                .hint(Suggestion::copy(&path, "damaged")),
            OpenError::Foreign { detail, .. } => {
                Self::new(code, detail).hint(Suggestion::other_state())
            }
            OpenError::Denied { path, detail } => Self::new(code, detail)
                .hint(Suggestion::directory(&path))
                .hint(Suggestion::other_state()),
            OpenError::Store(error) => error.into(),
            other => Self::new(code, other.to_string()).hint(Suggestion::other_state()),
        }
    }
}

/// Whether a store could be made here: nothing is there, or nothing but what we leave.
fn is_free(path: &Path) -> bool {
    match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// That another process has the store, and what that process is, where the system tells.
fn locked(pid: Option<u32>, detail: &str) -> CliError {
    let Some(pid) = pid else {
        return CliError::new(Code::StateLocked, detail).hint(Suggestion::state_info());
    };
    let message = match verb_of(pid) {
        None => detail.to_owned(),
        Some(verb) => format!("{detail}, busy with `{verb}`"),
    };
    CliError::new(Code::StateLocked, message).hint(Suggestion::process(pid))
}

/// The command that a process of this program carries out: its verb alone, as what else was typed
/// may be nobody's business.
fn verb_of(pid: u32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let program = words.next()?;
    if Path::new(program.as_ref()).file_name()? != "worker-runtime" {
        return None;
    }
    let is_verb = |word: &str| VERBS.contains(&word);
    let verb = words
        .skip_while(|word| !is_verb(word))
        .take_while(|word| is_verb(word));
    let verb = verb.take(2).collect::<Vec<_>>().join(" ");
    (!verb.is_empty()).then_some(verb)
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

/// That signals can't be listened to.
pub(crate) fn no_signals(error: &io::Error) -> CliError {
    CliError::new(
        Code::StateIo,
        format!("signals can't be listened to: {error}"),
    )
}
