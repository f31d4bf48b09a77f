//! Access tokens.

use axum::{Json, extract::State, http::StatusCode};
use worker_runtime_core::{Code, SystemEntropy};

use crate::{
    server::{
        app::App,
        extract::{Json as Body, Path},
        refusal::Refusal,
    },
    wire::{CreateToken, TokenCreated, TokenView},
};

pub(in crate::server) async fn list(State(app): State<App>) -> Json<Vec<TokenView>> {
    Json(app.0.tokens.list())
}

pub(in crate::server) async fn create(
    State(app): State<App>,
    Body(request): Body<CreateToken>,
) -> Result<(StatusCode, Json<TokenCreated>), Refusal> {
    let tokens = app.0.tokens.clone();
    // Kept on the disk with a sync, which no other request should wait for.
    let created = blocking(move || tokens.create(&request, &mut SystemEntropy)).await??;
    Ok((StatusCode::CREATED, Json(created)))
}

pub(in crate::server) async fn revoke(
    State(app): State<App>,
    Path(token_id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let tokens = app.0.tokens.clone();
    let revoked = blocking(move || tokens.revoke(&token_id)).await??;
    match revoked {
        true => Ok(StatusCode::NO_CONTENT),
        false => {
            let detail = "there is no such access token, or it is the one of the state directory";
            Err(Refusal::new(Code::TokenUnknown, detail))
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Refusal::new(Code::Bug, error.to_string()))
}
