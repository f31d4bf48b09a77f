//! Leases: taken, renewed and given back by those who are no Workers, and read.

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use worker_runtime_core::{
    Code, LeaseId,
    lease::{AcquireLease, RenewLease},
    view::{LeaseList, LeaseReceipt, LeaseVerified, LeaseView},
};

use super::{
    allocations::{AllocationsQuery, ChangeQuery, VerifyQuery, said},
    workers::CreateQuery,
};
use crate::{
    server::{
        app::App,
        auth::Access,
        extract::{Json as Body, Named, Path, Query, idempotency_key, named_by},
        refusal::Refusal,
        routes::AnswerHeader,
    },
    wire::{LeaseRelease, ReleaseLease, WouldAcquire, WouldRelease},
};

pub(in crate::server) async fn list(
    State(app): State<App>,
    Query(query): Query<AllocationsQuery>,
) -> Json<LeaseList> {
    let observation = app.0.runtime.observation();
    Json(observation.leases(query.offset, query.limit.0))
}

pub(in crate::server) async fn get(
    State(app): State<App>,
    Path(lease_id): Path<LeaseId>,
) -> Result<Json<LeaseView>, Refusal> {
    let lease = app.0.runtime.observation().lease(lease_id)?;
    Ok(Json(lease))
}

pub(in crate::server) async fn verify(
    State(app): State<App>,
    Path(lease_id): Path<LeaseId>,
    Query(query): Query<VerifyQuery>,
) -> Result<Json<LeaseVerified>, Refusal> {
    let asked = query.into();
    let verified = app.0.runtime.allocations().verify_lease(lease_id, &asked);
    verified.map(Json).map_err(Into::into)
}

pub(in crate::server) async fn acquire(
    State(app): State<App>,
    Query(query): Query<CreateQuery>,
    headers: HeaderMap,
    Extension(access): Extension<Access>,
    Body(mut request): Body<AcquireLease>,
) -> Result<Response, Refusal> {
    if request.lease_id.is_none() {
        let runtime_id = app.0.runtime.observation().runtime_id();
        let named = idempotency_key(&headers)?.map(|key| named_by(&key, runtime_id, Named::Lease));
        request.lease_id = named.map(LeaseId::from_bytes);
    }
    let allocations = access.operate(&app, None)?.allocations();
    if query.dry_run {
        let would_acquire = allocations.would_acquire(request).await?;
        return Ok(Json(WouldAcquire { would_acquire }).into_response());
    }
    let receipt = allocations.acquire(request).await?;
    let status = match receipt.repeated {
        true => StatusCode::OK,
        false => StatusCode::CREATED,
    };
    let location = format!("/v1/leases/{}", receipt.lease.lease_id);
    let mut response = (status, Json(receipt)).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        let headers = response.headers_mut();
        headers.insert(AnswerHeader::Location.name(), location);
    }
    Ok(response)
}

pub(in crate::server) async fn renew(
    State(app): State<App>,
    Path(lease_id): Path<LeaseId>,
    Body(request): Body<RenewLease>,
) -> Result<Json<LeaseReceipt>, Refusal> {
    let renewed = app.0.runtime.allocations().renew(lease_id, &request).await;
    Ok(Json(renewed?))
}

pub(in crate::server) async fn release(
    State(app): State<App>,
    Path(lease_id): Path<LeaseId>,
    Query(query): Query<ChangeQuery>,
    Extension(access): Extension<Access>,
    Body(request): Body<ReleaseLease>,
) -> Result<Json<LeaseRelease>, Refusal> {
    let allocations = access.operate(&app, None)?.allocations();
    let ReleaseLease {
        fence,
        reason,
        force,
    } = request;
    let (fence, reason) = match (force, fence) {
        (true, None) => (None, Some(said(reason)?)),
        (true, Some(_)) => return Err(fenced_force()),
        (false, Some(fence)) => (Some(fence), reason),
        (false, None) => return Err(unfenced()),
    };
    if query.dry_run {
        let would = allocations.would_release_lease(lease_id, fence, reason);
        would.await?;
        let would_release = true;
        return Ok(Json(LeaseRelease::Tried(WouldRelease { would_release })));
    }
    let released = match (fence, reason) {
        (Some(fence), reason) => allocations.release_lease(lease_id, fence, reason).await,
        (None, reason) => {
            let reason = reason.unwrap_or_default();
            allocations.release_lease_by_force(lease_id, reason).await
        }
    };
    Ok(Json(LeaseRelease::Released(released?)))
}

/// Whoever gives a lease back shows that it is its holder.
fn unfenced() -> Refusal {
    let detail = "`fence` is missing; show the lease's, or say `force` and why";
    Refusal::new(Code::FieldInvalid, detail).with_field("fence")
}

/// Whoever shows a fence and says `force` may mean either: by force it goes whatever the fence is.
fn fenced_force() -> Refusal {
    let detail = "`fence` and `force` exclude each other: leave out `force` to give your own lease back, or `fence` to take it whoever holds it";
    Refusal::new(Code::FieldInvalid, detail).with_field("fence")
}
