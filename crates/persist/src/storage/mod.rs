//! Where redb's bytes are: the storage backends of the store. The store proper hands one of them to
//! redb when it opens, and keeps its own handle of it where there is one.
//!
//! - `FileStorage`: the file of a store that is written
//! - `OverlayBackend`: a file that is read, with everything that redb writes kept in memory (I12)
//! - `MemoryBackend`: the memory store
//! - `faulty` (tests): any of them, with failures on demand and the image that a power cut leaves

#[cfg(feature = "fs-store")]
mod file;
#[cfg(any(test, feature = "memory-store"))]
mod memory;
#[cfg(feature = "fs-store")]
mod overlay;

#[cfg(test)]
pub(crate) mod faulty;

#[cfg(feature = "fs-store")]
pub(crate) use file::FileStorage;
#[cfg(any(test, feature = "memory-store"))]
pub(crate) use memory::MemoryBackend;
#[cfg(feature = "fs-store")]
pub(crate) use overlay::{OVERLAY_BYTES_MAX, OverlayBackend};
