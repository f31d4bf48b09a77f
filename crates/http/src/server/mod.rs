//! The server: routes over one Runtime, and the connections that they are served on.
//!
//! # Layout
//! - `app`: what every handler is given
//! - `routes`: the one list of routes, from which the router, the OpenAPI document and the table in
//!   the docs are made
//! - `handlers`: what each route does, one file per noun
//! - `extract`: path, query and body, refused with a problem that names what is wrong
//! - `auth`: access tokens, and the checks before every handler
//! - `metrics`: what is counted
//! - `observe`: open streams of events, over SSE and WebSockets
//! - `refusal`: every error as a problem, with its status
//! - `seldom`: what is told once in a while, however often it happens
//! - `send`: how long an answer may take to be sent
//! - `waits`: how many long-polls wait and streams are open at a time
//! - `serve`: connections, their limits, and the end in order
//!
//! What it is given is a Runtime that is open; it opens and closes none.

mod app;
mod auth;
mod extract;
mod handlers;
mod metrics;
mod observe;
mod refusal;
mod routes;
mod seldom;
mod send;
mod serve;
mod waits;

pub use app::HttpLimits;
pub use auth::{Tokens, TokensError};
pub use routes::{openapi, route_table};
pub use serve::{Server, ServerOptions};
