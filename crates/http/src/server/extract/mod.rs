//! What a handler takes of a request. Whatever can't be taken is refused with a problem that names
//! what is wrong, before anything is done.
//!
//! - `body`: JSON, bounded in bytes and time
//! - `headers`: conditions, and the key by which a call is repeated
//! - `params`: the ids in a path, and query parameters

mod body;
mod headers;
mod params;

pub(super) use body::{Json, OptionalJson, bodiless};
pub(super) use headers::{Header, Tags, idempotency_key, named_by, tags};
pub(super) use params::{Path, Query, present};
