//! The calls that only read.

use std::{fmt::Write as _, time::Duration};

use worker_runtime_core::{
    Cursor, EventFilter, LeaseId, ListOrder, OperationId, Permission, ReceivedEvent, RuntimeId,
    Stream, TranscriptFrom, WorkerFilter, WorkerId,
    cursor::From as Start,
    operation::{OperationList, OperationOrder, OperationsRequest},
    profile::ResolvedProfile,
    view::{
        AllocationList, AllocationView, Diagnostic, FenceVerified, LeaseList, LeaseVerified,
        LeaseView, OperationView, Place, PlaceHolders, RuntimeStatus, TranscriptPage, VerifyFence,
        WorkerView,
    },
};

use super::{
    Client, ClientError, EntityTag,
    call::{Call, escaped},
};
use crate::wire::{
    BackendView, CheckAllocation, EventsBody, GapBody, ReadyBody, TokenView, WorkersBody,
};

type Result<T> = std::result::Result<T, ClientError>;

/// A page of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct EventsPage {
    /// The Runtime.
    pub runtime_id: RuntimeId,
    /// Where the page begins: a relative start, resolved.
    pub start: Cursor,
    /// What is missing before the first event.
    pub gap: Option<GapBody>,
    /// The events, each with the cursor after it.
    pub events: Vec<ReceivedEvent>,
    /// The cursor to go on from.
    pub next: Cursor,
    /// Whether there is nothing more now.
    pub up_to_date: bool,
}

