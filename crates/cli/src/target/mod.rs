//! What a command is about: the state directory that is meant, or the server that runs it.
//!
//! - `place`: which state directory
//! - `server`: the server that was named, or that the lock of the state directory tells; `current`:
//!   whichever is there by now; `token`: the access token
//! - `answered`: what a server refused; `again`: what is asked again when its answer was lost; `answer`:
//!   an answer to what a run asks for; `once`: a change of what is held
//! - `reads`: what is read, the same from a store and from a server; `held`: of that, what Workers hold;
//!   `operations`: who changed what
//! - `store`: the store, opened by this process; `refused`: why it can't be
//!
//! A read goes through [`open`], which changes no byte and makes nothing (I12). A change asks the
//! [`mod@server`] where there is one; else it opens the store for writing, which records what an earlier
//! process left behind, changes, and closes.

mod again;
mod answer;
mod answered;
mod current;
mod held;
mod once;
mod operations;
mod place;
mod reads;
mod refused;
mod server;
mod store;
mod token;

use std::io;

use worker_runtime_core::{Code, Mounts};

pub(crate) use again::{Answered, is_passing, is_unknown};
pub(crate) use answer::Answer;
pub(crate) use answered::About;
pub(crate) use current::{Current, Now};
pub(crate) use held::Asked;
pub(crate) use once::Told;
pub(crate) use place::{has_store, path};
pub(crate) use reads::{Source, Target, open};
pub(crate) use server::{Remote, Server, is_named as is_server_named, server};
pub(crate) use store::{
    ReadTarget, Writing, change, closed_after, open_files, open_read, open_write, waiting,
    warn_if_went_back,
};

use crate::{args::Global, config::Config, error::CliError, foreground::Signals, here::Here};

/// The directory of this process, by a name that whoever makes Workers knows: a server knows those of
/// the configuration, and a store learns any.
///
/// # Errors
/// When the directory can't be named, or the configuration can't be used.
pub(crate) fn here(global: &Global, server: Option<&Server>) -> Result<Here, CliError> {
    let here = Here::current()?;
    if server.is_none() {
        return Ok(here);
    }
    let options = Config::load(global)?.options(Mounts::default())?;
    Ok(here.named_by(&options.mounts))
}

/// Runs what needs tokio. What still runs when it returns is let go.
///
/// # Errors
/// When tokio can't be started, or as `future`.
pub(crate) fn block_on<T, E: From<CliError>>(
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let tokio = tokio_runtime()?;
    let result = tokio.block_on(future);
    tokio.shutdown_background();
    result
}

fn tokio_runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| {
            CliError::new(Code::StateIo, format!("no threads can be started: {error}"))
        })
}

/// The signals of this process, which no longer end it by themselves. Needs a tokio runtime.
///
/// # Errors
/// When the system does not allow it.
pub(crate) fn signals() -> Result<Signals, CliError> {
    Signals::listen().map_err(|error| no_signals(&error))
}

/// That signals can't be listened to.
pub(crate) fn no_signals(error: &io::Error) -> CliError {
    CliError::new(
        Code::StateIo,
        format!("signals can't be listened to: {error}"),
    )
}
