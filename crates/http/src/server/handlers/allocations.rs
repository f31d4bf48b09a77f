//! What is held: read, asked about, changed, given back and taken back.

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use worker_runtime_core::{
    Code, Fence, Permission, WorkerId,
    error::AllocationError,
    scope::PATH_MAX_BYTES,
    view::{AllocationList, AllocationView, FenceVerified, Place, PlaceHolders, VerifyFence},
    worker::MountRef,
};

use crate::{
    server::{
        app::App,
        auth::Access,
        extract::{Json as Body, OptionalJson, Path, Query, present},
        handlers::{seen::allocations, workers::Limit},
        refusal::Refusal,
    },
    wire::{
        AccessScope, AllocationChange, AllocationReclaim, AllocationRelease, ChangeAllocation,
        CheckAllocation, TakeAllocation, WouldChange, WouldReclaim, WouldRelease,
    },
};

/// Which page of the list is asked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::server) struct AllocationsQuery {
    /// How many to leave out at the beginning
    #[schemars(range(max = usize::MAX))]
    pub(super) offset: usize,
    /// How many to give at most
    pub(super) limit: Limit,
}

/// How a change of what is held is made.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::server) struct ChangeQuery {
    /// Only say what would become of it; nothing is changed
    pub(super) dry_run: bool,
}

/// The place that is asked about.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct WhoQuery {
    /// The mount's name; without one the path is absolute, which needs scope `admin`
    #[serde(default, deserialize_with = "present")]
    #[schemars(schema_with = "mount")]
    mount: Option<String>,
    /// A path below it; empty for the mount itself
    #[serde(default)]
    #[schemars(schema_with = "any_path")]
    path: String,
}

/// What somebody is about to do, with which fence.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct VerifyQuery {
    /// The fence that was granted to the run, or with the lease
    fence: Fence,
    /// The mount's name
    #[schemars(schema_with = "mount")]
    mount: String,
    /// A path below it; empty for the mount itself
    #[serde(default)]
    #[schemars(schema_with = "path")]
    path: String,
    /// What is to be done there
    #[serde(default = "write")]
    permission: Permission,
}

impl From<VerifyQuery> for VerifyFence {
    fn from(query: VerifyQuery) -> Self {
        let VerifyQuery {
            fence,
            mount,
            path,
            permission,
        } = query;
        Self {
            fence,
            place: MountRef { mount, path },
            permission,
        }
    }
}

/// As in a body.
fn mount(generator: &mut SchemaGenerator) -> Schema {
    part("mount", generator)
}

/// As in a body.
fn path(generator: &mut SchemaGenerator) -> Schema {
    part("path", generator)
}

fn part(name: &str, generator: &mut SchemaGenerator) -> Schema {
    let whole = MountRef::json_schema(generator);
    let part = whole.get("properties").and_then(|parts| parts.get(name));
    let part = part.cloned().and_then(|part| Schema::try_from(part).ok());
    part.unwrap_or_default()
}

/// Absolute or not.
fn any_path(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": PATH_MAX_BYTES,
        "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
    })
}

const fn write() -> Permission {
    Permission::Write
}

pub(in crate::server) async fn list(
    State(app): State<App>,
    Query(query): Query<AllocationsQuery>,
) -> Json<AllocationList> {
    let observation = app.0.runtime.observation();
    Json(observation.allocations(query.offset, query.limit.0))
}

pub(in crate::server) async fn get(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
) -> Result<Json<AllocationView>, Refusal> {
    let observation = app.0.runtime.observation();
    if let Some(held) = observation.allocation(worker_id) {
        return Ok(Json(held));
    }
    observation.worker(worker_id)?;
    // There is nothing here that could be in conflict with anything.
    let refusal = Refusal::from(AllocationError::NotHeld(worker_id));
    Err(refusal.with_status(StatusCode::NOT_FOUND))
}

pub(in crate::server) async fn who(
    State(app): State<App>,
    Extension(access): Extension<Access>,
    Query(query): Query<WhoQuery>,
) -> Result<Json<PlaceHolders>, Refusal> {
    let WhoQuery { mount, path } = query;
    // Where symlinks lead, and what there is, is for the operator alone (I11).
    if mount.is_none() {
        access.require(AccessScope::Admin)?;
    }
    let who = app.0.runtime.allocations().who(Place { mount, path });
    who.map(Json).map_err(Into::into)
}

