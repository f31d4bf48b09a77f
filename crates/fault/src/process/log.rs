//! What `event ls` tells of a stopped store, audited: everything that was told before is there again,
//! positions and numbers are dense, every input has at most one outcome, and no message meant for a
//! client names a path of the host (I1, I2, I4, I11).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{place::Place, ran::Ran};
use crate::report::{HarnessError, Violation};

/// The most events that one call prints.
const PAGE: &str = "1000";

/// One event, as it is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) position: u64,
    pub(super) worker_id: Option<String>,
    pub(super) seq: Option<u64>,
    pub(super) kind: String,
    pub(super) data: Value,
    pub(super) cursor: String,
    /// All of it but the cursor, which differs from stream to stream.
    fact: Value,
}

impl Event {
    /// Reads one printed line; none if it is no event.
    pub(super) fn of(mut line: Value) -> Option<Self> {
        let text = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
        let event = Self {
            position: line.get("position")?.as_u64()?,
            worker_id: text("worker_id"),
            seq: line.get("seq").and_then(Value::as_u64),
            kind: text("type")?,
            data: line.get("data")?.clone(),
            cursor: text("cursor")?,
            fact: Value::Null,
        };
        line.as_object_mut()?.remove("cursor");
        Some(Self {
            fact: line,
            ..event
        })
    }

    /// A text of its data.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.data.get(name).and_then(Value::as_str)
    }

    /// The same fact, from whichever stream.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.fact == other.fact
    }
}

/// The events among printed JSON lines; a last line that a kill tore is none.
pub(super) fn events_of(printed: &str) -> Vec<Event> {
    printed
        .lines()
        .filter_map(|line| Event::of(serde_json::from_str(line).ok()?))
        .collect()
}

/// One input, as the log tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) accepted: Option<(u64, u64)>,
    pub(super) ran: bool,
    /// Its kind and all of it.
    pub(super) outcome: Option<(String, Value)>,
    pub(super) output: String,
    pub(super) marked: bool,
}

/// What the Runtime's stream tells.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    pub(super) events: Vec<Event>,
    /// By Worker and input.
    pub(super) inputs: BTreeMap<(String, String), Told>,
}

impl Log {
    /// Reads it whole, page by page, as `event ls` prints it. Where there is no store it is empty.
    pub(super) fn read(place: &Place) -> Result<Result<Self, Violation>, HarnessError> {
        let mut events: Vec<Event> = Vec::new();
        loop {
            let mut list = vec!["event", "ls", "-o", "jsonl", "--limit", PAGE];
            if let Some(last) = events.last() {
                list.extend(["--after", &last.cursor]);
            }
            let ran = place.call(&list)?;
            if ran.is(10) && events.is_empty() {
                return Ok(Ok(Self::default()));
            }
            let page = match page_of(&ran) {
                Ok(page) => page,
                Err(violation) => return Ok(Err(violation)),
            };
            // A page is bounded by bytes, too: only an empty one is the last.
            let is_last = page.is_empty();
            events.extend(page);
            if is_last {
                return Ok(Self::of(events));
            }
        }
    }

    fn of(events: Vec<Event>) -> Result<Self, Violation> {
        let inputs = inputs_of(&events)?;
        let log = Self { events, inputs };
        log.is_dense()?;
        Ok(log)
    }

    /// Positions follow each other, and the numbers of each Worker do.
    fn is_dense(&self) -> Result<(), Violation> {
        let broken = |event: &Event| {
            let why = format!("not dense at {} {}", event.position, event.fact);
            Err(Violation::new("I2 numbers are dense", why))
        };
        let mut next = 1;
        let mut seqs: BTreeMap<&str, u64> = BTreeMap::new();
        let mut redacted: BTreeSet<&str> = BTreeSet::new();
        for event in &self.events {
            let mut first = event.position;
            if event.kind == "redacted" {
                first = event.data.get("from").and_then(Value::as_u64).unwrap_or(0);
                redacted.extend(event.text("worker_id"));
            }
            if first != next {
                return broken(event);
            }
            next = event.position + 1;
            let (Some(worker_id), Some(seq)) = (event.worker_id.as_deref(), event.seq) else {
                continue;
            };
            let last = seqs.insert(worker_id, seq).unwrap_or(0);
            if seq != last + 1 && !(last == 0 && redacted.contains(worker_id)) {
                return broken(event);
            }
        }
        Ok(())
    }

    /// Everything that this one tells is told by the later one, too, as it was. What a purge took is
    /// told as redacted.
    pub(super) fn is_kept_in(&self, later: &Self) -> Result<(), Violation> {
        later.has(&self.events)
    }

