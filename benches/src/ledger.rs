//! What was acknowledged and what was received, and that they are the same. No bench prints a
//! figure before this holds.

use std::{cmp::Ordering, collections::HashMap};

use bytes::Bytes;
use worker_runtime_core::{Event, EventType, WorkerId};

use crate::{
    Failure,
    payload::{Payload, digest},
};

/// The type of the events that the benches append themselves.
pub const APPENDED: EventType = EventType::TOOL_CALL;

/// An event that was acknowledged as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acked {
    /// The position that was acknowledged.
    pub position: u64,
    /// Which Worker, by its number in the bench.
    pub worker: u32,
    /// Which operation on it.
    pub op: u64,
}

/// An event that came back.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its position.
    pub position: u64,
    /// Whose, and its number in that Worker's stream.
    pub worker: Option<(WorkerId, u64)>,
    /// What kind of event.
    pub kind: EventType,
    /// The digest of the data that came back.
    pub digest: u64,
    /// The data, when it is looked at later.
    pub data: Bytes,
}

impl Seen {
    /// What is kept of an event.
    pub fn of(event: Event, keep_data: bool) -> Self {
        Self {
            position: event.position.0,
            worker: event.worker.map(|place| (place.worker_id, place.seq.0)),
            kind: event.kind,
            digest: digest(&event.data),
            data: if keep_data { event.data } else { Bytes::new() },
        }
    }
}

/// Everything that was acknowledged, by all clients.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The Workers, by their number in the bench.
    pub workers: Vec<WorkerId>,
    /// What was acknowledged.
    pub acked: Vec<Acked>,
}

impl Ledger {
    /// Compares with what a reader of the Runtime's stream received.
    ///
    /// # Errors
    /// Naming the first event that is missing, doubled, altered, out of order or was never
    /// acknowledged.
    pub fn check_stream(&mut self, seen: &[Seen]) -> Result<(), Failure> {
        for (expected, event) in (1..).zip(seen) {
            if event.position != expected {
                return Err(Failure::new(format!(
                    "the subscriber received position {} where {expected} had to follow",
                    event.position
                )));
            }
        }
        check_seqs(seen)?;
        self.check_appended(seen)
    }

    /// Compares with what a reader of every Worker's stream received, in any order of Workers.
    ///
    /// # Errors
    /// As [`check_stream`](Self::check_stream).
    pub fn check_workers(&mut self, seen: &mut [Seen]) -> Result<(), Failure> {
        check_seqs(seen)?;
        seen.sort_by_key(|event| event.position);
        self.check_appended(seen)
    }

    /// Acknowledged and received are the same set, with the same content.
    fn check_appended(&mut self, seen: &[Seen]) -> Result<(), Failure> {
        self.acked.sort_by_key(|acked| acked.position);
        let mut received = seen.iter().filter(|event| event.kind == APPENDED);
        for acked in &self.acked {
            let Some(event) = received.next() else {
                return Err(lost(acked));
            };
            match event.position.cmp(&acked.position) {
                Ordering::Equal => self.check_content(acked, event)?,
                Ordering::Greater => return Err(lost(acked)),
                Ordering::Less => return Err(never_acked(event)),
            }
        }
        match received.next() {
            Some(event) => Err(never_acked(event)),
            None => Ok(()),
        }
    }

    fn check_content(&self, acked: &Acked, event: &Seen) -> Result<(), Failure> {
        let owner = self.workers.get(acked.worker as usize).copied();
        let sent = digest(&Payload::new(acked.worker, acked.op).to_bytes()?);
        if event.worker.map(|(worker_id, _)| worker_id) != owner || event.digest != sent {
            return Err(Failure::new(format!(
                "position {} came back as {:?} of {:?}, and was acknowledged as operation {} of Worker {}",
                acked.position, event.kind, event.worker, acked.op, acked.worker
            )));
        }
        Ok(())
    }
}

fn lost(acked: &Acked) -> Failure {
    Failure::new(format!(
        "operation {} of Worker {} was acknowledged at position {} and not received",
        acked.op, acked.worker, acked.position
    ))
}

fn never_acked(event: &Seen) -> Failure {
    Failure::new(format!(
        "position {} was received and never acknowledged, or received twice",
        event.position
    ))
}

/// Every Worker's events came in order, from 1, with none missing and none twice.
fn check_seqs(seen: &[Seen]) -> Result<(), Failure> {
    let mut last: HashMap<WorkerId, u64> = HashMap::new();
    for event in seen {
        let Some((worker_id, seq)) = event.worker else {
            continue;
        };
        let last = last.entry(worker_id).or_default();
        if seq != *last + 1 {
            return Err(Failure::new(format!(
                "Worker {worker_id} was received with seq {seq} after seq {last}"
            )));
        }
        *last = seq;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
