//! What is read, and from where: a store that nobody runs, or the server that runs it. Every command
//! that reads goes through here and prints what it gets by the same code, so that what it prints is
//! the same both ways.

use std::{path::Path, time::Duration};

use serde::Serialize;
use worker_runtime_core::{
    EventFilter, ListOrder, PageSize, Stream, TranscriptFrom, WorkerFilter, WorkerId, WorkerList,
    cursor::From as Start,
    error::ReadError,
    view::{Diagnostic, EventPage, RuntimeStatus, TranscriptPage, WorkerView},
};
use worker_runtime_http::client::EventsPage;
use worker_runtime_persist::{OpenError, ReadStore, Serving};

use super::{
    About, ReadTarget, Server, path,
    server::{holding, named},
    store::waiting,
};
use crate::{args::Global, config::Config, error::CliError, output::Printer};

/// The largest page that a server gives.
pub(super) const PAGE_MAX: usize = 1_000;

/// What a command reads.
pub(crate) enum Target {
    /// A store that nobody runs.
    Store(Box<ReadTarget>),
    /// The server that runs it.
    Server(Server),
}

/// Where something was read, in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// A store that nobody runs.
    Store,
    /// A server.
    Server,
}

/// A document that says where it was read.
#[derive(Serialize)]
pub(crate) struct Sourced<'a, T> {
    source: Source,
    #[serde(flatten)]
    document: &'a T,
}

/// Opens what is to be read: the server that was named or that holds the state directory, else the
/// store.
///
/// # Errors
/// When there is neither, or a process holds the store that serves nobody.
pub(crate) fn open(global: &Global, printer: &Printer) -> Result<Target, CliError> {
    if let Some(server) = named(global)? {
        return Ok(Target::Server(server));
    }
    let path = path(global)?;
    match waiting(global, || ReadStore::open(&path)) {
        Ok(store) => Ok(Target::Store(Box::new(ReadTarget::new(
            path,
            store,
            &Config::load(global)?,
        )?))),
        Err(OpenError::Locked {
            pid,
            address: Some(address),
            ..
        }) => {
            let serving = Serving { pid, address };
            holding(global, path, &serving, printer).map(Target::Server)
        }
        Err(error) => Err(error.into()),
    }
}

impl Target {
    /// Whether a live owner runs it.
    pub(crate) const fn is_live(&self) -> bool {
        matches!(self, Self::Server(_))
    }

    /// The server, if it is one; a store is closed.
    pub(crate) fn into_server(self) -> Option<Server> {
        match self {
            Self::Store(_) => None,
            Self::Server(server) => Some(server),
        }
    }

