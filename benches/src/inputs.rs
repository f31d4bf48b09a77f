//! Inputs that were sent, and whether a subscriber received each of them and one outcome (I4).

use std::collections::HashMap;

use serde::Deserialize;
use worker_runtime_core::{EventType, WorkerId, run::OutcomeKind};

use crate::{Failure, ledger::Seen, payload::Payload};

/// An input that got its receipt and then its outcome.
#[derive(Debug, Clone)]
pub struct Sent {
    /// To whom.
    pub worker_id: WorkerId,
    /// What was said.
    pub payload: Payload,
    /// The position of its acceptance, as the receipt says.
    pub position: u64,
}

/// Every input, by its id.
pub type SentById = HashMap<String, Sent>;

#[derive(Deserialize)]
struct Accepted {
    input_id: String,
    segments: Vec<TextSegment>,
}

#[derive(Deserialize)]
struct TextSegment {
    text: String,
}

#[derive(Deserialize)]
struct Finished {
    input_id: String,
    outcome: FinishedOutcome,
}

#[derive(Deserialize)]
struct FinishedOutcome {
    kind: OutcomeKind,
}

/// The subscriber received every input that got a receipt, as it was sent and where the receipt
/// says, and exactly one outcome of each.
///
/// # Errors
/// Naming the first input that is missing, doubled or altered.
pub fn check(sent: &SentById, seen: &[Seen]) -> Result<(), Failure> {
    let mut waiting: HashMap<String, &Sent> = HashMap::new();
    let mut finished = 0;
    for (expected, event) in (1..).zip(seen) {
        if event.position != expected {
            let at = event.position;
            return Err(Failure::new(format!(
                "position {at} came where {expected} must"
            )));
        }
        if event.kind == EventType::INPUT_ACCEPTED {
            let accepted: Accepted = serde_json::from_slice(&event.data)?;
            let sent = sent.get(&accepted.input_id).filter(|sent| {
                let text = accepted.segments.first().map(|segment| &segment.text);
                sent.position == event.position
                    && event.worker.map(|(worker_id, _)| worker_id) == Some(sent.worker_id)
                    && text == sent.payload.to_text().ok().as_ref()
            });
            let differs = || {
                Failure::new(format!(
                    "position {} is not the input of the receipt",
                    event.position
                ))
            };
            waiting.insert(accepted.input_id, sent.ok_or_else(differs)?);
        } else if event.kind == EventType::RUN_FINISHED {
            let data: Finished = serde_json::from_slice(&event.data)?;
            let was_waiting = waiting.remove(&data.input_id).is_some();
            if !was_waiting || data.outcome.kind != OutcomeKind::Completed {
                return Err(Failure::new(format!(
                    "position {} is a second or another outcome of {}",
                    event.position, data.input_id
                )));
            }
            finished += 1;
        }
    }
    if !waiting.is_empty() || finished != sent.len() {
        return Err(Failure::new(format!(
            "{} inputs got a receipt, {finished} an outcome, {} wait",
            sent.len(),
            waiting.len()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
