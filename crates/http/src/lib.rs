//! worker-runtime over HTTP.
//!
//! # Layout
//! - [`wire`]: bodies that both sides speak, beside the types of the core
//! - `server` (feature `server`): the routes, and what serves them over one
//!   [`Runtime`](worker_runtime_core::Runtime)
//! - `client` (feature `client`): every call, typed, and a stream that goes on by itself
//!
//! It knows no store: the server is given a Runtime that is open.

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod server;
pub mod wire;