    /// The state directory, where it is known.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Store(store) => Some(&store.path),
            Self::Server(server) => server.path(),
        }
    }

    pub(crate) const fn source(&self) -> Source {
        match self {
            Self::Store(_) => Source::Store,
            Self::Server(_) => Source::Server,
        }
    }

    /// The document, with where it was read.
    pub(crate) const fn sourced<'a, T>(&self, document: &'a T) -> Sourced<'a, T> {
        Sourced {
            source: self.source(),
            document,
        }
    }

    /// What the Runtime says of itself.
    ///
    /// # Errors
    /// When the server can't be asked; a store that is open always answers.
    pub(crate) fn runtime(&self) -> Result<RuntimeStatus, CliError> {
        match self {
            Self::Store(store) => Ok(store.observation.runtime()),
            Self::Server(server) => server.ask(About::RUNTIME, server.remote.client.runtime()),
        }
    }

    /// What an operator should know.
    ///
    /// # Errors
    /// As [`runtime`](Self::runtime).
    pub(crate) fn diagnostics(&self) -> Result<Vec<Diagnostic>, CliError> {
        match self {
            Self::Store(store) => Ok(store.observation.diagnostics()),
            Self::Server(server) => server.ask(About::RUNTIME, server.remote.client.diagnostics()),
        }
    }

    /// One Worker.
    ///
    /// # Errors
    /// When there is none, or its record is damaged.
    pub(crate) fn worker(&self, worker_id: WorkerId) -> Result<WorkerView, CliError> {
        match self {
            Self::Store(store) => Ok(store.observation.worker(worker_id)?),
            Self::Server(server) => server.ask(
                About::worker(worker_id),
                server.remote.client.worker(worker_id),
            ),
        }
    }

    /// Workers, filtered, sorted and paged.
    ///
    /// # Errors
    /// As [`runtime`](Self::runtime).
    pub(crate) fn workers(
        &self,
        filter: &WorkerFilter,
        order: ListOrder,
        offset: usize,
        count_max: usize,
    ) -> Result<WorkerList, CliError> {
        match self {
            Self::Store(store) => Ok(store.observation.workers(filter, order, offset, count_max)),
            Self::Server(server) => server.workers(filter, order, offset, count_max),
        }
    }

    /// A page of a Worker's transcript.
    ///
    /// # Errors
    /// When there is no such Worker, or the store can't be read.
    pub(crate) fn transcript(
        &self,
        worker_id: WorkerId,
        from: TranscriptFrom,
        count_max: usize,
    ) -> Result<TranscriptPage, CliError> {
        match self {
            Self::Store(store) => Ok(store.observation.transcript(worker_id, from, count_max)?),
            Self::Server(server) => {
                let call = server.remote.client.transcript(worker_id, from, count_max);
                server.ask(About::worker(worker_id), call)
            }
        }
    }

    /// A page of a stream.
    ///
    /// # Errors
    /// When there is no such Worker, or the cursor can't be followed.
    pub(crate) fn events(
        &self,
        stream: Stream,
        start: Start,
        events_max: usize,
        filter: &EventFilter,
    ) -> Result<EventPage, CliError> {
        match self {
            Self::Store(store) => {
                let size = PageSize {
                    events_max,
                    ..PageSize::default()
                };
                let page = store.observation.events_that(stream, start, size, filter);
                page.map_err(|error| told_with_stream(error, stream))
            }
            Self::Server(server) => {
                let about = match stream {
                    Stream::Runtime => About::RUNTIME,
                    Stream::Worker(worker_id) => About::worker(worker_id),
                };
                let client = &server.remote.client;
                let call = client.events_that(stream, start, events_max, Duration::ZERO, filter);
                server.ask(about, call).map(page_of)
            }
        }
    }
}

impl Server {
    /// As many as were asked for, page after page. Between two pages something may have changed.
    fn workers(
        &self,
        filter: &WorkerFilter,
        order: ListOrder,
        offset: usize,
        count_max: usize,
    ) -> Result<WorkerList, CliError> {
        let client = &self.remote.client;
        let mut workers: Vec<WorkerView> = Vec::new();
        loop {
            let begin = offset.saturating_add(workers.len());
            let wanted = count_max.saturating_sub(workers.len()).min(PAGE_MAX);
            let call = client.workers(filter, order, begin, wanted);
            let page = self.ask(About::RUNTIME, call)?;
            workers.extend(page.workers.into_iter().take(wanted));
            if page.next.is_some() && workers.len() < count_max {
                continue;
            }
            let end = offset.saturating_add(workers.len());
            return Ok(WorkerList {
                next: (end < page.total && !workers.is_empty()).then_some(end),
                workers,
                total: page.total,
                damaged: page.damaged,
                cursor: page.cursor,
            });
        }
    }
}

/// A page of the wire as the core has it.
fn page_of(page: EventsPage) -> EventPage {
    let (gap, after_gap) = match page.gap {
        Some(missing) => (Some(missing.gap), Some(missing.cursor)),
        None => (None, None),
    };
    let events = page.events.into_iter();
    EventPage {
        runtime_id: page.runtime_id,
        gap,
        after_gap,
        events: events.map(|event| (event.cursor, event.event)).collect(),
        next: page.next,
        up_to_date: page.up_to_date,
    }
}

/// The suggestion of a cursor must be for the stream that was asked for.
fn told_with_stream(error: ReadError, stream: Stream) -> CliError {
    use worker_runtime_core::{Code, CursorError};

    use crate::suggest::Suggestion;
    let worker_id = match stream {
        Stream::Runtime => None,
        Stream::Worker(worker_id) => Some(worker_id),
    };
    let cursor = match &error {
        ReadError::Cursor(CursorError::Expired { earliest, .. }) => Some(*earliest),
        ReadError::Cursor(CursorError::Ahead { tail }) => Some(*tail),
        ReadError::Cursor(CursorError::Forked { fork_at, .. }) => Some(*fork_at),
        _ => None,
    };
    let mut told = CliError::from(error);
    if matches!(told.code, Code::CursorForeign) {
        told.hints = vec![Suggestion::event_ls(worker_id)];
    } else if let Some(cursor) = cursor {
        told.hints = vec![Suggestion::event_ls_after(worker_id, cursor)];
    }
    told
}
