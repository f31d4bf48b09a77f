//! Random batches, as the Runtime's writer would make them, from a seed.

mod operation;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use fastrand::Rng;
use worker_runtime_core::{
    AsJson, BlockId, Digest, Epoch, Event, EventType, Fence, Generation, HeldScope, InputId,
    LeaseId, Revision, RunId, SeededEntropy, Seq, Timestamp, WorkerId, WorkerPlace,
    input::{Budget, Input, InputKind, InputMode, Segment},
    profile::{NamedProfiles, ProfileSelector},
    record::{
        AllocationRecord, LeaseRecord, Lifecycle, ReceiptRecord, Recorded, UnfinishedRecord,
        WorkerRecord,
    },
    run::Usage,
    store::{Batch, BlockKind, Change, Checkpoint},
    worker::{CreateWorker, Intent},
};

use super::state::State;
use crate::report::{Doing, HarnessError};

const WORKERS_MAX: usize = 6;

/// A writer without a Runtime: it gives events their places, and tells the model.
pub(super) struct Script {
    pub(super) rng: Rng,
    entropy: SeededEntropy,
    at: Timestamp,
    /// Everything that was written, in order.
    pub(super) events: Vec<Event>,
    alive: Vec<WorkerId>,
    inputs: u64,
}

impl Script {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            entropy: SeededEntropy::new(seed),
            at: Timestamp::from_unix_ms(1_700_000_000_000),
            events: Vec::new(),
            alive: Vec::new(),
            inputs: 0,
        }
    }

    /// One that goes on after a prefix of another's events, with the Workers of a state.
    pub(super) fn going_on(seed: u64, events: &[Event], state: &State) -> Self {
        let alive = state.workers.values();
        let alive = alive.filter(|record| record.lifecycle == Lifecycle::Active);
        Self {
            alive: alive.map(|record| record.worker_id).collect(),
            events: events.to_vec(),
            at: Timestamp::from_unix_ms(1_800_000_000_000),
            inputs: 1_000_000,
            ..Self::new(seed)
        }
    }

    /// The next batch; `state` is what the store holds before it, and after it when this returns.
    pub(super) fn batch(&mut self, state: &mut State) -> Result<Batch, HarnessError> {
        let mut making = Making {
            batch: Batch::default(),
            state: state.clone(),
        };
        for _ in 0..self.rng.usize(1..4) {
            self.step(&mut making)?;
        }
        let mut batch = making.batch;
        batch.must_happen = self.rng.u8(..) < 32;
        state.take(&batch);
        Ok(batch)
    }

    fn step(&mut self, making: &mut Making) -> Result<(), HarnessError> {
        let choice = self.rng.u8(0..32);
        let Some(worker_id) = self.rng.choice(self.alive.iter().copied()) else {
            return self.create(making);
        };
        match choice {
            0 if self.alive.len() < WORKERS_MAX => return self.create(making),
            0..=13 => {
                for _ in 0..self.rng.usize(1..6) {
                    let owner = self.rng.choice(self.alive.iter().copied());
                    let owner = owner.filter(|_| self.rng.u8(..) > 12);
                    self.data(making, owner);
                }
            }
            14..=17 => return self.accept(making, worker_id),
            18..=20 => self.finish(making, worker_id),
            21..=24 => self.checkpoint(making, worker_id),
            25 | 26 => self.fold(making, worker_id),
            27 => {
                let last = making.state.head(worker_id).seq;
                let seq = Seq(self.rng.u64(0..=last.0 + 2));
                making.change(Change::Trim(worker_id, seq));
            }
            28 => {
                self.record(making, worker_id, |record| record.paused = !record.paused);
                self.operation(making, worker_id);
            }
            29 if self.rng.bool() => {
                self.hold(making, worker_id);
                self.operation(making, worker_id);
            }
            29 => self.lease(making),
            30 => {
                let mut runtime = making.state.runtime.clone();
                runtime.stopped = !runtime.stopped;
                let kind = if runtime.stopped {
                    EventType::RUNTIME_STOPPED
                } else {
                    EventType::RUNTIME_RESUMED
                };
                self.event(making, None, kind, "{}".into());
                making.change(Change::Runtime(runtime));
            }
            _ if self.alive.len() > 2 => self.delete(making, worker_id),
            _ => self.data(making, Some(worker_id)),
        }
        Ok(())
    }

    fn event(
        &mut self,
        making: &mut Making,
        owner: Option<WorkerId>,
        kind: EventType,
        data: Bytes,
    ) -> Recorded {
        self.at = self
            .at
            .plus(std::time::Duration::from_millis(self.rng.u64(0..3)));
        let place = owner.map(|worker_id| {
            let head = making.state.head(worker_id);
            WorkerPlace {
                worker_id,
                seq: head.seq.next(),
                item: kind.in_transcript().then_some(head.items),
            }
        });
        let run_id =
            (place.is_some() && self.rng.bool()).then(|| RunId::mint(self.at, &mut self.entropy));
        let event = Event {
            position: making.state.position.next(),
            at: self.at,
            worker: place,
            kind,
            run_id,
            data_digest: Digest::of(&data),
            data,
        };
        making.state.append(&event);
        making.batch.events.push(event.clone());
        self.events.push(event.clone());
        Recorded {
            seq: place.map(|place| place.seq).unwrap_or_default(),
            position: event.position,
            at: event.at,
            incarnation_id: 7,
        }
    }

    /// An event with some data, sometimes more than fits beside others.
    fn data(&mut self, making: &mut Making, owner: Option<WorkerId>) {
        let len = match self.rng.u8(0..32) {
            0 => self.rng.usize(10_000..24_000),
            1..=2 => self.rng.usize(2_000..5_000),
            3..=12 => self.rng.usize(200..900),
            _ => self.rng.usize(8..120),
        };
        let kinds = [
            EventType::BLOCK_FINISHED,
            EventType::TOOL_CALL,
            EventType::TOOL_RESULT,
            EventType::USAGE,
            EventType::DIAGNOSTIC,
        ];
        let kind = self.rng.choice(kinds).unwrap_or(EventType::USAGE);
        let data = self.json(len);
        self.event(making, owner, kind, data);
    }

    fn json(&mut self, len: usize) -> Bytes {
        let text: String = std::iter::repeat_with(|| self.rng.lowercase())
            .take(len)
            .collect();
        format!("{{\"t\":\"{text}\"}}").into()
    }

    fn create(&mut self, making: &mut Making) -> Result<(), HarnessError> {
        let worker_id = WorkerId::mint(self.at, &mut self.entropy);
        let created = self.event(
            making,
            Some(worker_id),
            EventType::WORKER_CREATED,
            "{}".into(),
        );
        making.change(Change::Worker(Arc::new(worker_record(worker_id, created)?)));
        self.alive.push(worker_id);
        self.hold(making, worker_id);
        Ok(())
    }

    fn hold(&mut self, making: &mut Making, worker_id: WorkerId) {
        if making.state.allocations.contains_key(&worker_id) {
            self.event(
                making,
                Some(worker_id),
                EventType::ALLOCATION_RELEASED,
                "{}".into(),
            );
            making.change(Change::Release(worker_id));
            return;
        }
        let mut runtime = making.state.runtime.clone();
        runtime.fence = Fence(runtime.fence.0 + 1);
        let granted = self.event(
            making,
            Some(worker_id),
            EventType::ALLOCATION_GRANTED,
            "{}".into(),
        );
        making.change(Change::Allocation(Arc::new(AllocationRecord {
            worker_id,
            parent: None,
            scope: Arc::new(HeldScope::default()),
            fence: runtime.fence,
            granted_at: granted.at,
            delegation: None,
        })));
        making.change(Change::Runtime(runtime));
    }

    /// Grants a lease, or has one last another time, or ends one.
    fn lease(&mut self, making: &mut Making) {
        let held = self.rng.choice(making.state.leases.values().cloned());
        let Some(held) = held.filter(|_| self.rng.u8(0..3) > 0) else {
            let mut runtime = making.state.runtime.clone();
            runtime.fence = Fence(runtime.fence.0 + 1);
            let granted = self.event(making, None, EventType::LEASE_GRANTED, "{}".into());
            let lease_id = LeaseId::mint(self.at, &mut self.entropy);
            making.change(Change::Lease(Arc::new(LeaseRecord {
                lease_id,
                holder: format!("holder {lease_id}"),
                fingerprint: Digest::of(&lease_id.to_bytes()),
                scope: Arc::new(HeldScope::default()),
                ttl_ms: 60_000,
                fence: runtime.fence,
                shown: None,
                granted_at: granted.at,
                reason: None,
            })));
            return making.change(Change::Runtime(runtime));
        };
        if self.rng.bool() {
            let ttl_ms = held.ttl_ms + 1_000;
            let held = LeaseRecord::clone(&held);
            return making.change(Change::Lease(Arc::new(LeaseRecord { ttl_ms, ..held })));
        }
        self.event(making, None, EventType::LEASE_RELEASED, "{}".into());
        making.change(Change::EndLease(held.lease_id));
    }

    fn record(
        &mut self,
        making: &mut Making,
        worker_id: WorkerId,
        change: impl FnOnce(&mut WorkerRecord),
    ) {
        let Some(record) = making.state.workers.get(&worker_id) else {
            return;
        };
        let mut record = WorkerRecord::clone(record);
        record.revision = Revision(record.revision.0 + 1);
        change(&mut record);
        making.change(Change::Worker(Arc::new(record)));
    }

    fn accept(&mut self, making: &mut Making, worker_id: WorkerId) -> Result<(), HarnessError> {
        self.inputs += 1;
        let input_id = InputId::new(format!("input-{}", self.inputs)).doing("name an input")?;
        let text = String::from_utf8_lossy(&self.json(40)).into_owned();
        let data = self.json(60);
        let accepted = self.event(making, Some(worker_id), EventType::INPUT_ACCEPTED, data);
        let key = Digest::of(input_id.to_string().as_bytes()).0;
        let receipt = ReceiptRecord {
            content_digest: Digest::of(text.as_bytes()),
            accepted,
        };
        making.change(Change::Receipt(worker_id, key, receipt));
        making.change(Change::Unfinished(Arc::new(UnfinishedRecord {
            worker_id,
            accepted,
            input: Arc::new(Input {
                input_id,
                kind: InputKind::User,
                segments: AsJson(vec![Segment::text(text)]),
                budget: AsJson(Budget::default()),
            }),
            mode: InputMode::Queue,
            run: None,
        })));
        self.record(making, worker_id, |record| record.input_count += 1);
        Ok(())
    }

    fn finish(&mut self, making: &mut Making, worker_id: WorkerId) {
        let of_worker = making.state.unfinished.keys();
        let mut of_worker = of_worker.filter(|(owner, _)| *owner == worker_id);
        let Some((_, seq)) = of_worker.next().copied() else {
            return self.data(making, Some(worker_id));
        };
        let data = self.json(30);
        self.event(making, Some(worker_id), EventType::RUN_FINISHED, data);
        making.change(Change::Finished(worker_id, seq));
        self.record(making, worker_id, |record| {
            record.generation = Generation(record.generation.0 + 1);
        });
    }

    fn checkpoint(&mut self, making: &mut Making, worker_id: WorkerId) {
        let block = BlockId {
            generation: Generation(1),
            index: self.rng.u32(0..3),
        };
        let known = making.state.blocks.get(&(worker_id, block));
        // Sometimes it begins anew.
        let known = known.filter(|_| self.rng.u8(..) > 24);
        let offset_bytes = known.map_or(0, |known| known.bytes.len() as u64);
        let len = if self.rng.u8(0..20) == 0 {
            self.rng.usize(15_000..20_000)
        } else {
            self.rng.usize(1..600)
        };
        let bytes: String = std::iter::repeat_with(|| self.rng.lowercase())
            .take(len)
            .collect();
        making.change(Change::Checkpoint(Checkpoint {
            worker_id,
            block,
            kind: BlockKind::Text,
            parent: None,
            offset_bytes,
            bytes: bytes.into(),
        }));
    }

    fn fold(&mut self, making: &mut Making, worker_id: WorkerId) {
        let of_worker = making.state.blocks.iter();
        let mut of_worker = of_worker.filter(|((owner, _), _)| *owner == worker_id);
        let Some((block, bytes)) = of_worker
            .next()
            .map(|((_, block), one)| (*block, one.bytes.clone()))
        else {
            return self.data(making, Some(worker_id));
        };
        let text = String::from_utf8_lossy(&bytes);
        let data = format!("{{\"text\":\"{text}\"}}");
        self.event(
            making,
            Some(worker_id),
            EventType::BLOCK_FINISHED,
            data.into(),
        );
        making.change(Change::Fold(worker_id, block));
    }

    fn delete(&mut self, making: &mut Making, worker_id: WorkerId) {
        self.alive.retain(|alive| *alive != worker_id);
        let of_worker = making.state.unfinished.keys();
        let of_worker = of_worker.filter(|(owner, _)| *owner == worker_id);
        for (_, seq) in of_worker.copied().collect::<Vec<_>>() {
            making.change(Change::Finished(worker_id, seq));
        }
        self.event(
            making,
            Some(worker_id),
            EventType::WORKER_DELETED,
            "{}".into(),
        );
        if making.state.allocations.contains_key(&worker_id) {
            making.change(Change::Release(worker_id));
        }
        self.record(making, worker_id, |record| {
            record.lifecycle = Lifecycle::Deleted;
            record.labels.clear();
        });
        making.change(if self.rng.bool() {
            Change::Forget(worker_id)
        } else {
            Change::Purge(worker_id)
        });
    }
}

