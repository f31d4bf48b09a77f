//! The server as its clients meet it: a real Runtime, a real socket, and requests right and wrong.
//!
//! - `host`: a server and the short ways to ask it
//! - `commands`: what each command does, and says when it is repeated
//! - `access`: every route against every kind of token, name and origin
//! - `allocations`: what is held, verified, given back and taken back
//! - `client`: the typed client; `observe`: one suite for its stream and a host's own
//! - `conditions`: changes and reads that depend on what a client has seen
//! - `routes`: the list that the suites walk; `paths`: every route, under paths that are not its own
//! - `heads`: addresses and headers that are too large, and what is no request at all
//! - `refusals`: bodies, parameters, paths and methods that are wrong
//! - `events`: poll and long-poll, cursors of every kind
//! - `streams`, `streams_end`: SSE and WebSockets, one suite for both; `watch`: their client
//! - `previews`: what has not ended, in streams and in transcripts
//! - `document`: the OpenAPI document against the routes and what they answer
//! - `operations`: who changed what, and why
//! - `metrics`: what is counted
//! - `connections`: slow and many clients, and the end in order

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "what a helper of a test can't do fails the test"
)]

mod access;
mod allocations;
mod client;
mod commands;
mod conditions;
mod connections;
mod document;
mod events;
mod heads;
mod host;
mod leases;
mod metrics;
mod observe;
mod operations;
mod paths;
mod previews;
mod refusals;
mod routes;
mod streams;
mod streams_end;
mod watch;
