//! What clients do at a whole Runtime while others come and go, and what must hold in every schedule:
//! an observer gets each event exactly once and in order, none before it is committed and published,
//! and all of them; it ends with the close; whoever lets go leaves nothing behind; a view's cursor is
//! true of it.

use std::{sync::Arc, time::Duration};

use shuttle::future::{block_on, spawn, yield_now};

use super::{
    client::{SMALL_PAGES, Watcher, check_answer, panic, toggle},
    spied::{Committed, FailAt, Spied},
};
use crate::{
    EventType, ManualClock, Position, Runtime, RuntimeOptions, SeededEntropy, Stream, Timestamp,
    WorkerId,
    cursor::From as Start,
    error::{ReadError, Unavailable},
    limits::Limits,
    store::Store,
    worker::{CreateWorker, Intent},
};

/// A store that nothing has happened in.
pub type NewStore = Box<dyn Store>;

struct Stage {
    runtime: Runtime,
    committed: Committed,
}

impl Stage {
    async fn open(store: NewStore, fail_at: FailAt) -> Self {
        let (store, committed) = Spied::new(store, fail_at);
        let options = RuntimeOptions {
            clock: Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_000))),
            entropy: Box::new(SeededEntropy::new(7)),
            // The store is settled as soon as nothing waits: what it then moves is read meanwhile.
            limits: Limits {
                idle_after: Duration::ZERO,
                ..Limits::default()
            },
            ..RuntimeOptions::default()
        };
        let runtime = Runtime::open(Box::new(store), options).await.unwrap();
        Self { runtime, committed }
    }

    async fn create(&self) -> WorkerId {
        let request = CreateWorker::new(Intent::Assistant { purpose: None });
        let created = self.runtime.catalog().create(request).await.unwrap();
        check_answer(&self.runtime, &self.committed, created.position);
        created.worker_id
    }

    /// Begins to observe, on a task of its own.
    fn watch(&self, of: Stream) -> impl Future<Output = Watcher> + Send + use<> {
        let (observation, committed) = (self.runtime.observation(), self.committed.clone());
        async move { Watcher::start(observation, &committed, of, Start::Beginning).await }
    }

    /// Toggles a Worker on a task of its own.
    fn toggle(
        &self,
        worker_id: WorkerId,
        times: usize,
    ) -> impl Future<Output = Vec<Position>> + Send + use<> {
        let (runtime, committed) = (self.runtime.clone(), self.committed.clone());
        async move { toggle(&runtime, &committed, worker_id, times).await }
    }

    /// Everything let go of: no observer has left anything, however late its task noticed.
    async fn nothing_is_left(&self) {
        let shared = &self.runtime.inner().shared;
        while shared.watched() > 0 || shared.live.listened_to() > 0 {
            yield_now().await;
        }
    }
}

/// Observers of both kinds of stream while a client changes a Worker and a commit may fail: each sees
/// all, ends with the close, and what was acknowledged is among it once.
pub fn everyone_sees_all(store: NewStore, fail_at: FailAt) {
    block_on(async {
        let stage = Stage::open(store, fail_at).await;
        let worker_id = stage.create().await;
        let all = stage.watch(Stream::Runtime);
        let all = spawn(async move { all.await.to_end().await });
        let own = stage.watch(Stream::Worker(worker_id));
        let own = spawn(async move { own.await.to_end().await });
        let acknowledged = spawn(stage.toggle(worker_id, 3)).await.unwrap();
        stage.runtime.close().await.unwrap();
        let last = stage.committed.position();
        let all = all.await.unwrap();
        let own = own.await.unwrap();
        let seen = all.last().map(|event| event.position);
        assert_eq!(seen, Some(last), "the end of the Runtime's stream");
        assert_eq!(all.len() as u64, last.0, "all of it");
        let of_worker = all.iter().filter(|event| event.worker.is_some());
        assert!(of_worker.eq(own.iter()), "both streams tell the same");
        for position in acknowledged {
            let told = own.iter().filter(|event| event.position == position);
            assert_eq!(told.count(), 1, "{position} was acknowledged");
        }
    });
}

