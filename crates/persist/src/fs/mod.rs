//! The state directory as files: what lies where, who may write, what was last acknowledged, and
//! how the store's file is replaced. Nothing here knows a table or an event; the store proper calls
//! it when it opens, after each commit (`head`, `ballast`) and after a failed write (`replace`).
//!
//! Layout:
//! - `dir`: the directory, its entries and modes, and what is refused as foreign
//! - `process`: which process is meant by a pid, also after the pid was used again
//! - `lock`: one writer or many readers, across processes
//! - `head`: the witness of the last acknowledged position
//! - `ballast`: disk space kept back for the commits under way when the disk fills
//! - `synced`: who is told that the directory was synced
//! - `suspect`: the mark of a failed write that outlives its process
//! - `replace`: a new file in the place of `runtime.redb`, safe at every step

mod ballast;
mod dir;
mod head;
mod lock;
mod process;
mod replace;
mod suspect;
mod synced;

#[cfg(test)]
pub(crate) use ballast::BATCH_BYTES;
pub(crate) use ballast::{BALLAST_BYTES_DEFAULT, Ballast, is_storage_full};
pub(crate) use dir::{DirError, StateDir, WhenMissing};
pub(crate) use head::{HeadFile, HeadRead, Witness};
pub(crate) use lock::{Address, LockError, ReaderLock, WriterLock, holder, serving};
pub(crate) use replace::{ReplaceError, StagedStore};
pub(crate) use suspect::Suspect;
pub use synced::DirectorySynced;
pub(crate) use synced::Synced;