    /// These events are in it, as they were.
    pub(super) fn has(&self, events: &[Event]) -> Result<(), Violation> {
        let known: BTreeMap<u64, &Event> = self.events.iter().map(|e| (e.position, e)).collect();
        for event in events {
            let found = known.get(&event.position);
            let is_kept = found.is_some_and(|found| found.is_same(event));
            if !is_kept && !self.has_redacted(event) {
                let found = found.map(|found| &found.fact);
                let why = format!("told was {}, found is {found:?}", event.fact);
                return Err(Violation::new("I1 what was told is kept", why));
            }
        }
        Ok(())
    }

    /// Whether its place is told as redacted, of its Worker.
    fn has_redacted(&self, event: &Event) -> bool {
        let number = |found: &Event, name| found.data.get(name).and_then(Value::as_u64);
        let is_of = |found: &Event, name: &str, worker: Option<&str>| {
            worker.is_some() && found.text(name) == worker
        };
        let worker = match event.kind.as_str() {
            "redacted" => event.text("worker_id"),
            _ => event.worker_id.as_deref(),
        };
        self.events.iter().any(|found| {
            found.kind == "redacted"
                && is_of(found, "worker_id", worker)
                && number(found, "from").is_some_and(|from| from <= event.position)
                && number(found, "to").is_some_and(|to| event.position <= to)
        })
    }

    /// No event names a place of the host: not the state directory, nor an absolute path in the words
    /// about an outcome or a diagnostic.
    pub(super) fn names_no_path(&self, place: &Place) -> Result<(), Violation> {
        let state = place.state().display().to_string();
        for event in &self.events {
            let words = match event.kind.as_str() {
                "run.finished" | "input.finished" => format!(
                    "{} {}",
                    event.data.get("outcome").unwrap_or(&Value::Null),
                    event.data.get("detail").unwrap_or(&Value::Null)
                ),
                "diagnostic" => event.text("message").unwrap_or_default().to_owned(),
                _ => String::new(),
            };
            if event.fact.to_string().contains(&state) || has_absolute_path(&words) {
                let why = event.fact.to_string();
                return Err(Violation::new("I11 no event names a path of the host", why));
            }
        }
        Ok(())
    }
}

fn page_of(ran: &Ran) -> Result<Vec<Event>, Violation> {
    ran.ended_well()?;
    if !ran.is(0) {
        return Err(Violation::new("I1 the log can be read", ran.to_string()));
    }
    let events = events_of(&ran.stdout);
    if events.len() != ran.stdout.lines().count() {
        let why = format!("a line is no event: {ran}");
        return Err(Violation::new("I2 the log has no gap", why));
    }
    Ok(events)
}

/// Whether a word of this text is an absolute path of more than one part.
pub(super) fn has_absolute_path(text: &str) -> bool {
    let ends = |c: char| c.is_whitespace() || "\"'`(),;=[]{}".contains(c);
    text.split(ends).any(|word| {
        word.strip_prefix('/')
            .and_then(|rest| rest.split_once('/'))
            .is_some_and(|(first, _)| !first.is_empty())
    })
}

/// What becomes of each input; a second outcome of one is a broken promise.
fn inputs_of(events: &[Event]) -> Result<BTreeMap<(String, String), Told>, Violation> {
    let mut inputs: BTreeMap<(String, String), Told> = BTreeMap::new();
    let mut runs: BTreeMap<String, (String, String)> = BTreeMap::new();
    for event in events {
        let Some(worker_id) = event.worker_id.clone() else {
            continue;
        };
        let run_id = event.fact.get("run_id").and_then(Value::as_str);
        if let ("block.finished", Some(key)) = (&*event.kind, run_id.and_then(|id| runs.get(id))) {
            let told = inputs.entry(key.clone()).or_default();
            told.output.push_str(event.text("text").unwrap_or_default());
            let marks = event.data.get("marks").and_then(Value::as_array);
            told.marked |= marks.is_some_and(|marks| marks.iter().any(|m| m == "interrupted"));
        }
        let Some(input_id) = event.text("input_id") else {
            continue;
        };
        let key = (worker_id, input_id.to_owned());
        let told = inputs.entry(key.clone()).or_default();
        let twice = match event.kind.as_str() {
            "input.accepted" => told
                .accepted
                .replace((event.seq.unwrap_or(0), event.position))
                .is_some(),
            "run.started" => {
                runs.insert(run_id.unwrap_or_default().to_owned(), key);
                std::mem::replace(&mut told.ran, true)
            }
            "run.finished" | "input.finished" => {
                let outcome = event.data.get("outcome").cloned().unwrap_or_default();
                let kind = outcome.get("kind").and_then(Value::as_str);
                let kind = kind.unwrap_or_default().to_owned();
                told.outcome.replace((kind, outcome)).is_some()
            }
            _ => false,
        };
        if twice {
            let why = format!("a second {} of {input_id}: {}", event.kind, event.fact);
            return Err(Violation::new("I4 one outcome per input", why));
        }
    }
    Ok(inputs)
}
