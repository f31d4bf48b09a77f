//! Operations: who changed what, when and why.

use axum::{Json, extract::State};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};
use worker_runtime_core::{
    OperationId, Timestamp, WorkerId,
    operation::{OperationList, OperationOrder, OperationsRequest},
    view::OperationView,
};

use crate::server::{
    app::App,
    extract::{Path, Query, present},
    handlers::workers::Limit,
    refusal::Refusal,
};

/// Which operations are asked for, and from which end.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::server) struct OperationsQuery {
    /// Only those on this Worker
    #[serde(deserialize_with = "present")]
    worker_id: Option<WorkerId>,
    /// Only those from then on
    #[serde(deserialize_with = "moment")]
    since: Option<Timestamp>,
    /// From which end
    order: OperationOrder,
    /// Go on behind this one, in that order: the `next` of the page before
    #[serde(deserialize_with = "present")]
    #[schemars(schema_with = "number")]
    after: Option<OperationId>,
    /// How many to give at most
    limit: Limit,
}

fn number(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": 0, "maximum": u64::MAX })
}

/// Any moment: one from before there was anything is no mistake of whoever asks.
fn moment<'de, D: Deserializer<'de>>(text: D) -> Result<Option<Timestamp>, D::Error> {
    let text = String::deserialize(text)?;
    text.parse().map(Some).map_err(D::Error::custom)
}

pub(in crate::server) async fn list(
    State(app): State<App>,
    Query(query): Query<OperationsQuery>,
) -> Json<OperationList> {
    let request = OperationsRequest {
        worker_id: query.worker_id,
        since: query.since,
        order: query.order,
        after: query.after,
        count_max: query.limit.0,
    };
    Json(app.0.runtime.observation().operations(&request))
}

pub(in crate::server) async fn get(
    State(app): State<App>,
    Path(operation_id): Path<OperationId>,
) -> Result<Json<OperationView>, Refusal> {
    let observation = app.0.runtime.observation();
    Ok(Json(observation.operation(operation_id)?))
}