/// A view is taken in the middle of changes: what follows its cursor leads from it to how it ends, so
/// records and position were read in one step.
pub fn a_views_cursor_is_true_of_it(store: NewStore) {
    block_on(async {
        let stage = Stage::open(store, None).await;
        let worker_id = stage.create().await;
        let changes = spawn(stage.toggle(worker_id, 3));
        let (runtime, committed) = (stage.runtime.clone(), stage.committed.clone());
        let looks = spawn(async move {
            let view = runtime.catalog().get(worker_id).unwrap();
            let start = Start::After(view.cursor);
            let of = Stream::Worker(worker_id);
            let watcher = Watcher::start(runtime.observation(), &committed, of, start).await;
            // Read as it comes: a close waits for observers, and no time passes here.
            (view, watcher.to_end().await)
        });
        changes.await.unwrap();
        stage.runtime.close().await.unwrap();
        let (view, followed) = looks.await.unwrap();
        let mut paused = view.paused;
        for event in followed {
            let is_pause = event.kind == EventType::WORKER_PAUSED;
            assert_ne!(paused, is_pause, "{} follows {paused}", event.position);
            paused = is_pause;
        }
        assert_eq!(
            paused,
            stage.runtime.catalog().get(worker_id).unwrap().paused
        );
    });
}

/// Observers come while others go and events are told: whoever stays misses none, and when all are
/// gone nothing is left of them. Nobody closes anything, so only news can tell of the last event.
pub fn who_comes_and_goes_loses_and_leaves_nothing(store: NewStore) {
    block_on(async {
        let stage = Stage::open(store, None).await;
        let worker_id = stage.create().await;
        let own = Stream::Worker(worker_id);
        let stay = [own, own, Stream::Runtime].map(|of| {
            let stays = stage.watch(of);
            spawn(async move { drop(stays.await.to_changes(2).await) })
        });
        let goes = stage.watch(own);
        let goes = spawn(async move {
            goes.await.next().await;
        });
        let is_refused = stage.runtime.observation();
        let is_refused = spawn(async move {
            let nobody = Stream::Worker(WorkerId::from_bytes([9; 16]));
            assert!(is_refused.observe(nobody, Start::Now, SMALL_PAGES).is_err());
        });
        let acknowledged = stage.toggle(worker_id, 2).await;
        assert_eq!(acknowledged.len(), 2, "nobody closed it");
        for stays in stay {
            stays.await.unwrap();
        }
        goes.await.unwrap();
        is_refused.await.unwrap();
        stage.nothing_is_left().await;
    });
}

/// The Runtime is closed while clients ask and observers come: whoever observes is told the end, after
/// all that was acknowledged; whoever comes too late is told that it is closed, and of no failure.
pub fn a_close_is_told_to_everyone(store: NewStore) {
    block_on(async {
        let stage = Stage::open(store, None).await;
        let worker_id = stage.create().await;
        let early = stage.watch(Stream::Runtime).await;
        let early = spawn(early.to_end());
        let changes = spawn(stage.toggle(worker_id, 2));
        let (runtime, committed) = (stage.runtime.clone(), stage.committed.clone());
        let late = spawn(async move {
            let of = Stream::Worker(worker_id);
            let observation = runtime.observation();
            match Watcher::try_start(observation, &committed, of, Start::Beginning).await {
                Ok(mut late) => {
                    while late.next().await.is_some() {}
                    (!late.was_closed).then_some(late.events)
                }
                Err(ReadError::Unavailable(Unavailable::Closed)) => None,
                Err(error) => panic(&format!("a close is no failure: {error}")),
            }
        });
        let again = stage.runtime.clone();
        let again = spawn(async move { again.close().await.is_ok() });
        let first = stage.runtime.close().await.is_ok();
        assert!(first || again.await.unwrap(), "one of them closed it");
        let acknowledged = changes.await.unwrap();
        let last = stage.committed.position();
        let early = early.await.unwrap();
        assert_eq!(early.len() as u64, last.0, "all of it, and then the end");
        let late = late.await.unwrap();
        for position in acknowledged {
            for seen in [Some(&early), late.as_ref()].into_iter().flatten() {
                let told = seen.iter().filter(|event| event.position == position);
                assert_eq!(told.count(), 1, "{position} was acknowledged");
            }
        }
        assert_eq!(stage.runtime.inner().shared.watched(), 0);
    });
}
