//! The locks between the writer and its readers. With `--cfg shuttle` they are the scheduler's, so that
//! the schedules of a reader beside a commit are explored over this very code (I10). Locks that are
//! held only within a call of the engine stay the standard library's.

#[cfg(not(shuttle))]
pub(crate) use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
