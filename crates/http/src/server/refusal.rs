//! Every error as a problem: its code's status, and what may be told of it.
//!
//! The domain knows no status; this is the one total match from codes to statuses. What goes out is
//! fit for a client: details of the store and of bugs stay in the log, under the request's id (I11).

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use worker_runtime_core::{
    Code, CursorError, ScopeError,
    error::{
        AllocationError, CreateError, FenceError, FieldInvalid, LeaseError, LifecycleError,
        ManageError, NoLease, NoOperation, ReadError, RunError, ScopeRefusal, SubmitError,
        Unavailable, WorkerError,
    },
};

use super::{auth::TokensError, routes::AnswerHeader};
use crate::wire::{AccessScope, Problem};

/// Why a request was refused, on its way out.
#[derive(Debug)]
pub(super) struct Refusal(Box<Problem>);

impl Refusal {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(
            code,
            status_of(code).as_u16(),
            detail,
        )))
    }

    /// With another status than its code's.
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status.as_u16();
        self
    }

    pub(super) fn with_field(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    pub(super) fn with_scope(mut self, needed: AccessScope) -> Self {
        self.0.scope = Some(needed);
        self
    }

    /// Whether what was asked for is not there, or not any more.
    pub(super) fn says_gone(&self) -> bool {
        matches!(self.0.code, Code::WorkerUnknown | Code::WorkerDeleted)
    }

    fn with_refusal(self, refusal: &ScopeRefusal) -> Self {
        self.with(|told| {
            told.owners = refusal.owners().to_vec();
            if let ScopeRefusal::Undelegated { parent, .. } = refusal {
                told.worker_id = Some(*parent);
            }
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Problem)) -> Self {
        change(&mut self.0);
        self
    }
}

/// The status of a code. `Code` grows, so the last arm is for codes of a later version.
#[allow(clippy::match_same_arms, reason = "one line for each family")]
pub(super) const fn status_of(code: Code) -> StatusCode {
    match code {
        Code::FieldInvalid | Code::ObjectiveEmpty | Code::ScopeInvalid => StatusCode::BAD_REQUEST,
        Code::ProfileUnknown | Code::BundleUnknown | Code::BackendUnknown => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        Code::BackendConfig | Code::ParentUnknown => StatusCode::UNPROCESSABLE_ENTITY,
        Code::InputEmpty | Code::CursorMalformed => StatusCode::BAD_REQUEST,
        Code::BodyInvalid | Code::QueryInvalid | Code::HeaderInvalid | Code::Usage => {
            StatusCode::BAD_REQUEST
        }
        Code::TokenMissing | Code::TokenInvalid => StatusCode::UNAUTHORIZED,
        Code::TokenScope | Code::OriginRefused | Code::StateDenied => StatusCode::FORBIDDEN,
        Code::WorkerUnknown | Code::RunUnknown | Code::ActionUnknown => StatusCode::NOT_FOUND,
        Code::RouteUnknown | Code::TokenUnknown => StatusCode::NOT_FOUND,
        Code::LeaseUnknown | Code::OperationUnknown => StatusCode::NOT_FOUND,
        Code::MethodRefused => StatusCode::METHOD_NOT_ALLOWED,
        Code::WorkerDeleted | Code::CursorExpired => StatusCode::GONE,
        Code::WorkerExists | Code::ScopeConflict | Code::InputBusy => StatusCode::CONFLICT,
        Code::ScopeInUse | Code::ScopeLent | Code::ScopeNotHeld => StatusCode::CONFLICT,
        Code::FenceStale | Code::LeaseExists => StatusCode::CONFLICT,
        Code::ScopeUndelegated | Code::ScopeDenied => StatusCode::FORBIDDEN,
        Code::WorkerNotActive | Code::WorkerNotEnded => StatusCode::CONFLICT,
        // What a user stopped stays stopped: asking again does not help, so it is no 503.
        Code::RuntimeStopped => StatusCode::CONFLICT,
        Code::InputIncapable | Code::RunStale | Code::RunUnproven => StatusCode::CONFLICT,
        Code::CursorForeign | Code::CursorForked => StatusCode::CONFLICT,
        Code::ActionOption => StatusCode::UNPROCESSABLE_ENTITY,
        Code::CursorAhead => StatusCode::RANGE_NOT_SATISFIABLE,
        Code::InputTooLarge | Code::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::WorkerChanged => StatusCode::PRECONDITION_FAILED,
        Code::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Code::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
        Code::HostRefused => StatusCode::MISDIRECTED_REQUEST,
        Code::InputQueueFull | Code::InputQuota => StatusCode::TOO_MANY_REQUESTS,
        Code::WorkerLimit | Code::LeaseLimit => StatusCode::TOO_MANY_REQUESTS,
        Code::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        Code::RuntimeClosed => StatusCode::SERVICE_UNAVAILABLE,
        Code::OutcomeUnknown | Code::ServerBusy => StatusCode::SERVICE_UNAVAILABLE,
        Code::WorkerDamaged | Code::EventDamaged | Code::RecordDamaged => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Refusal {
    /// The body is written by [`finish`], which knows the request's id.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status);
        let mut response = status
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            .into_response();
        response.extensions_mut().insert(Told(self.0));
        response
    }
}

/// A problem that waits for its request's id.
#[derive(Clone)]
struct Told(Box<Problem>);

/// Writes the body of a refusal, and the headers that go with its status.
pub(super) fn finish(mut response: Response, request_id: &str) -> Response {
    let Some(Told(mut problem)) = response.extensions_mut().remove::<Told>() else {
        return response;
    };
    problem.request_id = Some(request_id.to_owned());
    if problem.status >= 500 {
        tracing::warn!(code = %problem.code, request_id, "a request failed");
    }
    let headers = response.headers_mut();
    let value = HeaderValue::from_static("application/problem+json");
    headers.insert(header::CONTENT_TYPE, value);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match problem.status {
        401 => {
            let value = HeaderValue::from_static("Bearer realm=\"worker-runtime\"");
            headers.insert(AnswerHeader::WwwAuthenticate.name(), value);
        }
        426 => {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        }
        429 | 503 => {
            headers.insert(
                AnswerHeader::RetryAfter.name(),
                HeaderValue::from_static("1"),
            );
        }
        _ => {}
    }
    headers.remove(header::CONTENT_LENGTH);
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    *response.body_mut() = Body::from(body);
    response
}

impl From<Unavailable> for Refusal {
    fn from(error: Unavailable) -> Self {
        let code = error.code();
        match &error {
            Unavailable::Store { .. } | Unavailable::Bug { .. } => {
                tracing::error!(%error, "a request failed inside");
                let detail = "it failed inside; the server's log tells why, under the request's id";
                Self::new(code, detail)
            }
            _ => Self::new(code, error.to_string()),
        }
    }
}

impl From<WorkerError> for Refusal {
    fn from(error: WorkerError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<CreateError> for Refusal {
    fn from(error: CreateError) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error {
            CreateError::Unavailable(error)
            | CreateError::Input(SubmitError::Unavailable(error)) => error.into(),
            CreateError::ScopeRefused(refusal) => told.with_refusal(&refusal),
            CreateError::Field(field) => told.with_field(field.field),
            CreateError::ObjectiveEmpty { field } => told.with_field(field),
            _ => told,
        }
    }
}

impl From<SubmitError> for Refusal {
    fn from(error: SubmitError) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error {
            SubmitError::Unavailable(error) => error.into(),
            SubmitError::Field(field) => told.with_field(field.field),
            SubmitError::Busy {
                worker_id,
                input_id,
                ..
            } => told.with(|told| {
                told.worker_id = Some(worker_id);
                told.input_id = Some(input_id);
            }),
            _ => told,
        }
    }
}

impl From<LifecycleError> for Refusal {
    fn from(error: LifecycleError) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error {
            LifecycleError::Unavailable(error) => error.into(),
            LifecycleError::ScopeRefused(refusal) => told.with_refusal(&refusal),
            LifecycleError::Field(field) => told.with_field(field.field),
            _ => told,
        }
    }
}

impl From<ScopeError> for Refusal {
    fn from(error: ScopeError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<AllocationError> for Refusal {
    fn from(error: AllocationError) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error {
            AllocationError::Unavailable(error) => error.into(),
            AllocationError::Refused(refusal) => told.with_refusal(&refusal),
            AllocationError::Field(field) => told.with_field(field.field),
            AllocationError::Lent { child, .. } => told.with(|told| told.worker_id = Some(child)),
            AllocationError::InUse { worker_id, run_id } => told.with(|told| {
                told.worker_id = Some(worker_id);
                told.run_id = run_id;
            }),
            _ => told,
        }
    }
}

impl From<LeaseError> for Refusal {
    fn from(error: LeaseError) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error {
            LeaseError::Unavailable(error) => error.into(),
            LeaseError::Refused(refusal) => told.with_refusal(&refusal),
            LeaseError::Field(field) => told.with_field(field.field),
            _ => told,
        }
    }
}

impl From<FieldInvalid> for Refusal {
    fn from(error: FieldInvalid) -> Self {
        Self::new(Code::FieldInvalid, error.to_string()).with_field(error.field)
    }
}

impl From<NoOperation> for Refusal {
    fn from(error: NoOperation) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<NoLease> for Refusal {
    fn from(error: NoLease) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<FenceError> for Refusal {
    fn from(error: FenceError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<RunError> for Refusal {
    fn from(error: RunError) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error {
            RunError::Unavailable(error) => error.into(),
            RunError::Field(field) => told.with_field(field.field),
            _ => told,
        }
    }
}

impl From<ManageError> for Refusal {
    fn from(error: ManageError) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error {
            ManageError::Unavailable(error) => error.into(),
            ManageError::Field(field) => told.with_field(field.field),
            _ => told,
        }
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error {
            ReadError::Unavailable(error) => error.into(),
            ReadError::Cursor(cursor) => told.with(|told| tell_cursor(told, cursor)),
            _ => told,
        }
    }
}

/// Where one can go on.
fn tell_cursor(told: &mut Problem, error: CursorError) {
    match error {
        CursorError::Expired { earliest, tail } => {
            told.earliest = Some(earliest);
            told.tail = Some(tail);
        }
        CursorError::Ahead { tail } | CursorError::Foreign { tail } => told.tail = Some(tail),
        CursorError::Forked { fork_at, tail } => {
            told.fork_at = Some(fork_at);
            told.tail = Some(tail);
        }
        _ => {}
    }
}

impl From<TokensError> for Refusal {
    fn from(error: TokensError) -> Self {
        match &error {
            TokensError::Name(_) => {
                Self::new(Code::FieldInvalid, error.to_string()).with_field("name")
            }
            TokensError::Expiry(_) => {
                Self::new(Code::FieldInvalid, error.to_string()).with_field("expires_in_seconds")
            }
            TokensError::TooMany => Self::new(Code::WorkerLimit, error.to_string())
                .with_status(StatusCode::TOO_MANY_REQUESTS),
            TokensError::Io { .. }
            | TokensError::Unreadable { .. }
            | TokensError::OpenToOthers { .. }
            | TokensError::NotLocal { .. } => {
                tracing::error!(%error, "the access tokens can't be kept");
                Self::new(
                    Code::StateIo,
                    "the access tokens can't be kept; the server's log tells why",
                )
            }
        }
    }
}
