//! A Runtime that another process runs, asked over HTTP: the one that was named, or the one that the
//! lock of the state directory tells.
//!
//! The access token is a secret: it comes from a file or the environment, never from an argument, and
//! is in no message.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use worker_runtime_core::Code;
use worker_runtime_http::{
    client::{Client, ClientError, ClientOptions, StillServes},
    server::Tokens,
};
use worker_runtime_persist::ReadStore;

use super::{About, Answered, path, store::waiting, tokio_runtime};
use crate::{
    args::Global,
    error::{CliError, Failure},
    output::Printer,
    suggest::Suggestion,
};

/// Where the access token is when no file is named.
const TOKEN_VARIABLE: &str = "WORKER_RUNTIME_TOKEN";
/// The longest file of a token that is read.
const TOKEN_BYTES_MAX: usize = 4096;

/// How a server was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// The user named it.
    Named,
    /// It holds the state directory that is meant.
    Holds { path: PathBuf, pid: Option<u32> },
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
        Ok(Self {
            tokio: tokio_runtime()?,
            remote: Remote { client, found },
        })
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
    pub(crate) fn insist<T>(
        &self,
        about: About,
        call: impl AsyncFn() -> Result<T, ClientError>,
    ) -> Result<Answered<T>, CliError> {
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
        .map(|serving| holding(global, path, serving.pid, &serving.address, printer))
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
    Server::new(url, token(global)?, Found::Named).map(Some)
}

/// The server that holds the state directory of this call.
pub(super) fn holding(
    global: &Global,
    path: PathBuf,
    pid: Option<u32>,
    address: &str,
    printer: &Printer,
) -> Result<Server, CliError> {
    let token = match &global.token_file {
        Some(file) => read_token(file)?,
        None => read_token(&Tokens::local_file(&path))?,
    };
    let server = Server::new(address, Some(token), Found::Holds { path, pid })?;
    let process = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    printer.words(format_args!(
        "asking the server at {}{process}",
        server.remote.client.address()
    ));
    Ok(server)
}

/// The token that the user has for a server that was named. Without one it is asked all the same, and
/// says itself that it wants one.
fn token(global: &Global) -> Result<Option<String>, CliError> {
    if let Some(file) = &global.token_file {
        return read_token(file).map(Some);
    }
    match std::env::var(TOKEN_VARIABLE) {
        Ok(token) if token.trim().is_empty() => Ok(None),
        Ok(token) => Ok(Some(token)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            let message = format!("{TOKEN_VARIABLE} holds no access token: it is no plain text");
            Err(CliError::new(Code::TokenInvalid, message).hint(Suggestion::with_token_file()))
        }
    }
}

fn read_token(file: &Path) -> Result<String, CliError> {
    let text = fs::read_to_string(file).map_err(|error| {
        let code = match error.kind() {
            io::ErrorKind::PermissionDenied => Code::StateDenied,
            io::ErrorKind::InvalidData => Code::TokenInvalid,
            _ => Code::TokenMissing,
        };
        let message = format!(
            "the access token in {} can't be read: {error}",
            file.display()
        );
        CliError::new(code, message).hint(Suggestion::directory(file))
    })?;
    let token = text.trim();
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX || token.contains(char::is_whitespace) {
        let message = format!("{} holds no access token", file.display());
        return Err(CliError::new(Code::TokenInvalid, message).hint(Suggestion::directory(file)));
    }
    Ok(token.to_owned())
}
