//! What a command is about: the state directory that is meant, and its store opened to read or to
//! write.
//!
//! - `place`: which state directory
//! - `store`: its store, opened by this process
//! - `refused`: why it can't be
//!
//! A read goes through [`open_read`], which changes no byte and makes nothing (I12). A change opens
//! the store for writing, which records what an earlier process left behind, changes, and closes.

mod place;
mod refused;
mod store;

use std::io;

use worker_runtime_core::Code;

pub(crate) use place::{has_store, path};
pub(crate) use store::{
    ReadTarget, Writing, backends, change, closed_after, open_files, open_read, open_write,
    warn_if_went_back,
};

use crate::error::CliError;

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

/// That signals can't be listened to.
pub(crate) fn no_signals(error: &io::Error) -> CliError {
    CliError::new(
        Code::StateIo,
        format!("signals can't be listened to: {error}"),
    )
}
