//! A Runtime that another process runs, asked over HTTP: the one that was named, or the one that the
//! lock of the state directory tells.
//!
//! The access token is a secret: it comes from a file or the environment, never from an argument, and
//! is in no message.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use worker_runtime_http::client::{Client, ClientError, ClientOptions, StillServes};
use worker_runtime_persist::{ReadStore, Serving};

use super::{About, Answered, path, store::waiting, token, tokio_runtime};
use crate::{
    args::Global,
    error::{CliError, Failure},
    output::Printer,
    suggest::Suggestion,
};

/// How a server was found.
#[derive(Debug, Clone)]
pub(super) enum Found {
    /// The user named it.
    Named,
    /// It holds the state directory that is meant.
    Holds {
        path: PathBuf,
        pid: Option<u32>,
        /// What was typed, for whoever looks there again.
        global: Arc<Global>,
    },
}

/// A server, as asynchronous code asks it. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    pub(crate) client: Client,
    pub(super) found: Found,
}

/// A server, and the threads that ask it.
pub(crate) struct Server {
    tokio: tokio::runtime::Runtime,
    pub(crate) remote: Remote,
}

impl Server {
    fn new(remote: Remote) -> Result<Self, CliError> {
        let tokio = tokio_runtime()?;
        Ok(Self { tokio, remote })
    }

    /// The state directory that it holds, where that is known.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.remote.found {
            Found::Named => None,
            Found::Holds { path, .. } => Some(path),
        }
    }

    /// Who holds the state directory, in words.
    pub(crate) fn holder(&self) -> String {
        let address = self.remote.client.address();
        match &self.remote.found {
            Found::Holds { pid: Some(pid), .. } => format!("process {pid} at {address}"),
            _ => format!("a process at {address}"),
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// What the server refuses, or that it can't be reached.
    pub(crate) fn ask<T>(
        &self,
        about: About,
        call: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, CliError> {
        self.tokio.block_on(self.remote.or_told(about, call))
    }

    /// As [`ask`](Self::ask), for a change that can be repeated.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub(crate) fn insist<T, F>(
        &self,
        about: About,
        call: impl Fn() -> F,
    ) -> Result<Answered<T>, CliError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        self.tokio.block_on(self.remote.insist(about, call))
    }

    /// Waits for calls that tell themselves what went wrong.
    ///
    /// # Errors
    /// As `future`.
    pub(crate) fn wait_for<T>(
        &self,
        future: impl Future<Output = Result<T, CliError>>,
    ) -> Result<T, CliError> {
        self.tokio.block_on(future)
    }

    /// Runs what asks more than once.
    ///
    /// # Errors
    /// As `future`.
    pub(crate) fn block_on<T>(
        &self,
        future: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.tokio.block_on(future)
    }
}

impl Remote {
    fn new(url: &str, token: Option<String>, found: Found) -> Result<Self, CliError> {
        let mut options = ClientOptions::new(url, token);
        if let Found::Holds { path, .. } = &found {
            options.still_serves = Some(still_holds(path.clone(), url.to_owned()));
        }
        let client = Client::new(&options).map_err(|error| {
            let told = CliError::new(error.code(), error.to_string());
            match error {
                ClientError::Token => told.hint(Suggestion::with_token_file()),
                _ => told.hint(Suggestion::other_server()),
            }
        })?;
        Ok(Self { client, found })
    }

    /// The one that serves a state directory.
    ///
    /// # Errors
    /// When its access token can't be read, or what it says of itself is no address.
    pub(super) fn serving(
        global: Arc<Global>,
        path: PathBuf,
        serving: &Serving,
    ) -> Result<Self, CliError> {
        let token = match &global.token_file {
            Some(file) => token::of_file(file)?,
            None => token::of_state(&path)?,
        };
        let found = Found::Holds {
            path,
            pid: serving.pid,
            global,
        };
        Self::new(&serving.address, Some(token), found)
    }

    /// What a call gives, or what the user is to be told.
    ///
    /// # Errors
    /// What the server refuses, or that it can't be reached.
    pub(crate) async fn or_told<T>(
        &self,
        about: About,
        call: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, CliError> {
        match call.await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.told_of(error, about).await),
        }
    }
}

/// The server that is meant, if one is: the one that was named, else the one that holds the state
/// directory.
///
/// # Errors
/// When what was named is no server, or the access token can't be read.
pub(crate) fn server(global: &Global, printer: &Printer) -> Result<Option<Server>, CliError> {
    if let Some(server) = named(global)? {
        return Ok(Some(server));
    }
    let path = path(global)?;
    until_told(global, &path);
    let serving = worker_runtime_persist::serving(&path);
    serving
        .map(|serving| holding(global, path, &serving, printer))
        .transpose()
}

/// Gives a server that is just starting the time to say where it serves, if the user has some.
fn until_told(global: &Global, path: &Path) {
    if global.wait.is_some() {
        // What else is wrong with the store is told by whoever opens it.
        let _ = waiting(global, || ReadStore::open(path).map(drop));
    }
}

/// Whether who holds the state directory serves at this address: asked with each new connection, or
/// the access token would go to whoever has the port after the server.
fn still_holds(path: PathBuf, address: String) -> StillServes {
    StillServes::new(move || {
        worker_runtime_persist::serving(&path).is_some_and(|serving| serving.address == address)
    })
}

/// Whether the user named a server, for a command that can't ask one.
pub(crate) fn is_named(global: &Global) -> bool {
    global.server.is_some() && (global.is_typed_server() || !global.is_typed_state())
}

/// The server that the user named.
pub(super) fn named(global: &Global) -> Result<Option<Server>, CliError> {
    let Some(url) = &global.server else {
        return Ok(None);
    };
    match (global.is_typed_state(), global.is_typed_server()) {
        (true, true) => {
            let message = "--state and --server exclude each other: a server has its own state";
            return Err(CliError::usage(message, &[]));
        }
        // What is typed counts more than what the environment says.
        (true, false) => return Ok(None),
        (false, _) => {}
    }
    if url.trim().is_empty() {
        let message = "--server (or WORKER_RUNTIME_SERVER) is empty; it must be a URL, such as http://127.0.0.1:7621";
        return Err(CliError::usage(message, &[]));
    }
    let remote = Remote::new(url, token::of_user(global)?, Found::Named)?;
    Server::new(remote).map(Some)
}

/// The server that holds the state directory of this call.
pub(super) fn holding(
    global: &Global,
    path: PathBuf,
    serving: &Serving,
    printer: &Printer,
) -> Result<Server, CliError> {
    let remote = Remote::serving(Arc::new(global.clone()), path, serving)?;
    let process = serving.pid.map(|pid| format!(" (pid {pid})"));
    printer.words(format_args!(
        "asking the server at {}{}",
        remote.client.address(),
        process.unwrap_or_default()
    ));
    Server::new(remote)
}
