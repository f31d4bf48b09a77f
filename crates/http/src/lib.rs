//! worker-runtime over HTTP.
//!
//! # Layout
//! - [`wire`]: bodies that both sides speak, beside the types of the core
//! - [`server`]: the routes, and what serves them over one [`Runtime`](worker_runtime_core::Runtime)
//!
//! It knows no store: it is given a Runtime that is open.

pub mod server;
pub mod wire;

/// JSON texts: the document that describes the interface, and what tests compare.
pub use server::openapi;
