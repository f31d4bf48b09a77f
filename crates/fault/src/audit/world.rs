//! What a log tells, event by event: a small, plain model of every Worker, which also says what
//! may come next (I2, I4, I6). Written from the description of the events alone.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use serde_json::Value;
use worker_runtime_core::{
    BlockId, LeaseId, Position, RunId, ScopeRule, Timestamp, WorkerId,
    record::Lifecycle,
    run::{Outcome, Usage},
};

pub use super::leases::Leased;

/// All Workers, as a log up to some position tells of them.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The newest position.
    pub position: Position,
    /// When that was.
    pub at: Timestamp,
    /// A user stopped the Runtime.
    pub stopped: bool,
    /// The last fence that was granted.
    pub fence: u64,
    /// The Workers, deleted ones too.
    pub workers: BTreeMap<WorkerId, Arc<Life>>,
    /// What whoever is no Worker holds.
    pub leases: BTreeMap<LeaseId, Arc<Leased>>,
    /// The last fence before the last opening: what others than Workers were granted until then is void.
    pub void_to: u64,
    /// Who is still to be told who is above it: since when, and who that is.
    pub owed: BTreeMap<WorkerId, (WorkerId, Option<WorkerId>)>,
    /// Positions whose events were never shown to the reader, by whose they are.
    pub unseen: u64,
}

/// A Worker.
#[derive(Debug, Clone)]
pub struct Life {
    /// When it was made.
    pub created_at: Timestamp,
    /// Its name for people.
    pub display_name: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What runs its inputs.
    pub backend: Option<String>,
    /// Where it stands.
    pub lifecycle: Lifecycle,
    /// The end that was asked for: its kind and its reason.
    pub ending: Option<(String, Option<String>)>,
    /// What it holds is taken from it.
    pub releasing: bool,
    /// Which life.
    pub epoch: u64,
    /// Dispatch is held.
    pub paused: bool,
    /// Put away.
    pub archived: bool,
    /// Every input that was accepted.
    pub accepted: BTreeMap<String, Position>,
    /// Every input that has its outcome.
    pub ended: BTreeSet<String>,
    /// Inputs that wait.
    pub queue: VecDeque<String>,
    /// Its run.
    pub run: Option<Run>,
    /// The last one that ended.
    pub last_run: Option<LastRun>,
    /// Summed over its runs.
    pub usage: Usage,
    /// Latest-wins facts.
    pub status: BTreeMap<String, Value>,
    /// What it holds.
    pub held: Option<Held>,
    /// Of its last run.
    pub generation: u64,
    /// Its last event.
    pub seq: u64,
    /// How many items its transcript has.
    pub items: u64,
    /// Some of its events were never shown.
    pub is_unseen: bool,
}

/// A run without outcome.
#[derive(Debug, Clone)]
pub struct Run {
    /// Which.
    pub run_id: RunId,
    /// Its input.
    pub input_id: String,
    /// Fences late messages.
    pub generation: u64,
    /// Open actions: what they offer, and when they lapse.
    pub actions: BTreeMap<String, (Vec<String>, Option<Timestamp>)>,
    /// Why its end was asked for.
    pub cancel: Option<String>,
    /// Blocks that have ended.
    pub blocks: BTreeSet<BlockId>,
    /// Its Runtime was opened anew: nothing of it can go on.
    pub is_lost: bool,
}

/// The last run that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRun {
    /// Which.
    pub run_id: RunId,
    /// Its input.
    pub input_id: String,
    /// When.
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
}

/// A scope that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The current fence.
    pub fence: u64,
    /// What may be touched.
    pub allow: Vec<ScopeRule>,
    /// What may not.
    pub deny: Vec<ScopeRule>,
    /// What may be handed on.
    pub lends: Vec<ScopeRule>,
    /// Below whom.
    pub parent: Option<WorkerId>,
}

impl World {
    /// How many Workers stand there in their lives.
    pub fn count(&self, lifecycle: Lifecycle) -> usize {
        let lives = self.workers.values();
        lives.filter(|life| life.lifecycle == lifecycle).count()
    }

    /// How many inputs wait.
    pub fn queued(&self) -> usize {
        self.workers.values().map(|life| life.queue.len()).sum()
    }

    /// How many scopes are held.
    pub fn held(&self) -> usize {
        let lives = self.workers.values();
        lives.filter(|life| life.held.is_some()).count()
    }
}
