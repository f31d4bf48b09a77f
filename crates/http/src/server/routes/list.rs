//! The routes.

use axum::http::StatusCode;
use serde_json::Value;
use worker_runtime_core::{
    input::{InputReceipt, SubmitInput},
    profile::ResolvedProfile,
    view::{CancelReceipt, CreateReceipt, Diagnostic, LifecycleReceipt, RuntimeStatus, WorkerView},
    worker::{CreateWorker, UpdateWorker},
};

use super::{held, operations, reading, route::Route, told::AnswerHeader};
use crate::{
    server::extract::Header,
    server::handlers::{
        allocations::ChangeQuery,
        input,
        lifecycle::{self, DeleteQuery},
        meta, runtime, tokens,
        workers::{self, CreateQuery, WorkersQuery},
    },
    server::metrics::MEDIA_TYPE,
    wire::{
        AccessScope, AnswerAction, BackendView, Because, CreateToken, EndWorker, NotCreated,
        PositionBody, ReadyBody, StopRuntime, TokenCreated, TokenView, WorkerRestore, WorkersBody,
    },
};

const OK: StatusCode = StatusCode::OK;

/// Every route, in the order of the document.
pub(in crate::server) fn routes() -> Vec<Route> {
    let mut routes = of_the_runtime();
    routes.extend(of_workers());
    routes.extend(of_lives());
    routes.extend(held::of_allocations());
    routes.extend(held::of_leases());
    routes.extend(reading::of_reading());
    routes.extend(operations::of_operations());
    routes.extend(of_tokens());
    routes.extend(of_the_server());
    routes
}

fn of_the_runtime() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/runtime",
            "getRuntime",
            "What the Runtime says of itself",
            runtime::status,
        )
        .answers::<RuntimeStatus>(OK, "Its status"),
        Route::post(
            "/v1/runtime/stop",
            "stopRuntime",
            "Ends what runs and takes no input until it is started, also over a restart",
            runtime::stop,
        )
        .needing(AccessScope::Admin)
        .optional_body::<StopRuntime>()
        .answers::<PositionBody>(OK, "It is stopped"),
        Route::post(
            "/v1/runtime/drain",
            "drainRuntime",
            "As a stop, but what runs goes on to its end",
            runtime::drain,
        )
        .needing(AccessScope::Admin)
        .optional_body::<StopRuntime>()
        .answers::<PositionBody>(OK, "It takes no input"),
        Route::post(
            "/v1/runtime/start",
            "startRuntime",
            "Takes input again and dispatches what waits",
            runtime::start,
        )
        .needing(AccessScope::Admin)
        .optional_body::<Because>()
        .answers::<PositionBody>(OK, "It is started"),
        Route::get(
            "/v1/diagnostics",
            "listDiagnostics",
            "What an operator should know, each with the command that helps",
            runtime::diagnostics,
        )
        .answers::<Vec<Diagnostic>>(OK, "The findings"),
        Route::get(
            "/v1/profiles",
            "listProfiles",
            "The profiles there are",
            runtime::profiles,
        )
        .answers::<Vec<ResolvedProfile>>(OK, "The profiles"),
        Route::get(
            "/v1/backends",
            "listBackends",
            "The execution backends there are, and what they can do",
            runtime::backends,
        )
        .answers::<Vec<BackendView>>(OK, "The backends"),
    ]
}

fn of_workers() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/workers",
            "listWorkers",
            "Workers, filtered, sorted and paged",
            workers::list,
        )
        .query::<WorkersQuery>()
        .answers::<WorkersBody>(OK, "A page of the list"),
        Route::post(
            "/v1/workers",
            "createWorker",
            "Makes a Worker: its record, its scope and its first input at once, or nothing",
            workers::create,
        )
        .looks_at(&[Header::IdempotencyKey])
        .query::<CreateQuery>()
        .body::<CreateWorker>()
        .answers::<CreateReceipt>(StatusCode::CREATED, "It was made")
        .with(&[AnswerHeader::Location])
        .answers::<NotCreated>(
            OK,
            "It was made before by the same request; with `dry_run`, what would become of it",
        )
        .with(&[AnswerHeader::Location])
        .tells(&[("worker_id", "$response.body#/worker_id")]),
        Route::get(
            "/v1/workers/{worker_id}",
            "getWorker",
            "One Worker; ended ones too",
            workers::get,
        )
        .looks_at(&[Header::IfMatch, Header::IfNoneMatch])
        .answers::<WorkerView>(OK, "The Worker")
        .with(&[AnswerHeader::ETag, AnswerHeader::Cursor])
        .answers_nothing(
            StatusCode::NOT_MODIFIED,
            "It is as the `If-None-Match` says",
        )
        .with(&[AnswerHeader::ETag, AnswerHeader::Cursor])
        .tells(&[
            ("worker_id", "$request.path.worker_id"),
            ("run_id", "$response.body#/activity/run_id"),
            ("action_id", "$response.body#/activity/actions/0/action_id"),
        ]),
        Route::patch(
            "/v1/workers/{worker_id}",
            "updateWorker",
            "Changes what a Worker is called",
            workers::update,
        )
        .looks_at(&[Header::IfMatch])
        .body::<UpdateWorker>()
        .answers::<LifecycleReceipt>(OK, "It is changed"),
        Route::delete(
            "/v1/workers/{worker_id}",
            "deleteWorker",
            "Deletes an ended Worker; its id is never used again",
            lifecycle::delete,
        )
        .looks_at(&[Header::IfMatch])
        .query::<DeleteQuery>()
        .answers::<LifecycleReceipt>(OK, "It is deleted"),
        Route::post(
            "/v1/workers/{worker_id}/input",
            "sendInput",
            "Sends an input; the same `input_id` gives the first receipt again",
            input::send,
        )
        .looks_at(&[Header::IdempotencyKey, Header::IfMatch])
        .body::<SubmitInput>()
        .answers::<InputReceipt>(
            StatusCode::ACCEPTED,
            "It is accepted, and will have one outcome",
        )
        .answers::<InputReceipt>(OK, "It was accepted before"),
        Route::post(
            "/v1/workers/{worker_id}/runs/{run_id}/cancel",
            "cancelRun",
            "Asks for the end of a run; its Worker lives on",
            input::cancel_run,
        )
        .looks_at(&[Header::IfMatch])
        .optional_body::<Because>()
        .answers::<CancelReceipt>(StatusCode::ACCEPTED, "It is asked for"),
        Route::post(
            "/v1/workers/{worker_id}/runs/{run_id}/actions/{action_id}",
            "answerAction",
            "Answers an action that a run waits for",
            input::answer,
        )
        .looks_at(&[Header::IfMatch])
        .body::<AnswerAction>()
        .answers::<PositionBody>(OK, "It is answered"),
    ]
}

