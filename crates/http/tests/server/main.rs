//! The server as its clients meet it: a real Runtime, a real socket, and requests right and wrong.
//!
//! - `host`: a server and the short ways to ask it
//! - `commands`: what each command does, and says when it is repeated
//! - `access`: every route against every kind of token, name and origin
//! - `client`: the typed client; `observe`: one suite for its stream and a host's own
//! - `refusals`: bodies, parameters, paths and methods that are wrong
//! - `events`: poll and long-poll, cursors of every kind
//! - `document`: the OpenAPI document against the routes and what they answer
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
mod client;
mod commands;
mod connections;
mod document;
mod events;
mod host;
mod metrics;
mod observe;
mod refusals;
