//! What clients and observers of a host noted, against what the log tells afterwards (I1, I2, I4, I5).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;

use super::{
    host::Kept,
    journal,
    log::{Event, Log, Told},
    order::{Kind, Noted, Seen, worker_id},
    place::Place,
    script::{hold, ran_nothing_twice},
};
use crate::report::{Doing, HarnessError, Outcome, Violation};

/// What one client noted.
#[derive(Debug, Default)]
struct Client {
    was_created: bool,
    cancels: bool,
    asked: BTreeSet<String>,
    /// By their receipts: number and position.
    accepted: BTreeMap<String, (u64, u64)>,
    receipts_repeated: u64,
    refusals: u64,
}

/// What all clients noted, by their Workers.
#[derive(Debug)]
pub(super) struct Clients(BTreeMap<String, (Kind, Client)>);

impl Clients {
    /// Reads their journals, and checks the answers against each other.
    pub(super) fn read(journals: &Path, workers: u64) -> Kept<Self> {
        let mut clients = BTreeMap::new();
        for worker in 0..workers {
            let path = journals.join(format!("client-{worker:02}.jsonl"));
            let notes = journal::read(&path).doing("read a client's journal")?;
            let client = hold!(Client::of(notes));
            clients.insert(worker_id(worker).to_string(), (Kind::of(worker), client));
        }
        Ok(Ok(Self(clients)))
    }

    /// How many inputs were acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        let clients = self.0.values();
        clients
            .map(|(_, client)| client.accepted.len() as u64)
            .sum()
    }

    pub(super) fn receipts_repeated(&self) -> u64 {
        let clients = self.0.values();
        clients.map(|(_, client)| client.receipts_repeated).sum()
    }

    /// What was noted, in numbers.
    pub(super) fn count(&self, outcome: &mut Outcome) {
        let sum = |of: fn(&Client) -> u64| self.0.values().map(|(_, client)| of(client)).sum();
        outcome.count("inputs acknowledged", self.acknowledged());
        outcome.count("receipts repeated", self.receipts_repeated());
        outcome.count("inputs refused as busy", sum(|client| client.refusals));
    }

    /// Every acknowledgement is kept, to the position; nothing is there that nobody asked for.
    pub(super) fn are_kept_in(&self, log: &Log) -> Result<(), Violation> {
        let lost = |what: String| Err(Violation::new("I1 what was acknowledged is kept", what));
        let known: BTreeSet<&str> = log.events.iter().filter_map(created).collect();
        for (worker, (_, client)) in &self.0 {
            if client.was_created && !known.contains(worker.as_str()) {
                return lost(format!("Worker {worker} is lost"));
            }
            for (input, receipt) in &client.accepted {
                let told = log.inputs.get(&(worker.clone(), input.clone()));
                let accepted = told.and_then(|told| told.accepted);
                if accepted != Some(*receipt) {
                    return lost(format!("{input} had {receipt:?}, found {accepted:?}"));
                }
            }
        }
        for (worker, input) in log.inputs.keys() {
            let asked = self
                .0
                .get(worker)
                .is_some_and(|(_, client)| client.asked.contains(input));
            if !asked {
                let why = format!("nobody sent {input}");
                return Err(Violation::new("I8 nothing is made up", why));
            }
        }
        Ok(())
    }

    /// Every input has the outcome that its command leads to, or one that tells what came between,
    /// and the output that belongs to it; no command ran twice.
    pub(super) fn are_finished_in(
        &self,
        log: &Log,
        place: &Place,
        outcome: &mut Outcome,
    ) -> Kept<()> {
        for ((worker, input), told) in &log.inputs {
            let Some((kind, client)) = self.0.get(worker) else {
                continue;
            };
            hold!(finished(*kind, client.cancels, input, told));
            let state = told.outcome.as_ref().map_or("", |(state, _)| state);
            outcome.count(&format!("inputs {state}"), 1);
            if told.marked && !told.output.is_empty() {
                outcome.count("inputs interrupted with output", 1);
            }
        }
        hold!(ran_nothing_twice(place, log));
        let inputs: BTreeSet<&String> = log.inputs.keys().map(|(_, input)| input).collect();
        for name in place.executed()? {
            if !inputs.contains(&name) {
                let why = format!("{name} ran and was not accepted");
                return Ok(Err(Violation::new("I4 receipt before execution", why)));
            }
        }
        Ok(Ok(()))
    }
}

fn created(event: &Event) -> Option<&str> {
    (event.kind == "worker.created").then_some(event.worker_id.as_deref()?)
}