impl Client {
    /// What the Runtime says of itself.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn runtime(&self) -> Result<RuntimeStatus> {
        self.call(Call::get("/v1/runtime")).await
    }

    /// What an operator should know.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn diagnostics(&self) -> Result<Vec<Diagnostic>> {
        self.call(Call::get("/v1/diagnostics")).await
    }

    /// The profiles there are.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn profiles(&self) -> Result<Vec<ResolvedProfile>> {
        self.call(Call::get("/v1/profiles")).await
    }

    /// The execution backends there are.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn backends(&self) -> Result<Vec<BackendView>> {
        self.call(Call::get("/v1/backends")).await
    }

    /// Whether the Runtime takes work; needs no token.
    ///
    /// # Errors
    /// [`ClientError`]; a server that is not ready has an answer and no error.
    pub async fn health(&self) -> Result<ReadyBody> {
        self.call(Call::get("/healthz")).await
    }

    /// The version of the program that serves; needs no token.
    ///
    /// # Errors
    /// [`ClientError::Protocol`] when what answers is no worker-runtime.
    pub async fn version(&self) -> Result<String> {
        let document: serde_json::Value = self.call(Call::get("/openapi.json")).await?;
        let info = |name: &str| document.get("info")?.get(name)?.as_str();
        match (info("title"), info("version")) {
            (Some("worker-runtime"), Some(version)) => Ok(version.to_owned()),
            _ => Err(self.protocol("it describes another interface")),
        }
    }

    /// Workers, filtered, sorted and paged.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn workers(
        &self,
        filter: &WorkerFilter,
        order: ListOrder,
        offset: usize,
        count_max: usize,
    ) -> Result<WorkersBody> {
        let mut path = format!(
            "/v1/workers?archived={}&sort={}&offset={offset}&limit={}",
            filter.archived,
            match order {
                ListOrder::Created => "created",
                ListOrder::Name => "name",
            },
            count_max.clamp(1, 1_000),
        );
        for lifecycle in &filter.lifecycles {
            let _ = write!(path, "&lifecycle={}", escaped(lifecycle));
        }
        for (key, value) in &filter.labels {
            let _ = write!(path, "&label={}", escaped(&format!("{key}={value}")));
        }
        if let Some(name) = &filter.name_contains {
            let _ = write!(path, "&name_contains={}", escaped(name));
        }
        if let Some(busy) = filter.busy {
            let _ = write!(path, "&busy={busy}");
        }
        self.call(Call::get(path)).await
    }

    /// One Worker; ended ones too.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn worker(&self, worker_id: WorkerId) -> Result<WorkerView> {
        self.call(Call::get(format!("/v1/workers/{worker_id}")))
            .await
    }

    /// As [`worker`](Self::worker), with its tag, for a change [only if](Self::only_if) it is still that.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn worker_tagged(&self, worker_id: WorkerId) -> Result<(WorkerView, EntityTag)> {
        self.call_tagged(Call::get(format!("/v1/workers/{worker_id}")))
            .await
    }

    /// A page of a Worker's transcript.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn transcript(
        &self,
        worker_id: WorkerId,
        from: TranscriptFrom,
        count_max: usize,
    ) -> Result<TranscriptPage> {
        let from = match from {
            TranscriptFrom::Item(item) => format!("&from={item}"),
            TranscriptFrom::Before(item) => format!("&before={item}"),
            TranscriptFrom::End => String::new(),
        };
        let limit = count_max.clamp(1, 1_000);
        let path = format!("/v1/workers/{worker_id}/transcript?limit={limit}{from}");
        self.call(Call::get(path)).await
    }

    /// A page of a stream. When there is nothing, waits for as long as `wait` says, in whole seconds
    /// and 60 at most.
    ///
    /// # Errors
    /// [`ClientError`]; a cursor that can't be followed is a refusal that names where one can go on.
    pub async fn events(
        &self,
        stream: Stream,
        start: Start,
        count_max: usize,
        wait: Duration,
    ) -> Result<EventsPage> {
        self.events_that(stream, start, count_max, wait, &EventFilter::ALL)
            .await
    }

    /// As [`events`](Self::events), with those that a filter takes. A page may be empty and not up to date;
    /// its `next` is behind what was looked through.
    ///
    /// # Errors
    /// As [`events`](Self::events).
    pub async fn events_that(
        &self,
        stream: Stream,
        start: Start,
        count_max: usize,
        wait: Duration,
        filter: &EventFilter,
    ) -> Result<EventsPage> {
        let base = match stream {
            Stream::Runtime => "/v1/events".to_owned(),
            Stream::Worker(worker_id) => format!("/v1/workers/{worker_id}/events"),
        };
        let start = match start {
            Start::Beginning => "from=beginning".to_owned(),
            Start::Now => "from=now".to_owned(),
            Start::After(cursor) => format!("cursor={cursor}"),
        };
        let limit = count_max.clamp(1, 1_000);
        // Neither has a character that an address can't have.
        let types = filter
            .types
            .iter()
            .map(|pattern| format!("&type={pattern}"));
        let run = filter.run_id.map(|run_id| format!("&run_id={run_id}"));
        let filter: String = types.chain(run).collect();
        let path = format!(
            "{base}?{start}&limit={limit}&wait={}{filter}",
            wait.as_secs().min(60)
        );
        let body: EventsBody = self.call(Call::get(path).waiting(wait)).await?;
        let events = body
            .events
            .iter()
            .map(|event| ReceivedEvent::from_json(event.get()));
        let events: std::result::Result<Vec<_>, _> = events.collect();
        Ok(EventsPage {
            runtime_id: body.runtime_id,
            start: body.start,
            gap: body.gap,
            events: events.map_err(|error| self.protocol(error.to_string()))?,
            next: body.next,
            up_to_date: body.up_to_date,
        })
    }

    /// What is held, oldest grant first, paged.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn allocations(&self, offset: usize, count_max: usize) -> Result<AllocationList> {
        let limit = count_max.clamp(1, 1_000);
        let path = format!("/v1/allocations?offset={offset}&limit={limit}");
        self.call(Call::get(path)).await
    }

    /// What one Worker holds.
    ///
    /// # Errors
    /// [`ClientError`]; one that holds nothing is refused with that code.
    pub async fn allocation(&self, worker_id: WorkerId) -> Result<AllocationView> {
        self.call(Call::get(format!("/v1/allocations/{worker_id}")))
            .await
    }

    /// Who holds a place, and what lies below it. One without a mount needs scope `admin`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn who(&self, place: &Place) -> Result<PlaceHolders> {
        let mut path = format!("/v1/allocations/who?path={}", escaped(&place.path));
        if let Some(mount) = &place.mount {
            let _ = write!(path, "&mount={}", escaped(mount));
        }
        self.call(Call::get(path)).await
    }

    /// Whether this would be granted; nothing is changed.
    ///
    /// # Errors
    /// [`ClientError`], as the grant would be refused.
    pub async fn check_allocation(&self, asked: &CheckAllocation) -> Result<()> {
        let call = Call::post("/v1/allocations/check").json(asked);
        self.call_for_nothing(call).await
    }

    /// Whether a fence is current and its run may touch a place: ask before you write.
    ///
    /// # Errors
    /// [`ClientError`]; whoever is refused must not write.
    pub async fn verify_fence(
        &self,
        worker_id: WorkerId,
        asked: &VerifyFence,
    ) -> Result<FenceVerified> {
        let path = verify_path(&format!("/v1/allocations/{worker_id}"), asked);
        self.call(Call::get(path)).await
    }

    /// What others than Workers hold, oldest grant first, paged.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn leases(&self, offset: usize, count_max: usize) -> Result<LeaseList> {
        let limit = count_max.clamp(1, 1_000);
        let path = format!("/v1/leases?offset={offset}&limit={limit}");
        self.call(Call::get(path)).await
    }

    /// Who changed what, when and why: a page, from either end.
    ///
    /// # Errors
    /// [`ClientError`]; it needs scope `operate`.
    pub async fn operations(&self, request: &OperationsRequest) -> Result<OperationList> {
        let order = match request.order {
            OperationOrder::Newest => "newest",
            OperationOrder::Oldest => "oldest",
        };
        let limit = request.count_max.clamp(1, 1_000);
        let mut path = format!("/v1/operations?order={order}&limit={limit}");
        if let Some(worker_id) = request.worker_id {
            let _ = write!(path, "&worker_id={worker_id}");
        }
        if let Some(since) = request.since {
            let _ = write!(path, "&since={since}");
        }
        if let Some(after) = request.after {
            let _ = write!(path, "&after={after}");
        }
        self.call(Call::get(path)).await
    }

    /// One operation.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn operation(&self, operation_id: OperationId) -> Result<OperationView> {
        let path = format!("/v1/operations/{operation_id}");
        self.call(Call::get(path)).await
    }

    /// What one lease holds, and until when.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn lease(&self, lease_id: LeaseId) -> Result<LeaseView> {
        self.call(Call::get(format!("/v1/leases/{lease_id}"))).await
    }

    /// Whether a lease's fence is current and its holder may touch a place: ask before you write.
    ///
    /// # Errors
    /// [`ClientError`]; whoever is refused must not write.
    pub async fn verify_lease(
        &self,
        lease_id: LeaseId,
        asked: &VerifyFence,
    ) -> Result<LeaseVerified> {
        let path = verify_path(&format!("/v1/leases/{lease_id}"), asked);
        self.call(Call::get(path)).await
    }

    /// The access tokens there are, without their secrets.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tokens(&self) -> Result<Vec<TokenView>> {
        self.call(Call::get("/v1/tokens")).await
    }
}

/// Where it is asked about a fence.
fn verify_path(of: &str, asked: &VerifyFence) -> String {
    let (mount, path) = (escaped(&asked.place.mount), escaped(&asked.place.path));
    let permission = match asked.permission {
        Permission::Read => "read",
        Permission::Write => "write",
    };
    let fence = asked.fence;
    format!("{of}/verify?fence={fence}&mount={mount}&path={path}&permission={permission}")
}
