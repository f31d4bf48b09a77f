//! The routes of the operation log.

use axum::http::StatusCode;
use worker_runtime_core::{operation::OperationList, view::OperationView};

use super::route::Route;
use crate::{
    server::handlers::operations::{self, OperationsQuery},
    wire::AccessScope,
};

const OK: StatusCode = StatusCode::OK;

/// Who may change something may see who did; who only watches is told no names of tokens and users.
pub(super) fn of_operations() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/operations",
            "listOperations",
            "Who changed what, when and why, from either end, paged",
            operations::list,
        )
        .needing(AccessScope::Operate)
        .query::<OperationsQuery>()
        .answers::<OperationList>(OK, "A page of them")
        .tells(&[("operation_id", "$response.body#/operations/0/operation_id")]),
        Route::get(
            "/v1/operations/{operation_id}",
            "getOperation",
            "One operation",
            operations::get,
        )
        .needing(AccessScope::Operate)
        .answers::<OperationView>(OK, "The operation"),
    ]
}