pub(in crate::server) async fn check(
    State(app): State<App>,
    Body(request): Body<CheckAllocation>,
) -> Result<StatusCode, Refusal> {
    let CheckAllocation {
        scope,
        delegation,
        parent,
    } = request;
    let allocations = app.0.runtime.allocations();
    allocations.check(&scope, &delegation, parent)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(in crate::server) async fn verify(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
    Query(query): Query<VerifyQuery>,
) -> Result<Json<FenceVerified>, Refusal> {
    let asked = query.into();
    let verified = app.0.runtime.allocations().verify(worker_id, &asked);
    verified.map(Json).map_err(Into::into)
}

pub(in crate::server) async fn change(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
    Query(query): Query<ChangeQuery>,
    headers: HeaderMap,
    Extension(access): Extension<Access>,
    Body(request): Body<ChangeAllocation>,
) -> Result<Json<AllocationChange>, Refusal> {
    let ChangeAllocation {
        scope,
        delegation,
        reason,
    } = request;
    let allocations = allocations(&access.operate(&app, None)?, &headers)?;
    if query.dry_run {
        let would_change = allocations.would_change(worker_id, &scope, &delegation);
        let would_change = would_change.await?;
        return Ok(Json(AllocationChange::Tried(WouldChange { would_change })));
    }
    let changed = allocations.change(worker_id, &scope, &delegation, reason);
    Ok(Json(AllocationChange::Changed(changed.await?)))
}

pub(in crate::server) async fn release(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
    Query(query): Query<ChangeQuery>,
    headers: HeaderMap,
    Extension(access): Extension<Access>,
    OptionalJson(request): OptionalJson<TakeAllocation>,
) -> Result<Json<AllocationRelease>, Refusal> {
    let allocations = allocations(&access.operate(&app, None)?, &headers)?;
    let TakeAllocation { reason, force } = said_by_force(request)?;
    if query.dry_run {
        let would_release = allocations.would_release(worker_id, reason, force).await?;
        let tried = WouldRelease { would_release };
        return Ok(Json(AllocationRelease::Tried(tried)));
    }
    let released = match (force, reason) {
        (true, reason) => {
            let reason = reason.unwrap_or_default();
            allocations.release_by_force(worker_id, reason).await
        }
        (false, reason) => allocations.release(worker_id, reason).await,
    };
    Ok(Json(AllocationRelease::Released(released?)))
}

pub(in crate::server) async fn reclaim(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
    Query(query): Query<ChangeQuery>,
    headers: HeaderMap,
    Extension(access): Extension<Access>,
    OptionalJson(request): OptionalJson<TakeAllocation>,
) -> Result<Json<AllocationReclaim>, Refusal> {
    let allocations = allocations(&access.operate(&app, None)?, &headers)?;
    let TakeAllocation { reason, force } = said_by_force(request)?;
    if query.dry_run {
        let from = allocations.would_reclaim(worker_id, reason, force).await?;
        return Ok(Json(AllocationReclaim::Tried(WouldReclaim {
            would_reclaim_from: from,
        })));
    }
    let reclaimed = match (force, reason) {
        (true, reason) => {
            let reason = reason.unwrap_or_default();
            allocations.reclaim_by_force(worker_id, reason).await
        }
        (false, reason) => allocations.reclaim(worker_id, reason).await,
    };
    Ok(Json(AllocationReclaim::Reclaimed(reclaimed?)))
}

fn said_by_force(request: TakeAllocation) -> Result<TakeAllocation, Refusal> {
    let TakeAllocation { reason, force } = request;
    let reason = match force {
        true => Some(said(reason)?),
        false => reason,
    };
    Ok(TakeAllocation { reason, force })
}

/// Whoever takes something by force says why.
pub(super) fn said(reason: Option<String>) -> Result<String, Refusal> {
    reason.ok_or_else(|| {
        let detail = "`reason` is missing; say why it is taken by force";
        Refusal::new(Code::FieldInvalid, detail).with_field("reason")
    })
}
