//! A change through a server whose answer was lost: asked again with the same ids, so that it is done
//! once (I5). Only what bears an id of its own, or comes to the same when it is done twice, goes this way.

use std::time::Duration;

use worker_runtime_core::Code;
use worker_runtime_http::client::ClientError;

use super::{About, Remote};
use crate::error::CliError;

/// How long is waited before each further attempt: long enough for a server that is started again.
pub(super) const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1_600),
];

/// An answer, and how it came.
#[derive(Debug)]
pub(crate) struct Answered<T> {
    pub(crate) answer: T,
    /// Whether an earlier attempt may have done it.
    pub(crate) again: bool,
}

impl Remote {
    /// What a call that may be repeated gives, or what the user is to be told. Who can't be reached at
    /// all was told nothing, and is not asked again.
    ///
    /// # Errors
    /// What the server refuses, or that it can't be reached.
    pub(crate) async fn insist<T, F>(
        &self,
        about: About,
        call: impl Fn() -> F,
    ) -> Result<Answered<T>, CliError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let nothing = |_| std::future::ready(None);
        self.insist_or(about, call, nothing).await
    }

    /// The same for a call that is refused when it was done before: then `done` tells what the first
    /// attempt would have been answered, if that is what is in the way.
    ///
    /// # Errors
    /// As [`insist`](Self::insist).
    pub(crate) async fn insist_or<T, F, D>(
        &self,
        about: About,
        call: impl Fn() -> F,
        done: impl Fn(Code) -> D,
    ) -> Result<Answered<T>, CliError>
    where
        // No `AsyncFn`, whose futures can't be shown to be `Send` where this is spawned.
        F: Future<Output = Result<T, ClientError>>,
        D: Future<Output = Option<T>>,
    {
        let mut pauses = PAUSES.into_iter();
        let mut again = false;
        loop {
            let error = match call().await {
                Ok(answer) => return Ok(Answered { answer, again }),
                Err(error) => error,
            };
            again |= error.is_unknown();
            if again
                && error.is_transient()
                && let Some(pause) = pauses.next()
            {
                tokio::time::sleep(pause).await;
                continue;
            }
            let is_known = !error.is_transient();
            if again
                && is_known
                && let Some(answer) = done(error.code()).await
            {
                return Ok(Answered { answer, again });
            }
            let mut told = self.told_of(error, about).await;
            if again {
                told.message.push_str(match is_known {
                    true => {
                        "; the answer to the first attempt was lost, so this may be what it did"
                    }
                    false => "; nobody knows whether it was done",
                });
            }
            return Err(told);
        }
    }
}

/// Whether the same call may be answered later: nothing is wrong with the call itself.
pub(crate) fn is_passing(error: &CliError) -> bool {
    is_unknown(error) || matches!(error.code, Code::ServerBusy | Code::RuntimeClosed)
}

/// Whether a change may have been done or not, and only the same again can tell.
pub(crate) fn is_unknown(error: &CliError) -> bool {
    matches!(error.code, Code::ServerUnreachable | Code::OutcomeUnknown)
}