fn of_lives() -> Vec<Route> {
    let changed = "It is so, or will be once all is quiet";
    vec![
        Route::post(
            "/v1/workers/{worker_id}/stop",
            "stopWorker",
            "Ends a Worker so that it can be restored",
            lifecycle::stop,
        )
        .looks_at(&[Header::IfMatch])
        .optional_body::<EndWorker>()
        .answers::<LifecycleReceipt>(OK, changed),
        Route::post(
            "/v1/workers/{worker_id}/cancel",
            "cancelWorker",
            "Ends a Worker for good",
            lifecycle::cancel,
        )
        .looks_at(&[Header::IfMatch])
        .optional_body::<EndWorker>()
        .answers::<LifecycleReceipt>(OK, changed),
        Route::post(
            "/v1/workers/{worker_id}/pause",
            "pauseWorker",
            "Holds dispatch; what runs goes on",
            lifecycle::pause,
        )
        .looks_at(&[Header::IfMatch])
        .optional_body::<Because>()
        .answers::<LifecycleReceipt>(OK, changed),
        Route::post(
            "/v1/workers/{worker_id}/resume",
            "resumeWorker",
            "Dispatches again",
            lifecycle::resume,
        )
        .looks_at(&[Header::IfMatch])
        .optional_body::<Because>()
        .answers::<LifecycleReceipt>(OK, changed),
        Route::post(
            "/v1/workers/{worker_id}/archive",
            "archiveWorker",
            "Puts an ended Worker away",
            lifecycle::archive,
        )
        .looks_at(&[Header::IfMatch])
        .optional_body::<Because>()
        .answers::<LifecycleReceipt>(OK, changed),
        Route::post(
            "/v1/workers/{worker_id}/restore",
            "restoreWorker",
            "Starts the next epoch of a stopped Worker, with the scope that it had",
            lifecycle::restore,
        )
        .looks_at(&[Header::IfMatch])
        .optional_body::<Because>()
        .query::<ChangeQuery>()
        .answers::<WorkerRestore>(OK, "It is so; with `dry_run`, what would become of it"),
    ]
}

fn of_tokens() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/tokens",
            "listTokens",
            "The access tokens there are",
            tokens::list,
        )
        .needing(AccessScope::Admin)
        .answers::<Vec<TokenView>>(OK, "The tokens, without their secrets"),
        Route::post(
            "/v1/tokens",
            "createToken",
            "Makes an access token",
            tokens::create,
        )
        .needing(AccessScope::Admin)
        .body::<CreateToken>()
        .answers::<TokenCreated>(
            StatusCode::CREATED,
            "The token; its secret is told this once",
        )
        .tells(&[("token_id", "$response.body#/token_id")]),
        Route::delete(
            "/v1/tokens/{token_id}",
            "revokeToken",
            "Ends an access token",
            tokens::revoke,
        )
        .needing(AccessScope::Admin)
        .answers_nothing(StatusCode::NO_CONTENT, "It is ended"),
    ]
}

fn of_the_server() -> Vec<Route> {
    vec![
        Route::get(
            "/healthz",
            "getHealth",
            "Whether the process answers",
            meta::health,
        )
        .open()
        .answers::<ReadyBody>(OK, "It does"),
        Route::get(
            "/readyz",
            "getReadiness",
            "Whether the Runtime takes work",
            meta::ready,
        )
        .open()
        .answers::<ReadyBody>(OK, "It does")
        .answers::<ReadyBody>(StatusCode::SERVICE_UNAVAILABLE, "It does not, and why"),
        Route::get(
            "/metrics",
            "getMetrics",
            "What the server counts, for whoever watches it",
            meta::metrics,
        )
        .answers_text(
            OK,
            MEDIA_TYPE,
            "OpenMetrics text: base units, and no id in a label",
        ),
        Route::get(
            "/openapi.json",
            "getOpenapi",
            "This interface, described",
            meta::openapi,
        )
        .open()
        .answers::<Value>(OK, "An OpenAPI 3.1 document"),
        Route::get(
            "/errors/{code}",
            "getErrorPage",
            "The page of an error's code",
            meta::error_page,
        )
        .open()
        .answers_text(
            OK,
            "text/markdown",
            "What happened, why, and what to do next",
        ),
    ]
}
