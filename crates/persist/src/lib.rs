//! The redb store of worker-runtime, in memory or in a state directory: one layout for both.
//!
//! # Layout
//! - `MemoryStore`: a store that lives as long as its process (feature `memory-store`)
//! - `FileStore`: a store in a state directory; `ReadStore`: a stopped one, read without changing a
//!   byte (feature `fs-store`)
//! - [`StoreOptions`], [`RetentionPolicy`]: every limit
//! - `check`: a stopped store looked at as a whole, without changing a byte (feature `fs-store`)
//! - `store`: open, commit, retention; `read`: replay, transcript, records
//! - `pack`: the stored unit of many events; `layout`: every kind of stored row; `codec`: records as
//!   bytes, and the seal on every value
//! - `engine`: the edge to redb, where its panics are held
//! - `fs`, `storage`: the state directory, and where redb's bytes are
//!
//! It is not a store for many writers, and nothing of redb shows outside. Without a feature it is empty.

#![cfg(any(feature = "fs-store", feature = "memory-store"))]

#[cfg(feature = "fs-store")]
mod check;
mod codec;
mod cut;
mod engine;
mod error;
#[cfg(feature = "fs-store")]
mod file;
#[cfg(feature = "fs-store")]
mod fs;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod layout;
#[cfg(any(test, feature = "memory-store"))]
mod memory;
mod options;
mod pack;
mod read;
mod storage;
mod store;
mod sync;

#[cfg(feature = "fs-store")]
pub use check::{
    CheckDepth, CheckWatcher, Checked, Cost, Finding, Structure, check, check_structure,
};
pub use engine::holds_panics;
pub use error::OpenError;
#[cfg(feature = "fs-store")]
pub use file::{
    ClosedStore, FileOptions, FileStore, Held, PublicAddress, ReadStore, Serving, StoreAccount,
    held, serving,
};
#[cfg(feature = "fs-store")]
#[doc(hidden)]
pub use file::{DirectorySynced, WrapBackend};
#[cfg(any(test, feature = "memory-store"))]
pub use memory::MemoryStore;
pub use options::{RetentionPolicy, StoreOptions};
