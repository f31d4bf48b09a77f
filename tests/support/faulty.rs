//! A store that fails on demand, and one that stays when its Runtime goes, as a disk does.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::watch;
use worker_runtime_core::{
    WorkerId,
    store::{Batch, Loaded, Store, StoreError, StoreReader},
};

use worker_runtime_persist::{MemoryStore, StoreOptions};

use super::within;

/// How a commit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not at all.
    Passes,
    /// Unknown outcome, and nothing was written.
    UnknownBefore,
    /// Unknown outcome, and all was written.
    UnknownAfter,
    /// No room.
    Full,
    /// A contradiction inside the store.
    Bug,
}

#[derive(Default)]
struct Plan {
    commits: VecDeque<Fault>,
    full: bool,
    no_room: bool,
    recover_failures: usize,
    load_failures: usize,
    idle_fault: Option<Fault>,
    held: bool,
    recover_held: bool,
    recovers_fail: bool,
    /// Workers whose records are lost, and how much else of them.
    lost: Vec<Lost>,
    /// What the next opening finds.
    found: Option<Found>,
}

/// Changes what an opening finds.
type Found = Box<dyn FnOnce(&mut Loaded) + Send>;

/// What is lost of a Worker.
#[derive(Clone, Copy)]
pub(crate) struct Lost {
    pub(crate) worker_id: WorkerId,
    pub(crate) allocation: bool,
    pub(crate) unfinished: bool,
}

impl Lost {
    fn hide(self, loaded: &mut Loaded) {
        let is_other = |worker_id: WorkerId| worker_id != self.worker_id;
        loaded.workers.retain(|worker| is_other(worker.worker_id));
        if self.allocation {
            let held = &mut loaded.allocations;
            held.retain(|allocation| is_other(allocation.worker_id));
        }
        if self.unfinished {
            let waiting = &mut loaded.unfinished;
            waiting.retain(|unfinished| is_other(unfinished.worker_id));
        }
    }
}

/// The test's side of a store that fails.
#[derive(Clone)]
pub(crate) struct Faults(Arc<Inner>);

struct Inner {
    store: Mutex<Box<dyn Store>>,
    plan: Mutex<Plan>,
    released: Condvar,
    waiting: watch::Sender<bool>,
    commits: AtomicU64,
    recovers: watch::Sender<u64>,
    idle_failed: watch::Sender<bool>,
}

/// The Runtime's side.
pub(crate) struct Reopenable(Faults);

impl Faults {
    pub(crate) fn new(store: Box<dyn Store>) -> Self {
        Self(Arc::new(Inner {
            store: Mutex::new(store),
            plan: Mutex::default(),
            released: Condvar::new(),
            waiting: watch::Sender::new(false),
            commits: AtomicU64::new(0),
            recovers: watch::Sender::new(0),
            idle_failed: watch::Sender::new(false),
        }))
    }

    /// The store, for a Runtime; after that one is gone, for the next.
    pub(crate) fn store(&self) -> Box<dyn Store> {
        Box::new(Reopenable(self.clone()))
    }

    /// Lets go of the store, and opens it again.
    pub(crate) fn reopen(&self, open: impl FnOnce() -> Box<dyn Store>) {
        let mut store = self.0.store.lock().unwrap();
        let nothing = MemoryStore::new(StoreOptions::memory()).unwrap();
        drop(std::mem::replace(&mut *store, Box::new(nothing)));
        *store = open();
    }

    fn plan<T>(&self, change: impl FnOnce(&mut Plan) -> T) -> T {
        change(&mut self.0.plan.lock().unwrap())
    }

