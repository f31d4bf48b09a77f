//! Input, actions, and the end of runs.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use sha2::{Digest, Sha256};
use worker_runtime_core::{
    ActionId, Code, InputId, RunId, RuntimeId, WorkerId,
    input::{InputReceipt, SubmitInput},
    view::CancelReceipt,
};

use crate::{
    server::{
        app::App,
        extract::{Json as Body, Path},
        refusal::Refusal,
    },
    wire::{AnswerAction, PositionBody},
};

/// The header by which a client makes a call safe to repeat.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What a client repeats a call by. It stands for the id that the body leaves out, so it is as
/// durable as what was made by it.
pub(super) struct IdempotencyKey(InputId);

impl IdempotencyKey {
    /// The Worker that this key makes in this Runtime: the same one each time.
    pub(super) fn worker_id(&self, runtime_id: RuntimeId) -> WorkerId {
        let digest = Sha256::new()
            .chain_update(runtime_id.to_bytes())
            .chain_update(self.0.as_str())
            .finalize();
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(digest) {
            *to = from;
        }
        // A UUID of version 8: its bits are whoever's makes it (RFC 9562, 5.8).
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        WorkerId::from_bytes(bytes)
    }
}

/// # Errors
/// A key that can't be taken.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Refusal> {
    let mut sent = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = sent.next() else {
        return Ok(None);
    };
    let refused =
        |detail: String| Refusal::new(Code::QueryInvalid, detail).with_field(IDEMPOTENCY_KEY);
    if sent.next().is_some() {
        return Err(refused("it is there twice".to_owned()));
    }
    let text = value
        .to_str()
        .map_err(|_| refused("it is no plain text".to_owned()))?;
    // A structured string in quotes (as the header's draft has it) or the bare text.
    let text = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    let key = InputId::new(text).map_err(|error| refused(error.reason.to_owned()))?;
    Ok(Some(IdempotencyKey(key)))
}

pub(in crate::server) async fn send(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
    headers: HeaderMap,
    Body(mut request): Body<SubmitInput>,
) -> Result<(StatusCode, Json<InputReceipt>), Refusal> {
    if request.input_id.is_none() {
        request.input_id = idempotency_key(&headers)?.map(|key| key.0);
    }
    let interaction = app.0.runtime.interaction();
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
) -> Result<(StatusCode, Json<CancelReceipt>), Refusal> {
    let interaction = app.0.runtime.interaction();
    let receipt = interaction.cancel_run(worker_id, run_id).await?;
    Ok((StatusCode::ACCEPTED, Json(receipt)))
}

pub(in crate::server) async fn answer(
    State(app): State<App>,
    Path((worker_id, run_id, action_id)): Path<(WorkerId, RunId, ActionId)>,
    Body(request): Body<AnswerAction>,
) -> Result<Json<PositionBody>, Refusal> {
    let interaction = app.0.runtime.interaction();
    let position = interaction
        .answer(worker_id, run_id, action_id, request.option)
        .await?;
    Ok(Json(PositionBody { position }))
}
