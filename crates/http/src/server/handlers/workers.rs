//! Which Workers there are, and what they are called.

use std::{borrow::Cow, collections::BTreeMap};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use worker_runtime_core::{
    Code, ListOrder, WorkerFilter, WorkerId,
    error::WorkerError,
    record::Lifecycle,
    view::LifecycleReceipt,
    worker::{CreateWorker, UpdateWorker},
};

use crate::{
    server::{
        app::App,
        auth::Access,
        extract::{
            Header, Json as Body, Named, Path, Query, idempotency_key, named_by, present, tags,
        },
        handlers::seen::{catalog, entity_tag, unless_known},
        refusal::Refusal,
        routes::AnswerHeader,
    },
    wire::{AccessScope, WorkersBody, WouldCreate},
};

/// The execution backend that takes a free command line.
const FREE_COMMAND: &str = "exec";

/// Which Workers a list holds, and how it is sorted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::server) struct WorkersQuery {
    /// Only those in one of these lifecycles; may be repeated
    lifecycle: Vec<Lifecycle>,
    /// Only those with this label, as `key=value`; may be repeated
    #[schemars(inner(regex(pattern = "=")))]
    label: Vec<String>,
    /// Only those whose name has this text in it
    name_contains: Option<String>,
    /// Only those with an input without outcome, or only those without one
    #[serde(deserialize_with = "present")]
    busy: Option<bool>,
    /// Archived ones too
    archived: bool,
    /// Oldest first, or by name
    sort: Sort,
    /// How many to leave out at the beginning
    #[schemars(range(max = usize::MAX))]
    offset: usize,
    /// How many to give at most
    limit: Limit,
}

#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Sort {
    #[default]
    Created,
    Name,
}

/// How many items a page has at most.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "usize")]
pub(in crate::server) struct Limit(pub(in crate::server) usize);

impl Limit {
    const MAX: usize = 1_000;
}

/// Spelled out where it is used, as query parameters are.
impl JsonSchema for Limit {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": Self::MAX, "default": Self::default().0 })
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(100)
    }
}

impl TryFrom<usize> for Limit {
    type Error = &'static str;

    fn try_from(limit: usize) -> Result<Self, Self::Error> {
        match limit {
            1..=Self::MAX => Ok(Self(limit)),
            _ => Err("it must be from 1 to 1000"),
        }
    }
}

/// How a creation is meant.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::server) struct CreateQuery {
    /// Only say what would become of it; nothing is made and nothing is held
    pub(super) dry_run: bool,
}

impl WorkersQuery {
    fn filter(&self) -> Result<WorkerFilter, Refusal> {
        let mut labels = BTreeMap::new();
        for label in &self.label {
            let (key, value) = label.split_once('=').ok_or_else(|| {
                let detail = format!("{label:?} is not KEY=VALUE");
                Refusal::new(Code::QueryInvalid, detail).with_field("label")
            })?;
            labels.insert(key.to_owned(), value.to_owned());
        }
        let lifecycles = self.lifecycle.iter();
        Ok(WorkerFilter {
            lifecycles: lifecycles.map(|word| word.as_str().to_owned()).collect(),
            labels,
            name_contains: self.name_contains.clone(),
            busy: self.busy,
            archived: self.archived,
        })
    }
}

pub(in crate::server) async fn list(
    State(app): State<App>,
    Query(query): Query<WorkersQuery>,
) -> Result<Json<WorkersBody>, Refusal> {
    let order = match query.sort {
        Sort::Created => ListOrder::Created,
        Sort::Name => ListOrder::Name,
    };
    let filter = query.filter()?;
    let catalog = app.0.runtime.catalog();
    let list = catalog.list(&filter, order, query.offset, query.limit.0);
    Ok(Json(WorkersBody {
        workers: list.workers,
        total: list.total,
        next: list.next,
        damaged: list.damaged,
        cursor: list.cursor,
    }))
}

pub(in crate::server) async fn create(
    State(app): State<App>,
    Extension(access): Extension<Access>,
    Query(query): Query<CreateQuery>,
    headers: HeaderMap,
    Body(mut request): Body<CreateWorker>,
) -> Result<Response, Refusal> {
    // Whoever chooses a command line can do what the process can.
    if request
        .backend
        .as_ref()
        .is_some_and(|backend| backend.name == FREE_COMMAND)
    {
        access.require(AccessScope::Admin)?;
    }
    if request.worker_id.is_none() {
        let runtime_id = app.0.runtime.observation().runtime_id();
        let named = idempotency_key(&headers)?.map(|key| named_by(&key, runtime_id, Named::Worker));
        request.worker_id = named.map(WorkerId::from_bytes);
    }
    if query.dry_run {
        let would_create = app.0.runtime.catalog().would_create(request).await?;
        return Ok(Json(WouldCreate { would_create }).into_response());
    }
    let catalog = access.operate(&app, None)?.catalog();
    let receipt = catalog.create(request).await?;
    let status = match receipt.repeated {
        true => StatusCode::OK,
        false => StatusCode::CREATED,
    };
    let location = HeaderValue::from_str(&format!("/v1/workers/{}", receipt.worker_id));
    let mut response = (status, Json(receipt)).into_response();
    if let Ok(location) = location {
        response
            .headers_mut()
            .insert(AnswerHeader::Location.name(), location);
    }
    Ok(response)
}

pub(in crate::server) async fn get(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let view = app.0.runtime.catalog().get(worker_id)?;
    let tag = entity_tag(&view)?;
    if tags(&headers, Header::IfMatch)?.is_some_and(|wanted| !wanted.have_strongly(&tag)) {
        return Err(WorkerError::Changed(worker_id).into());
    }
    let cursor = view.cursor;
    unless_known(&headers, view, &tag, cursor)
}

pub(in crate::server) async fn update(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
    headers: HeaderMap,
    Extension(access): Extension<Access>,
    Body(request): Body<UpdateWorker>,
) -> Result<Json<LifecycleReceipt>, Refusal> {
    let catalog = catalog(&access.operate(&app, None)?, &headers)?;
    let receipt = catalog.update(worker_id, request).await?;
    Ok(Json(receipt))
}
