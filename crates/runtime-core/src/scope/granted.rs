//! What a run may touch, as its backend is told when it begins (I6).
//!
//! Made by the writer with each run; read by execution backends, which tell it to what they run and may
//! have the system keep it to that.

use std::sync::Arc;

use super::Effective;
use crate::record::AllocationRecord;

/// What a run may touch when it begins. Workers below may be granted more while it goes on: whoever is
/// about to write asks [`RunSink::verify`](crate::RunSink::verify).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunScope {
    /// What its Worker holds.
    pub held: Arc<AllocationRecord>,
    /// What each Worker directly below it holds.
    pub lent: Vec<Arc<AllocationRecord>>,
}

impl RunScope {
    /// What is left to the run.
    pub fn effective(&self) -> Effective<'_> {
        Effective {
            scope: &self.held.scope,
            lent: self.lent.iter().map(|child| child.claim()).collect(),
        }
    }
}
