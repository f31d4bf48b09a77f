//! The routes of what is held: by Workers, and by others for a time.

use axum::http::StatusCode;
use worker_runtime_core::{
    lease::{AcquireLease, RenewLease},
    view::{
        AllocationList, AllocationView, FenceVerified, LeaseList, LeaseReceipt, LeaseVerified,
        LeaseView, PlaceHolders,
    },
};

use super::{route::Route, told::AnswerHeader};
use crate::{
    server::extract::Header,
    server::handlers::{
        allocations::{self, AllocationsQuery, ChangeQuery, VerifyQuery, WhoQuery},
        leases,
        workers::CreateQuery,
    },
    wire::{
        AccessScope, AllocationChange, AllocationReclaim, AllocationRelease, ChangeAllocation,
        CheckAllocation, LeaseRelease, NotAcquired, ReleaseLease, TakeAllocation,
    },
};

const OK: StatusCode = StatusCode::OK;

pub(super) fn of_allocations() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/allocations",
            "listAllocations",
            "What is held, oldest grant first, paged",
            allocations::list,
        )
        .query::<AllocationsQuery>()
        .answers::<AllocationList>(OK, "A page of the list"),
        Route::get(
            "/v1/allocations/who",
            "whoHolds",
            "Who holds a place, and who holds something below it",
            allocations::who,
        )
        .query::<WhoQuery>()
        .answers::<PlaceHolders>(OK, "Who, if anybody does"),
        Route::post(
            "/v1/allocations/check",
            "checkAllocation",
            "Whether this would be granted; nothing is changed and nothing is held",
            allocations::check,
        )
        .needing(AccessScope::Observe)
        .body::<CheckAllocation>()
        .answers_nothing(StatusCode::NO_CONTENT, "It would"),
        Route::get(
            "/v1/allocations/{worker_id}",
            "getAllocation",
            "What a Worker holds",
            allocations::get,
        )
        .answers::<AllocationView>(OK, "What it holds"),
        Route::get(
            "/v1/allocations/{worker_id}/verify",
            "verifyFence",
            "Whether a fence is current and its run may touch a place; ask before you write",
            allocations::verify,
        )
        .query::<VerifyQuery>()
        .answers::<FenceVerified>(OK, "It is, and may"),
        Route::put(
            "/v1/allocations/{worker_id}",
            "changeAllocation",
            "Has a Worker hold exactly this; less than before only when nothing runs with it",
            allocations::change,
        )
        .looks_at(&[Header::IfMatch])
        .query::<ChangeQuery>()
        .body::<ChangeAllocation>()
        .answers::<AllocationChange>(OK, "It holds that; with `dry_run`, what would become of it"),
        Route::post(
            "/v1/allocations/{worker_id}/release",
            "releaseAllocation",
            "Has a Worker give up what it holds; with `force` also what runs, once that is quiet",
            allocations::release,
        )
        .looks_at(&[Header::IfMatch])
        .query::<ChangeQuery>()
        .optional_body::<TakeAllocation>()
        .answers::<AllocationRelease>(
            OK,
            "It has given it up, or will once all is quiet; with `dry_run`, what would become of it",
        ),
        Route::post(
            "/v1/allocations/{worker_id}/reclaim",
            "reclaimAllocation",
            "Takes back what the Workers directly below hold; with `force` also from what runs",
            allocations::reclaim,
        )
        .looks_at(&[Header::IfMatch])
        .query::<ChangeQuery>()
        .optional_body::<TakeAllocation>()
        .answers::<AllocationReclaim>(
            OK,
            "They have given it up, or will once all is quiet; with `dry_run`, what would become of it",
        ),
    ]
}

pub(super) fn of_leases() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/leases",
            "listLeases",
            "What others than Workers hold for a time, oldest grant first, paged",
            leases::list,
        )
        .query::<AllocationsQuery>()
        .answers::<LeaseList>(OK, "A page of the list"),
        Route::post(
            "/v1/leases",
            "acquireLease",
            "Holds a scope for a time, for somebody who is no Worker",
            leases::acquire,
        )
        .looks_at(&[Header::IdempotencyKey])
        .query::<CreateQuery>()
        .body::<AcquireLease>()
        .answers::<LeaseReceipt>(StatusCode::CREATED, "It is held")
        .with(&[AnswerHeader::Location])
        .answers::<NotAcquired>(
            OK,
            "It is held already by the same request; with `dry_run`, what would become of it",
        )
        .with(&[AnswerHeader::Location])
        .tells(&[("lease_id", "$response.body#/lease_id")]),
        Route::get(
            "/v1/leases/{lease_id}",
            "getLease",
            "What one lease holds, and until when",
            leases::get,
        )
        .answers::<LeaseView>(OK, "The lease"),
        Route::get(
            "/v1/leases/{lease_id}/verify",
            "verifyLease",
            "Whether a lease's fence is current and its holder may touch a place; ask before you write",
            leases::verify,
        )
        .query::<VerifyQuery>()
        .answers::<LeaseVerified>(OK, "It is, and may"),
        Route::post(
            "/v1/leases/{lease_id}/renew",
            "renewLease",
            "Holds it for its whole time from now on; after a restart with the next fence",
            leases::renew,
        )
        .body::<RenewLease>()
        .answers::<LeaseReceipt>(OK, "It is held on"),
        Route::post(
            "/v1/leases/{lease_id}/release",
            "releaseLease",
            "Gives it back, by its fence; with `force` takes it from its holder, at once",
            leases::release,
        )
        .query::<ChangeQuery>()
        .body::<ReleaseLease>()
        .answers::<LeaseRelease>(
            OK,
            "What it held is free; with `dry_run`, what would become of it",
        ),
    ]
}
