//! Who runs what is followed: a Runtime in this process, or a server. What is followed is followed in
//! the same way; only what a signal means differs, as a server goes on without us.

use std::time::Duration;

use worker_runtime_core::{
    ActionId, Cursor, EndOptions, ObserveOptions, PageSize, Position, RunId, Runtime, RuntimeId,
    Stream, TranscriptFrom, WorkerId,
    cursor::From,
    error::Unavailable,
    input::{InputReceipt, SubmitInput},
    view::{CreateReceipt, UnfinishedBlock, WorkerView},
    worker::CreateWorker,
};
use worker_runtime_http::wire::EndWorker;

use super::{Events, previews::Previews};
use crate::{
    error::{CliError, Failure},
    target::{self, About, Answer, Answered, Current, Remote, is_passing},
};

/// Who runs it. Clones are the same.
#[derive(Clone)]
pub(crate) enum Host {
    /// This process.
    Here(Runtime),
    /// A server.
    Server(Served),
}

/// A server, and what was known of it before the call.
#[derive(Clone)]
pub(crate) struct Served {
    /// Whichever server it is by now.
    pub(super) current: Current,
    runtime_id: RuntimeId,
    /// What stands at or before this happened before the call.
    known: Position,
}

impl Host {
    /// A server that is about to be told something.
    ///
    /// # Errors
    /// When it can't be asked.
    pub(crate) async fn server(remote: Remote) -> Result<Self, CliError> {
        let status = remote
            .or_told(About::RUNTIME, remote.client.runtime())
            .await?;
        Ok(Self::Server(Served {
            runtime_id: status.runtime_id,
            known: status.position,
            current: Current::new(remote),
        }))
    }

    pub(crate) const fn is_server(&self) -> bool {
        matches!(self, Self::Server(_))
    }

    /// Whether it takes and tells nothing any more, though nobody closed it.
    pub(super) fn ended_by_itself(&self) -> bool {
        matches!(self, Self::Here(runtime) if runtime.is_closed())
    }

    pub(crate) fn runtime_id(&self) -> RuntimeId {
        match self {
            Self::Here(runtime) => runtime.observation().runtime_id(),
            Self::Server(served) => served.runtime_id,
        }
    }

    /// Makes a Worker, with an id of the caller's.
    ///
    /// # Errors
    /// As it is refused.
    pub(crate) async fn create(&self, request: CreateWorker) -> Result<CreateReceipt, CliError> {
        match self {
            Self::Here(runtime) => Ok(runtime.catalog().create(request).await?),
            Self::Server(served) => {
                let remote = served.current.remote();
                let about = About::creation(&request);
                let call = async || remote.client.create_worker(&request).await;
                Ok(remote.insist(about, call).await?.answer)
            }
        }
    }

    /// Sends an input, with an id of the caller's.
    ///
    /// # Errors
    /// As it is refused.
    pub(crate) async fn send_input(
        &self,
        worker_id: WorkerId,
        input: SubmitInput,
    ) -> Result<InputReceipt, CliError> {
        match self {
            Self::Here(runtime) => Ok(runtime.interaction().send_input(worker_id, input).await?),
            Self::Server(served) => {
                let remote = served.current.remote();
                let about = About::worker(worker_id).of(&["worker", "send"]);
                let call = async || remote.client.send_input(worker_id, &input).await;
                Ok(remote.insist(about, call).await?.answer)
            }
        }
    }

    /// The Worker as it is now.
    ///
    /// # Errors
    /// When there is none, or the server can't be asked.
    pub(crate) async fn worker(&self, worker_id: WorkerId) -> Result<WorkerView, CliError> {
        match self {
            Self::Here(runtime) => Ok(runtime.catalog().get(worker_id)?),
            Self::Server(served) => {
                let remote = served.current.remote();
                let call = remote.client.worker(worker_id);
                remote.or_told(About::worker(worker_id), call).await
            }
        }
    }

    /// What comes after a cursor of a Worker, with previews where there are any.
    ///
    /// # Errors
    /// When it can't be followed.
    pub(super) async fn events(
        &self,
        worker_id: WorkerId,
        after: Cursor,
    ) -> Result<Events, CliError> {
        let (stream, start) = (Stream::Worker(worker_id), From::After(after));
        match self {
            Self::Here(runtime) => {
                let options = ObserveOptions {
                    deltas: true,
                    ..ObserveOptions::default()
                };
                let observed = runtime.observation().observe(stream, start, options)?;
                Ok(Events::Here(observed))
            }
            Self::Server(served) => {
                Events::of_server_that_knows(&served.current, stream, start).await
            }
        }
    }

    /// The Worker as it is in the store of a server that has ended, with what its run has not ended;
    /// `None` when somebody has the store again.
    ///
    /// # Errors
    /// When there is no such Worker, or the store can't be read.
    pub(super) async fn stopped(
        &self,
        worker_id: WorkerId,
    ) -> Result<Option<(WorkerView, Vec<UnfinishedBlock>)>, CliError> {
        let Self::Server(served) = self else {
            return Ok(None);
        };
        let read = served.current.read_stopped(move |store| {
            let worker = store.observation.worker(worker_id)?;
            let nothing = TranscriptFrom::Item(u64::MAX);
            let page = store.observation.transcript(worker_id, nothing, 1)?;
            Ok((worker, page.unfinished))
        });
        read.await
    }

