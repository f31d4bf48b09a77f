//! One run at a time, and who waits for its end.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;
use worker_runtime_core::RunId;

/// How far the run in the slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Runs,
    /// Nothing of it executes; its outcome is on the way to the store.
    Ends,
    Over,
}

/// Where the current run of a backend is noted. Empty again when its [`Claim`] is dropped.
#[derive(Debug, Default)]
pub(super) struct RunSlot(Mutex<Option<Noted>>);

/// A run that was noted, for whoever waits for it.
#[derive(Debug, Clone)]
pub(super) struct Noted {
    pub(super) run_id: RunId,
    progress: watch::Receiver<Progress>,
    asked_to_end: Arc<AtomicBool>,
}

impl Noted {
    /// Notes that its end was asked for.
    pub(super) fn ask_to_end(&self) {
        self.asked_to_end.store(true, Ordering::Relaxed);
    }

    /// Waits until the run is over for this backend.
    pub(super) async fn over(mut self) {
        // An error means the same: nobody is left who could say so.
        let _ = self
            .progress
            .wait_for(|progress| *progress == Progress::Over)
            .await;
    }
}

/// That a run is the current one; dropped when it is over.
#[derive(Debug)]
pub(super) struct Claim {
    progress: watch::Sender<Progress>,
    asked_to_end: Arc<AtomicBool>,
}

impl Claim {
    /// Whether the run's end was asked for.
    pub(super) fn was_asked_to_end(&self) -> bool {
        self.asked_to_end.load(Ordering::Relaxed)
    }

    /// The run's outcome is being recorded: the next run may be given before that call returns.
    pub(super) fn ends(&self) {
        self.progress.send_replace(Progress::Ends);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.progress.send_replace(Progress::Over);
    }
}

impl RunSlot {
    /// Notes a run; `None` when another one runs.
    pub(super) async fn claim(&self, run_id: RunId) -> Option<Claim> {
        let earlier = self.current();
        if let Some(earlier) = earlier {
            if *earlier.progress.borrow() == Progress::Runs {
                return None;
            }
            earlier.over().await;
        }
        let (sender, progress) = watch::channel(Progress::Runs);
        let asked_to_end = Arc::new(AtomicBool::new(false));
        *self.locked() = Some(Noted {
            run_id,
            progress,
            asked_to_end: asked_to_end.clone(),
        });
        Some(Claim {
            progress: sender,
            asked_to_end,
        })
    }

    /// The current run, if it is this one.
    pub(super) fn of(&self, run_id: RunId) -> Option<Noted> {
        self.current().filter(|noted| noted.run_id == run_id)
    }

    /// Waits until there is no run.
    pub(super) async fn empty(&self) {
        if let Some(run) = self.current() {
            run.over().await;
        }
    }

    fn current(&self) -> Option<Noted> {
        let noted = self.locked().clone();
        noted.filter(|noted| *noted.progress.borrow() != Progress::Over)
    }

    // One assignment: it stays whole when a holder panics.
    fn locked(&self) -> MutexGuard<'_, Option<Noted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
