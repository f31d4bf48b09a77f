//! A run of the bare store on a disk that records: what was committed, what the store must hold
//! after each batch, and between which calls each batch was begun and acknowledged.

use std::path::Path;

use worker_runtime_core::{
    ManualClock, SeededEntropy, Timestamp, WorkerId,
    store::{Change, Store},
};
use worker_runtime_persist::{FileOptions, FileStore, RetentionPolicy, StoreOptions, WrapBackend};

use super::{
    audit::{self, Expected},
    script::Script,
    state::State,
};
use crate::{
    disk::{Recorder, Tape},
    report::{Doing, HarnessError, Violation},
};

/// A recorded run.
pub(super) struct Session {
    pub(super) seed: u64,
    pub(super) script: Script,
    pub(super) tape: Tape,
    /// What the store holds, from before the first opening on.
    pub(super) states: Vec<Made>,
    pub(super) receipts: Vec<(WorkerId, [u8; 16])>,
    /// What was broken without any fault.
    pub(super) broken: Option<Violation>,
}

/// A state, and the calls between which it was made.
pub(super) struct Made {
    pub(super) state: State,
    /// How many calls there were when it was begun.
    began: usize,
    /// How many calls there were when it was acknowledged.
    acknowledged: usize,
}

/// What is trimmed.
pub(super) const RETENTION: RetentionPolicy = RetentionPolicy {
    worker_bytes_max: 12 << 10,
    runtime_bytes_max: 40 << 10,
    age_ms_max: None,
    log_bytes_max: 24 << 10,
};

/// Limits so small that a few dozen batches meet all of them.
pub(super) fn options(seed: u64, wrap: WrapBackend) -> FileOptions {
    FileOptions {
        store: StoreOptions {
            retention: RETENTION,
            cache_bytes: 1 << 20,
            tails_bytes_max: 3 << 10,
            log_window_bytes: 6 << 10,
            clock: std::sync::Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_700_000_000_000))),
            entropy: Box::new(SeededEntropy::new(seed)),
        },
        ballast_bytes: 0,
        wrap_backend: Some(wrap),
        ..FileOptions::default()
    }
}

struct Live<'a> {
    path: &'a Path,
    recorder: Recorder,
    store: FileStore,
    session: Session,
    state: State,
}

impl Session {
    /// Runs a script of so many batches, with pauses, closings and ends without a closing.
    ///
    /// # Errors
    /// When the store fails although nothing was made to.
    pub(super) fn record(path: &Path, seed: u64, batches: usize) -> Result<Self, HarnessError> {
        let mut live = Live::open(path, seed)?;
        let mut script = std::mem::replace(&mut live.session.script, Script::new(seed));
        for _ in 0..batches {
            let began = live.index();
            let batch = script.batch(&mut live.state)?;
            live.store.commit(&batch).doing("commit a batch")?;
            for change in &batch.changes {
                if let Change::Receipt(worker_id, key, _) = change {
                    live.session.receipts.push((*worker_id, *key));
                }
            }
            live.acknowledge(began, &script)?;
            match script.rng.u8(0..32) {
                0..=2 => live.idle(&script)?,
                3 => {
                    live.idle(&script)?;
                    live = live.reopen(&script, true)?;
                }
                4 => live = live.reopen(&script, false)?,
                _ => {}
            }
        }
        live.idle(&script)?;
        let Live {
            recorder,
            store,
            mut session,
            ..
        } = live;
        Box::new(store).close().doing("close the store")?;
        session.tape = recorder.tape();
        session.script = script;
        Ok(session)
    }

    /// The states that a power cut after `index` calls may leave: what was acknowledged is in all
    /// of them, what was not begun in none.
    pub(super) fn allowed(&self, index: usize) -> std::ops::RangeInclusive<usize> {
        let acknowledged = self
            .states
            .iter()
            .rposition(|made| made.acknowledged <= index);
        let begun = self.states.iter().rposition(|made| made.began < index);
        let least = acknowledged.unwrap_or_default();
        least..=begun.unwrap_or_default().max(least)
    }

    pub(super) fn expected(&self, number: usize, page_events: usize) -> Option<Expected<'_>> {
        self.states.get(number).map(|made| Expected {
            state: &made.state,
            events: &self.script.events,
            receipts: &self.receipts,
            page_events,
        })
    }
}

impl<'a> Live<'a> {
    fn open(path: &'a Path, seed: u64) -> Result<Self, HarnessError> {
        let recorder = Recorder::new(path);
        let mut store =
            FileStore::open(path, options(seed, recorder.wrap())).doing("make a store")?;
        let loaded = store.load().doing("read a store")?;
        let before = State::new(loaded.runtime, Vec::new());
        let session = Session {
            seed,
            script: Script::new(seed),
            tape: recorder.tape(),
            states: vec![Made {
                state: before.clone(),
                began: 0,
                acknowledged: 0,
            }],
            receipts: Vec::new(),
            broken: None,
        };
        let mut live = Self {
            path,
            recorder,
            store,
            session,
            state: before,
        };
        live.state.incarnations = loaded.incarnations;
        live.acknowledge(0, &Script::new(seed))?;
        Ok(live)
    }

    fn index(&self) -> usize {
        usize::try_from(self.recorder.index()).unwrap_or(usize::MAX)
    }

    /// What waited is written, and may go over a limit.
    fn idle(&mut self, script: &Script) -> Result<(), HarnessError> {
        let began = self.index();
        self.store.idle().doing("idle")?;
        // Nothing waited: the state is the one before, and no image could tell them apart.
        match self.index() == began {
            true => Ok(()),
            false => self.acknowledge(began, script),
        }
    }

    fn reopen(self, script: &Script, close: bool) -> Result<Self, HarnessError> {
        if close {
            Box::new(self.store).close().doing("close the store")?;
        } else {
            drop(self.store);
        }
        let began = usize::try_from(self.recorder.index()).unwrap_or(usize::MAX);
        let options = options(self.session.seed ^ began as u64, self.recorder.wrap());
        let mut live = Self {
            store: FileStore::open(self.path, options).doing("open the store")?,
            ..self
        };
        live.state.incarnations = live.store.load().doing("read a store")?.incarnations;
        live.acknowledge(began, script)?;
        Ok(live)
    }

    /// Notes what the store now holds, and looks whether it does.
    fn acknowledge(&mut self, began: usize, script: &Script) -> Result<(), HarnessError> {
        let acknowledged = self.index();
        let reader = self.store.reader();
        for place in self.state.places().collect::<Vec<_>>() {
            let bounds = reader.bounds(place.stream()).doing("read bounds")?;
            self.state.bounds.insert(place, bounds);
        }
        let expected = Expected {
            state: &self.state,
            events: &script.events,
            receipts: &self.session.receipts,
            page_events: 64,
        };
        let before = self.session.states.last();
        let before = before.map_or(&self.state, |made| &made.state);
        let seen = audit::open(&mut self.store, &expected)
            .and_then(|()| audit::trimmed(&expected, before, &RETENTION));
        if let Err(violation) = seen {
            self.session.broken.get_or_insert(violation);
        }
        self.session.states.push(Made {
            state: self.state.clone(),
            began,
            acknowledged,
        });
        Ok(())
    }
}