    /// Pictures of what a Worker's run has not ended, where its events bring none.
    pub(super) fn previews(&self, worker_id: WorkerId, after: Cursor) -> Option<Previews> {
        match self {
            Self::Here(_) => None,
            Self::Server(served) => Some(Previews::start(served.current.clone(), worker_id, after)),
        }
    }

    /// The position of the newest event of a Worker after this cursor, or of one of the newest; `None`
    /// when there is none.
    ///
    /// # Errors
    /// When the events can't be read.
    pub(super) async fn newest_after(
        &self,
        worker_id: WorkerId,
        after: Cursor,
    ) -> Result<Option<Position>, CliError> {
        let (stream, start) = (Stream::Worker(worker_id), From::After(after));
        match self {
            Self::Here(runtime) => {
                let page = runtime
                    .observation()
                    .events(stream, start, PageSize::default())?;
                Ok(page.events.last().map(|(cursor, _)| cursor.position()))
            }
            Self::Server(served) => {
                let remote = served.current.remote();
                let count = PageSize::default().events_max;
                let call = remote.client.events(stream, start, count, Duration::ZERO);
                let page = remote.or_told(About::worker(worker_id), call).await?;
                Ok(page.events.last().map(|event| event.cursor.position()))
            }
        }
    }

    /// Whether what stands before this cursor happened before the call.
    pub(super) fn happened_before(&self, cursor: Cursor) -> bool {
        match self {
            // The newest event is of this opening, which begins with one.
            Self::Here(runtime) => {
                let newest = runtime.observation().runtime().cursor;
                cursor.incarnation_id() != newest.incarnation_id()
            }
            Self::Server(served) => cursor.position() <= served.known,
        }
    }

    /// Asks for the end of a run; with `pause`, what waits behind it goes on waiting.
    ///
    /// # Errors
    /// When the server may not have heard of it.
    pub(super) async fn cancel_run(
        &self,
        worker_id: WorkerId,
        run_id: RunId,
        pause: bool,
    ) -> Result<(), CliError> {
        // Refused when the Worker ends, and then nothing of it begins either; or when the run has ended
        // meanwhile, and then its outcome is on its way.
        match self {
            Self::Here(runtime) => {
                if pause {
                    let _ = runtime.catalog().pause(worker_id).await;
                }
                let _ = runtime.interaction().cancel_run(worker_id, run_id).await;
                Ok(())
            }
            Self::Server(served) => {
                let remote = served.current.remote();
                let about = About::worker(worker_id);
                if pause {
                    let call = || remote.client.pause_worker(worker_id);
                    heard(remote.insist(about, call).await)?;
                }
                let call = || remote.client.cancel_run(worker_id, run_id);
                heard(remote.insist(about, call).await)
            }
        }
    }

    /// Answers what a run asks for, which it did before the cursor.
    ///
    /// # Errors
    /// As it is refused.
    pub(super) async fn answer(
        &self,
        worker_id: WorkerId,
        run_id: RunId,
        action_id: ActionId,
        option: String,
        after: Cursor,
    ) -> Result<Position, CliError> {
        match self {
            Self::Here(runtime) => {
                let interaction = runtime.interaction();
                Ok(interaction
                    .answer(worker_id, run_id, action_id, option)
                    .await?)
            }
            Self::Server(served) => {
                let remote = served.current.remote();
                let answer = Answer {
                    worker_id,
                    run_id,
                    action_id,
                    option,
                };
                remote.answer(&answer, after).await
            }
        }
    }

    /// Ends a Worker whose run is over.
    ///
    /// # Errors
    /// When the server may not have heard of it.
    pub(super) async fn stop_worker(&self, worker_id: WorkerId) -> Result<(), CliError> {
        let reason = Some("its run is over".to_owned());
        // Refused only when it has ended already, and then there is nothing left to do.
        match self {
            Self::Here(runtime) => {
                let options = EndOptions {
                    reason,
                    ..EndOptions::default()
                };
                let _ = runtime.catalog().stop(worker_id, options).await;
                Ok(())
            }
            Self::Server(served) => {
                let remote = served.current.remote();
                let end = EndWorker {
                    reason,
                    ..EndWorker::default()
                };
                let call = || remote.client.stop_worker(worker_id, &end);
                heard(remote.insist(About::worker(worker_id), call).await)
            }
        }
    }

    /// Closes what was opened here; a server goes on.
    ///
    /// # Errors
    /// When the store can't be closed clean.
    pub(super) async fn close(&self) -> Result<(), Unavailable> {
        match self {
            Self::Here(runtime) => runtime.close().await,
            Self::Server(_) => Ok(()),
        }
    }

    /// The error, once what was opened here is closed.
    pub(crate) async fn closed_after(&self, error: CliError) -> Failure {
        match self {
            Self::Here(runtime) => target::closed_after(runtime, error).await,
            Self::Server(_) => error.into(),
        }
    }
}

/// Whether the server heard of it, whatever it said.
fn heard<T>(answered: Result<Answered<T>, CliError>) -> Result<(), CliError> {
    match answered {
        Err(error) if is_passing(&error) => Err(error),
        _ => Ok(()),
    }
}
