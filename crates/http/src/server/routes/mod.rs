//! The one list of routes. The router, the OpenAPI document and the table in the docs are made from
//! it, so none of them can forget one or say something else.
//!
//! - `list`, `held`, `reading`, `operations`: the routes themselves
//! - `route`: what is said of one
//! - `told`: headers of answers
//! - `openapi`: the document
//! - `router`: what serves them, with the checks before every handler

mod held;
mod list;
mod openapi;
mod operations;
mod reading;
mod route;
mod router;
mod told;

pub use openapi::{openapi, route_table};
pub(super) use router::{InReserve, router};
pub(super) use told::AnswerHeader;