/// A batch that is being made, and the state as its next step finds it.
struct Making {
    batch: Batch,
    state: State,
}

impl Making {
    fn change(&mut self, change: Change) {
        self.state.change(&change, &State::clone(&self.state));
        self.batch.changes.push(change);
    }
}

fn worker_record(worker_id: WorkerId, created: Recorded) -> Result<WorkerRecord, HarnessError> {
    let create = CreateWorker::new(Intent::Assistant { purpose: None });
    let profile = NamedProfiles::default().resolve(&ProfileSelector::RuntimeDefault);
    Ok(WorkerRecord {
        worker_id,
        fingerprint: create.fingerprint().doing("digest a Worker")?,
        created,
        spec: AsJson(create.spec),
        display_name: Some("ada".to_owned()),
        labels: BTreeMap::from([("team".to_owned(), "blue".to_owned())]),
        profile: profile.doing("find the default profile")?,
        backend: None,
        scope: None,
        lifecycle: Lifecycle::Active,
        epoch: Epoch(1),
        ending: None,
        paused: false,
        archived: false,
        changed: created,
        generation: Generation(1),
        revision: Revision(1),
        input_count: 0,
        resume: None,
        last_run: None,
        usage: Usage::default(),
        processes: Vec::new(),
        unproven: None,
        status: BTreeMap::new(),
        delegation: None,
    })
}
