//! Where a store's bytes are, as far as committing is concerned: what comes before a commit, after
//! it, and after one whose outcome is unknown.

use worker_runtime_core::{Digest, Position, store::StoreError};

use super::open::Opened;
use crate::{
    engine::{CommitMode, Engine},
    layout::meta::State,
};

/// What was acknowledged last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Witnessed {
    pub(crate) position: Position,
    pub(crate) chain: Digest,
    pub(crate) incarnation: u64,
}

/// Where the bytes are.
pub(crate) trait Medium: Send + 'static {
    /// What a commit is.
    fn mode(&self) -> CommitMode;

    /// Makes sure that the next batch has room. What must happen may take of the reserve.
    ///
    /// # Errors
    /// [`StoreError::Full`]: nothing was written.
    fn make_room(&mut self, must_happen: bool) -> Result<(), StoreError>;

    /// Notes what is about to be acknowledged.
    fn witness(&mut self, witnessed: Witnessed);

    /// After an unknown outcome: what is committed, opened anew on bytes that are known to be
    /// durable, and put into the engine. `last` is the last state whose outcome is known.
    ///
    /// # Errors
    /// When that fails; it may be called again.
    fn reopen(&mut self, engine: &Engine, last: &State) -> Result<Opened, StoreError>;

    /// Tells other processes which opening this is.
    ///
    /// # Errors
    /// When that can't be written; nothing depends on it.
    fn announce(&mut self, incarnation: u64) -> Result<(), StoreError>;

    /// Lets go of locks; the database was closed before.
    fn release(&mut self);
}