impl Client {
    fn of(notes: Vec<Noted>) -> Result<Self, Violation> {
        let broken = |what: String| Err(Violation::new("I5 the first receipt again", what));
        let mut client = Self::default();
        // How often an input was asked for since the last answer.
        let mut unanswered: BTreeMap<String, u32> = BTreeMap::new();
        for note in notes {
            match note {
                Noted::Creating(_) => {}
                Noted::Created { .. } => client.was_created = true,
                Noted::Cancelling(_) => client.cancels = true,
                Noted::Sending(input) => {
                    *unanswered.entry(input.to_string()).or_default() += 1;
                    client.asked.insert(input.to_string());
                }
                Noted::Accepted {
                    input_id,
                    seq,
                    position,
                    repeated,
                } => {
                    let input = input_id.to_string();
                    let times = unanswered.insert(input.clone(), 0).unwrap_or(0);
                    let receipt = (seq.0, position.0);
                    client.receipts_repeated += u64::from(repeated);
                    match client.accepted.insert(input, receipt) {
                        Some(first) if first != receipt || !repeated => {
                            return broken(format!("{input_id}: {first:?}, then {receipt:?}"));
                        }
                        None if repeated && times < 2 => {
                            return broken(format!("{input_id} was never asked for"));
                        }
                        _ => {}
                    }
                }
                Noted::Refused { input_id, code } => {
                    let input = input_id.to_string();
                    unanswered.insert(input.clone(), 0);
                    client.refusals += 1;
                    if code != "WR-INPUT-BUSY" || client.accepted.contains_key(&input) {
                        return broken(format!("{input_id} was refused with {code}"));
                    }
                }
            }
        }
        Ok(client)
    }
}

fn finished(kind: Kind, cancels: bool, input: &str, told: &Told) -> Result<(), Violation> {
    let broken = |promise: &str, what: String| Err(Violation::new(promise, what));
    let Some((state, all)) = &told.outcome else {
        return broken("I4 one outcome per input", format!("{input} has none"));
    };
    let stop = |name: &str| all.pointer(&format!("/stop/{name}")).cloned();
    let fails = kind == Kind::Failing;
    let fits = match state.as_str() {
        "completed" => !fails,
        "failed" => fails && stop("code") == Some(Value::from(3)),
        "interrupted" => stop("type") == Some(Value::from("runtime_lost")),
        "cancelled" => cancels,
        _ => false,
    };
    if !fits {
        return broken("I8 no outcome is made up", format!("{input}: {all}"));
    }
    let whole = kind.output(input);
    let ended = matches!(state.as_str(), "completed" | "failed");
    let fits = match ended {
        true => told.output == whole && !told.marked,
        false => whole.starts_with(&told.output),
    };
    let is_partial = !told.output.is_empty() && told.output != whole;
    if !fits || (state == "interrupted" && is_partial && !told.marked) {
        let why = format!(
            "of {input}, {state}, marked {}: {:?}",
            told.marked, told.output
        );
        return broken("I1 output is kept", why);
    }
    Ok(())
}

/// Every observer saw every event of its stream once, in order, as it stands in the log up to a
/// position; how many events that were.
pub(super) fn observed(journals: &Path, log: &Log, until: u64) -> Kept<u64> {
    let mut events = 0;
    for entry in fs::read_dir(journals).doing("read the journals")? {
        let path = entry.doing("read the journals")?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let Some(of) = name.strip_prefix("observer-") else {
            continue;
        };
        let is_in = |event: &Event| {
            let is_of = of.starts_with("runtime") || event.worker_id.as_deref() == Some(of);
            is_of && event.position <= until
        };
        let seen: Vec<Seen> = journal::read(&path).doing("read an observer's journal")?;
        let expected = log.events.iter().filter(|event| is_in(event));
        hold!(saw(of, seen, expected));
        events += log.events.iter().filter(|event| is_in(event)).count() as u64;
    }
    Ok(Ok(events))
}

fn saw<'a>(
    observer: &str,
    seen: Vec<Seen>,
    mut expected: impl Iterator<Item = &'a Event>,
) -> Result<(), Violation> {
    let broken = |what: String| Err(Violation::new("I2 nothing is missed, nothing twice", what));
    for seen in seen {
        let event = expected.next();
        let same = match &seen {
            Seen::Event(_, value) => Event::of(value.clone())
                .zip(event)
                .is_some_and(|(seen, event)| seen.is_same(event)),
            Seen::Gap(..) | Seen::Failed(_) => false,
        };
        if !same {
            return broken(format!("{observer} saw {seen:?}, there is {event:?}"));
        }
    }
    match expected.next() {
        None => Ok(()),
        Some(event) => broken(format!("{observer} did not see {event:?}")),
    }
}

/// The audit of a store that was drained to a position and closed.
pub(super) fn audit(
    place: &Place,
    journals: &Path,
    (workers, drained): (u64, u64),
    before: &Log,
    outcome: &mut Outcome,
) -> Kept<Log> {
    hold!(place.nothing_left());
    let log = hold!(Log::read(place)?);
    hold!(before.is_kept_in(&log));
    let clients = hold!(Clients::read(journals, workers)?);
    hold!(clients.are_kept_in(&log));
    hold!(clients.are_finished_in(&log, place, outcome)?);
    hold!(log.names_no_path(place));
    let observed = hold!(observed(journals, &log, drained)?);
    outcome.count("events observed", observed);
    outcome.count("events in the logs", log.events.len() as u64);
    clients.count(outcome);
    Ok(Ok(log))
}

/// How many inputs the clients have receipts for by now.
pub(super) fn acknowledged(journals: &Path, workers: u64) -> Result<u64, HarnessError> {
    match Clients::read(journals, workers)? {
        Ok(clients) => Ok(clients.acknowledged()),
        Err(violation) => Err(HarnessError::new("read the journals", violation)),
    }
}
