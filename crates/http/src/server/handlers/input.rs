//! Input, actions, and the end of runs.

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use worker_runtime_core::{
    ActionId, RunId, WorkerId,
    input::{InputReceipt, SubmitInput},
    view::CancelReceipt,
};

use crate::{
    server::{
        app::App,
        auth::Access,
        extract::{Json as Body, OptionalJson, Path, idempotency_key},
        handlers::seen::interaction,
        refusal::Refusal,
    },
    wire::{AnswerAction, Because, PositionBody},
};

pub(in crate::server) async fn send(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
    headers: HeaderMap,
    Body(mut request): Body<SubmitInput>,
) -> Result<(StatusCode, Json<InputReceipt>), Refusal> {
    if request.input_id.is_none() {
        request.input_id = idempotency_key(&headers)?;
    }
    let interaction = interaction(&app.0.runtime, &headers)?;
    let receipt = interaction.send_input(worker_id, request).await?;
    let status = match receipt.repeated {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    Ok((status, Json(receipt)))
}

pub(in crate::server) async fn cancel_run(
    State(app): State<App>,
    Path((worker_id, run_id)): Path<(WorkerId, RunId)>,
    headers: HeaderMap,
    Extension(access): Extension<Access>,
    OptionalJson(request): OptionalJson<Because>,
) -> Result<(StatusCode, Json<CancelReceipt>), Refusal> {
    let runtime = access.operate(&app, request.reason)?;
    let interaction = interaction(&runtime, &headers)?;
    let receipt = interaction.cancel_run(worker_id, run_id).await?;
    Ok((StatusCode::ACCEPTED, Json(receipt)))
}

pub(in crate::server) async fn answer(
    State(app): State<App>,
    Path((worker_id, run_id, action_id)): Path<(WorkerId, RunId, ActionId)>,
    headers: HeaderMap,
    Body(request): Body<AnswerAction>,
) -> Result<Json<PositionBody>, Refusal> {
    let interaction = interaction(&app.0.runtime, &headers)?;
    let position = interaction
        .answer(worker_id, run_id, action_id, request.option)
        .await?;
    Ok(Json(PositionBody { position }))
}