    /// The next commits fail like this, in order.
    pub(crate) fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.plan(|plan| plan.commits.extend(faults));
    }

    /// No further commit fails.
    pub(crate) fn clear(&self) {
        self.plan(|plan| plan.commits.clear());
    }

    /// Waits until an idle step has failed.
    pub(crate) async fn until_idle_failed(&self) {
        let mut failed = self.0.idle_failed.subscribe();
        let _ = failed.wait_for(|failed| *failed).await;
    }

    /// Whether there is no room.
    pub(crate) fn set_full(&self, full: bool) {
        self.plan(|plan| plan.full = full);
    }

    /// Whether there is no room for new work; what ends something still has some.
    pub(crate) fn set_no_room(&self, no_room: bool) {
        self.plan(|plan| plan.no_room = no_room);
    }

    /// The next recoveries fail.
    pub(crate) fn fail_recovers(&self, count: usize) {
        self.plan(|plan| plan.recover_failures = count);
    }

    /// Whether recoveries fail.
    pub(crate) fn set_recovers_fail(&self, fail: bool) {
        self.plan(|plan| plan.recovers_fail = fail);
    }

    /// The next loads fail.
    pub(crate) fn fail_loads(&self, count: usize) {
        self.plan(|plan| plan.load_failures = count);
    }

    /// What the store holds beside history.
    pub(crate) fn loaded(&self) -> Loaded {
        self.0.store.lock().unwrap().load().unwrap()
    }

    /// The next opening finds something else than there is.
    pub(crate) fn find(&self, found: impl FnOnce(&mut Loaded) + Send + 'static) {
        self.plan(|plan| plan.found = Some(Box::new(found)));
    }

    /// From the next opening on, this is lost.
    pub(crate) fn lose(&self, lost: Lost) {
        self.plan(|plan| plan.lost.push(lost));
    }

    /// The next idle step fails.
    pub(crate) fn fail_idle(&self, fault: Fault) {
        self.plan(|plan| plan.idle_fault = Some(fault));
    }

    /// How many commits were tried.
    pub(crate) fn commits(&self) -> u64 {
        self.0.commits.load(Ordering::SeqCst)
    }

    /// How many recoveries were tried.
    pub(crate) fn recovers(&self) -> watch::Receiver<u64> {
        self.0.recovers.subscribe()
    }

    /// The next commit waits for [`release`](Self::release).
    pub(crate) fn hold(&self) {
        self.0.waiting.send_replace(false);
        self.plan(|plan| plan.held = true);
    }

    /// The next recovery waits for [`release`](Self::release).
    pub(crate) fn hold_recover(&self) {
        self.0.waiting.send_replace(false);
        self.plan(|plan| plan.recover_held = true);
    }

    /// Waits until a commit or a recovery waits.
    pub(crate) async fn until_held(&self) {
        let mut waiting = self.0.waiting.subscribe();
        let _ = within("a store that is held", waiting.wait_for(|waiting| *waiting)).await;
    }

    /// Lets what is held go on.
    pub(crate) fn release(&self) {
        self.plan(|plan| {
            plan.held = false;
            plan.recover_held = false;
        });
        self.0.released.notify_all();
    }

    fn wait_while(&self, is_held: impl Fn(&Plan) -> bool) -> MutexGuard<'_, Plan> {
        let mut plan = self.0.plan.lock().unwrap();
        while is_held(&plan) {
            self.0.waiting.send_replace(true);
            plan = self.0.released.wait(plan).unwrap();
        }
        plan
    }

    fn next_fault(&self, must_happen: bool) -> Option<Fault> {
        let mut plan = self.wait_while(|plan| plan.held);
        match plan.full || (plan.no_room && !must_happen) {
            true => Some(Fault::Full),
            false => plan.commits.pop_front(),
        }
    }
}

fn error(fault: Fault) -> StoreError {
    match fault {
        Fault::Passes | Fault::UnknownBefore | Fault::UnknownAfter => StoreError::OutcomeUnknown {
            detail: "the test wants it".into(),
        },
        Fault::Full => StoreError::Full { needed_bytes: 4096 },
        Fault::Bug => StoreError::Bug {
            invariant: "the test wants it".into(),
        },
    }
}

impl Store for Reopenable {
    fn reader(&self) -> Arc<dyn StoreReader> {
        self.0.0.store.lock().unwrap().reader()
    }

    fn load(&mut self) -> Result<Loaded, StoreError> {
        let fails = self.0.plan(|plan| {
            let fails = plan.load_failures > 0;
            plan.load_failures = plan.load_failures.saturating_sub(1);
            fails
        });
        match fails {
            true => Err(StoreError::Read {
                detail: "the test wants it".into(),
            }),
            false => {
                let mut loaded = self.0.0.store.lock().unwrap().load()?;
                let lost = self.0.plan(|plan| plan.lost.clone());
                lost.iter().for_each(|lost| lost.hide(&mut loaded));
                if let Some(found) = self.0.plan(|plan| plan.found.take()) {
                    found(&mut loaded);
                }
                Ok(loaded)
            }
        }
    }

    fn has_room(&mut self) -> Result<(), StoreError> {
        match self.0.plan(|plan| plan.full || plan.no_room) {
            true => Err(error(Fault::Full)),
            false => self.0.0.store.lock().unwrap().has_room(),
        }
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.0.0.commits.fetch_add(1, Ordering::SeqCst);
        let fault = self.0.next_fault(batch.must_happen);
        if matches!(fault, None | Some(Fault::Passes | Fault::UnknownAfter)) {
            self.0.0.store.lock().unwrap().commit(batch)?;
        }
        match fault {
            None | Some(Fault::Passes) => Ok(()),
            Some(fault) => Err(error(fault)),
        }
    }

    fn recover(&mut self) -> Result<(), StoreError> {
        drop(self.0.wait_while(|plan| plan.recover_held));
        let fails = self.0.plan(|plan| {
            let fails = plan.recover_failures > 0 || plan.recovers_fail;
            plan.recover_failures = plan.recover_failures.saturating_sub(1);
            fails
        });
        self.0.0.recovers.send_modify(|count| *count += 1);
        match fails {
            true => Err(StoreError::Read {
                detail: "the test wants it".into(),
            }),
            false => Ok(()),
        }
    }

    fn idle(&mut self) -> Result<(), StoreError> {
        match self.0.plan(|plan| plan.idle_fault.take()) {
            Some(fault) => {
                self.0.0.idle_failed.send_replace(true);
                Err(error(fault))
            }
            None => self.0.0.store.lock().unwrap().idle(),
        }
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}
