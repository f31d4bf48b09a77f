//! What a handler takes of a request. Whatever can't be taken is refused with a problem that names
//! what is wrong, before anything is done.
//!
//! - `body`: JSON, bounded in bytes and time
//! - `headers`: conditions, the key by which a call is repeated, and the cursor seen last
//! - `params`: the ids in a path, and query parameters

mod body;
mod headers;
mod params;

pub(super) use body::{Json, OptionalJson, bodiless};
pub(super) use headers::{Header, Named, Tags, idempotency_key, last_event_id, named_by, tags};
pub(super) use params::{Path, Query, present};
