//! A store that tells what is committed, gives way around each commit, and fails one when told to.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use shuttle::thread::yield_now;

use crate::{
    Position,
    store::{Batch, Loaded, Store, StoreError, StoreReader},
};

/// What is committed. It is no lock of the scheduler's, so that looking changes no schedule.
#[derive(Debug, Clone, Default)]
pub struct Committed(Arc<AtomicU64>);

impl Committed {
    /// The newest position that is committed.
    pub fn position(&self) -> Position {
        Position(self.0.load(Ordering::SeqCst))
    }
}

/// How a commit fails: its outcome is unknown, and the truth is one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It is durable all the same.
    Durable,
    /// Nothing of it is.
    Lost,
}

/// The commit that fails, counted from 1, and what is true then.
pub type FailAt = Option<(usize, Truth)>;

/// A store beside a witness.
pub struct Spied {
    inner: Box<dyn Store>,
    committed: Committed,
    fail_at: FailAt,
    commits: usize,
}

impl Spied {
    /// Watches a store, and fails one of its commits.
    pub fn new(mut inner: Box<dyn Store>, fail_at: FailAt) -> (Self, Committed) {
        let committed = Committed::default();
        let position = inner.load().unwrap().position;
        committed.0.store(position.0, Ordering::SeqCst);
        let spied = Self {
            inner,
            committed: committed.clone(),
            fail_at,
            commits: 0,
        };
        (spied, committed)
    }
}

impl Store for Spied {
    fn reader(&self) -> Arc<dyn StoreReader> {
        self.inner.reader()
    }

    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.inner.load()
    }

    fn has_room(&mut self) -> Result<(), StoreError> {
        self.inner.has_room()
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        yield_now();
        self.commits += 1;
        let fails = self.fail_at.filter(|(at, _)| *at == self.commits);
        if !matches!(fails, Some((_, Truth::Lost))) {
            self.inner.commit(batch)?;
            if let Some(event) = batch.events.last() {
                self.committed.0.store(event.position.0, Ordering::SeqCst);
            }
        }
        yield_now();
        match fails {
            Some((_, truth)) => Err(StoreError::OutcomeUnknown {
                detail: format!("it was made to fail, and is {truth:?}"),
            }),
            None => Ok(()),
        }
    }

    fn recover(&mut self) -> Result<(), StoreError> {
        yield_now();
        self.inner.recover()
    }

    fn idle(&mut self) -> Result<(), StoreError> {
        self.inner.idle()
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        self.inner.close()
    }
}
