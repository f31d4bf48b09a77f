//! What each route does. A handler takes what it needs of the request, calls the Runtime, and answers;
//! every error becomes a refusal.

pub(super) mod allocations;
pub(super) mod events;
pub(super) mod input;
pub(super) mod leases;
pub(super) mod lifecycle;
pub(super) mod meta;
pub(super) mod operations;
pub(super) mod runtime;
mod seen;
pub(super) mod tokens;
pub(super) mod transcript;
pub(super) mod workers;
