//! Who waits for news, of the Runtime or of one Worker. Nothing is kept of those who let go (I9).

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;

use super::Shared;
use crate::{
    Position, Stream, WorkerId,
    sabotage::{self, Sabotage},
    sync::{MutexGuard, PoisonError, mpsc},
};

/// Who waits for news.
pub(super) enum News {
    Open {
        runtime: watch::Sender<Newest>,
        workers: HashMap<WorkerId, watch::Sender<Newest>>,
        /// Every observer holds a clone, so that the end can wait for them.
        present: mpsc::Sender<()>,
        all_gone: mpsc::Receiver<()>,
    },
    /// The Runtime is closed: there is none any more.
    Closed,
}

/// What those who wait are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Newest {
    position: Position,
    /// After the first of these positions, up to the second one, the stream has nothing.
    quiet: (Position, Position),
}

impl Newest {
    const fn at(position: Position) -> Self {
        Self {
            position,
            quiet: (position, position),
        }
    }
}

/// News of one stream. When nobody waits for a Worker's any more, nothing of that stays.
pub(crate) struct NewsOf {
    pub(crate) receiver: watch::Receiver<Newest>,
    // After the receiver, so that it is not counted any more when this one goes.
    _entry: Option<NewsEntry>,
}

impl NewsOf {
    /// Where somebody stands who has looked through everything up to `after`: there is nothing in between.
    pub(crate) fn pass_quiet(&self, after: Position) -> Position {
        let (from, to) = self.receiver.borrow().quiet;
        match after >= from {
            true => after.max(to),
            false => after,
        }
    }
}

/// That somebody waits for a Worker's news.
struct NewsEntry {
    shared: Arc<Shared>,
    worker_id: WorkerId,
}

impl Drop for NewsEntry {
    fn drop(&mut self) {
        if let News::Open { workers, .. } = &mut *self.shared.news()
            && let Entry::Occupied(entry) = workers.entry(self.worker_id)
            && entry.get().receiver_count() == 0
        {
            entry.remove();
        }
    }
}

impl News {
    pub(super) fn open(position: Position) -> Self {
        let (present, all_gone) = mpsc::channel();
        Self::Open {
            runtime: watch::Sender::new(Newest::at(position)),
            workers: HashMap::new(),
            present,
            all_gone,
        }
    }
}

impl Shared {
    /// Tells those who wait of a commit: for the Runtime, and for each of these Workers, which have all that
    /// came after `before`.
    pub(crate) fn notify(&self, before: Position, touched: impl Iterator<Item = WorkerId>) {
        if sabotage::is(Sabotage::MissWakeUp) {
            return;
        }
        let position = self.position();
        let mut news = self.news();
        let News::Open {
            runtime, workers, ..
        } = &mut *news
        else {
            return;
        };
        runtime.send_replace(Newest::at(position));
        if workers.is_empty() {
            return;
        }
        let mut last = None;
        for worker_id in touched.filter(|worker_id| last.replace(*worker_id) != Some(*worker_id)) {
            let gone = workers.get(&worker_id).is_some_and(|sender| {
                let told = *sender.borrow();
                let quiet = match told.position <= before {
                    true if sabotage::is(Sabotage::PassNews) => (told.position, position),
                    true => (told.position, before),
                    // It has heard of this commit already.
                    false => told.quiet,
                };
                sender.send(Newest { position, quiet }).is_err()
            });
            if gone {
                workers.remove(&worker_id);
            }
        }
    }

    /// Tells all who wait, when nobody knows what is new.
    pub(crate) fn notify_all(&self) {
        let newest = Newest::at(self.position());
        if let News::Open {
            runtime, workers, ..
        } = &*self.news()
        {
            runtime.send_replace(newest);
            for sender in workers.values() {
                sender.send_replace(newest);
            }
        }
    }

    /// Waits for news of a stream; what is seen first is the newest position there was.
    pub(crate) fn watch(self: &Arc<Self>, stream: Stream) -> NewsOf {
        let newest = || watch::Sender::new(Newest::at(self.position()));
        let mut entry = None;
        let receiver = match (&mut *self.news(), stream) {
            (News::Open { runtime, .. }, Stream::Runtime) => runtime.subscribe(),
            (News::Open { workers, .. }, Stream::Worker(worker_id)) => {
                let sender = workers.entry(worker_id).or_insert_with(newest);
                let shared = self.clone();
                entry = Some(NewsEntry { shared, worker_id });
                sender.subscribe()
            }
            // Its sender is gone at once, which is what it is to hear.
            (News::Closed, _) => newest().subscribe(),
        };
        NewsOf {
            receiver,
            _entry: entry,
        }
    }

    /// How many Workers somebody waits for news of.
    #[cfg(any(test, shuttle))]
    pub(crate) fn watched(&self) -> usize {
        match &*self.news() {
            News::Open { workers, .. } => workers.len(),
            News::Closed => 0,
        }
    }

    /// Held by an observer until it has read its last; `None` when the Runtime is closed.
    pub(crate) fn presence(&self) -> Option<mpsc::Sender<()>> {
        match &*self.news() {
            News::Open { present, .. } => Some(present.clone()),
            News::Closed => None,
        }
    }

    /// Whether the Runtime was closed: its store may be too.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(&*self.news(), News::Closed)
    }

    /// No news will come: observers read what there is, and let go of the store. Waits for them, but
    /// not for one that is slow: its cursor is good for the next opening.
    pub(crate) fn end_news(&self, wait_max: Duration) {
        let ended = std::mem::replace(&mut *self.news(), News::Closed);
        if let News::Open {
            all_gone,
            present,
            runtime,
            workers,
        } = ended
        {
            drop((present, runtime, workers));
            // All senders are dropped, or it took too long: nothing is ever sent.
            let _ = all_gone.recv_timeout(wait_max);
        }
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
