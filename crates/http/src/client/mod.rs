//! The typed client: every call of the server, with the types that a host has.
//!
//! - `call`: one request and its answer, with its limits
//! - `connect`: its connections, and who is at their other end
//! - `commands`, `reads`: the calls
//! - `observe`: a stream that reconnects and goes on by itself
//! - `error`: what can go wrong, with the same codes as everywhere
//!
//! Speaks plain HTTP: over a network it belongs behind whatever the operator trusts to encrypt.

mod call;
mod commands;
mod connect;
mod error;
mod observe;
mod reads;

pub use call::{Client, ClientOptions, EntityTag};
pub use connect::StillServes;
pub use error::ClientError;
pub use observe::{ObserveOptions, ObserveStream, Reconnect};
pub use reads::EventsPage;
