//! The audit: what the log tells, against what clients noted, what commands noted, and what
//! observers saw.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;
use worker_runtime_core::{
    Cursor, Event, InputId, Observation, Position, RunId, Seq, Stream, WireEvent, WorkerId,
};

use crate::crash::{
    journal,
    order::{Kind, Noted, Seen, worker_id},
    place::Place,
};

/// What the clients noted, Worker by Worker.
pub(super) struct Clients(BTreeMap<WorkerId, Client>);

#[derive(Default)]
struct Client {
    kind: Option<Kind>,
    was_created: bool,
    cancels: bool,
    asked: BTreeSet<InputId>,
    /// By their receipts.
    accepted: BTreeMap<InputId, (Seq, Position)>,
    receipts_repeated: usize,
    refusals: usize,
}

impl Clients {
    pub(super) fn read(journals: &Path, workers: u64) -> Self {
        let clients = (0..workers).map(|worker| {
            let path = journals.join(format!("client-{worker:02}.jsonl"));
            let mut client = Client::of(journal::read(&path).unwrap());
            client.kind = Some(Kind::of(worker));
            (worker_id(worker), client)
        });
        Self(clients.collect())
    }
}

impl Client {
    /// Reads a journal, and checks the answers against each other.
    fn of(notes: Vec<Noted>) -> Self {
        let mut client = Self::default();
        // How often an input was asked for since the last answer.
        let mut asked: BTreeMap<InputId, u32> = BTreeMap::new();
        for note in notes {
            match note {
                Noted::Creating(_) => {}
                Noted::Created { .. } => client.was_created = true,
                Noted::Cancelling(_) => client.cancels = true,
                Noted::Sending(input_id) => {
                    *asked.entry(input_id.clone()).or_default() += 1;
                    client.asked.insert(input_id);
                }
                Noted::Accepted {
                    input_id,
                    seq,
                    position,
                    repeated,
                } => {
                    let times = asked.insert(input_id.clone(), 0).unwrap();
                    client.receipts_repeated += usize::from(repeated);
                    match client.accepted.insert(input_id.clone(), (seq, position)) {
                        Some(first) => {
                            assert_eq!((seq, position), first, "the first receipt of {input_id}");
                            assert!(repeated, "{input_id} was accepted before");
                        }
                        None => assert!(!repeated || times > 1, "{input_id} was never asked for"),
                    }
                }
                Noted::Refused { input_id, code } => {
                    asked.insert(input_id.clone(), 0);
                    client.refusals += 1;
                    assert_eq!(code, "WR-INPUT-BUSY", "of {input_id}");
                    let known = client.accepted.get(&input_id);
                    assert_eq!(known, None, "{input_id} was accepted before");
                }
            }
        }
        client
    }
}

/// What the log tells of one input.
#[derive(Default)]
struct Told {
    accepted: Option<(Seq, Position)>,
    run: Option<RunId>,
    outcome: Option<Value>,
    output: String,
    marks: BTreeSet<String>,
}

/// What the log tells.
pub(super) struct Story<'a> {
    events: &'a [Event],
    observation: &'a Observation,
    inputs: BTreeMap<WorkerId, BTreeMap<String, Told>>,
}

impl<'a> Story<'a> {
    /// The events have been audited: outcomes are single, sequences dense.
    pub(super) fn of(observation: &'a Observation, events: &'a [Event]) -> Self {
        let mut inputs: BTreeMap<WorkerId, BTreeMap<String, Told>> = BTreeMap::new();
        let mut input_of: BTreeMap<RunId, String> = BTreeMap::new();
        for event in events {
            let Some(place) = event.worker else { continue };
            let worker = inputs.entry(place.worker_id).or_default();
            let data: Value = serde_json::from_slice(&event.data).unwrap();
            let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
            match event.kind.as_str() {
                "input.accepted" => {
                    let told = worker.entry(text("input_id")).or_default();
                    told.accepted = Some((place.seq, event.position));
                }
                "run.started" => {
                    let run_id = event.run_id.unwrap();
                    input_of.insert(run_id, text("input_id"));
                    worker.get_mut(&text("input_id")).unwrap().run = Some(run_id);
                }
                "run.finished" | "input.finished" => {
                    let told = worker.get_mut(&text("input_id")).unwrap();
                    told.outcome = Some(data["outcome"].clone());
                }
                "block.finished" => {
                    let input = &input_of[&event.run_id.unwrap()];
                    let told = worker.get_mut(input).unwrap();
                    told.output += &text("text");
                    let marks = data["marks"].as_array().unwrap().iter();
                    let marks = marks.map(|mark| mark.as_str().unwrap().to_owned());
                    told.marks.extend(marks);
                }
                _ => {}
            }
        }
        Self {
            events,
            observation,
            inputs,
        }
    }

    fn each(&self) -> impl Iterator<Item = (WorkerId, &String, &Told)> {
        let each = self.inputs.iter();
        each.flat_map(|(worker_id, inputs)| {
            let inputs = inputs.iter();
            inputs.map(|(input, told)| (*worker_id, input, told))
        })
    }

    /// The inputs that wait.
    pub(super) fn without_outcome(&self, worker_id: WorkerId) -> Vec<&String> {
        let inputs = self.inputs.get(&worker_id).into_iter().flatten();
        let left = inputs.filter(|(_, told)| told.outcome.is_none());
        left.map(|(input, _)| input).collect()
    }

    pub(super) fn has_run(&self, worker_id: WorkerId, input: &str) -> bool {
        self.inputs[&worker_id][input].run.is_some()
    }

    /// Every acknowledgement is kept, to the position; nothing is there that nobody asked for.
    pub(super) fn holds_what_was_acknowledged(&self, clients: &Clients) {
        for (worker_id, client) in &clients.0 {
            let told = self.inputs.get(worker_id);
            assert!(told.is_some() || !client.was_created, "{worker_id} is lost");
            for (input_id, receipt) in &client.accepted {
                let told = told.and_then(|told| told.get(input_id.as_str()));
                let accepted = told.and_then(|told| told.accepted);
                assert_eq!(accepted, Some(*receipt), "the receipt of {input_id}");
            }
            for input in told.into_iter().flatten().map(|(input, _)| input) {
                let input_id = InputId::new(input.as_str()).unwrap();
                assert!(client.asked.contains(&input_id), "nobody sent {input}");
            }
        }
    }

    /// Every input has the outcome that its command leads to, or one that tells what came between.
    pub(super) fn is_finished(&self, clients: &Clients) {
        for (worker_id, input, told) in self.each() {
            let client = &clients.0[&worker_id];
            let outcome = told.outcome.as_ref().expect("an outcome");
            let stop = &outcome["stop"];
            match outcome["kind"].as_str().unwrap() {
                "completed" => assert_ne!(client.kind, Some(Kind::Failing), "of {input}"),
                "failed" => {
                    assert_eq!(client.kind, Some(Kind::Failing), "{input}: {outcome}");
                    assert_eq!((&stop["type"], &stop["code"]), (&"exit".into(), &3.into()));
                }
                "interrupted" => assert_eq!(stop["type"], "runtime_lost", "of {input}"),
                "cancelled" => assert!(client.cancels, "nobody cancelled {input}"),
                other => panic!("{input}: {other}"),
            }
            let view = self.observation.worker(worker_id).unwrap();
            assert_eq!(view.input_count, self.inputs[&worker_id].len() as u64);
        }
    }

    /// What commands noted when they began.
    pub(super) fn ran_nothing_twice(&self, place: &Place, clients: &Clients) {
        for (_, input, told) in self.each() {
            let times = place.executions(input);
            let outcome = &told.outcome.as_ref().unwrap()["kind"];
            match outcome.as_str().unwrap() {
                "completed" | "failed" => assert_eq!(times, 1, "{input} {outcome}"),
                _ if told.run.is_some() => assert!(times <= 1, "{input} {outcome}: {times}"),
                _ => assert_eq!(times, 0, "{input} never began"),
            }
        }
        let accepted: BTreeSet<&String> = self.each().map(|(_, input, _)| input).collect();
        for entry in fs::read_dir(place.side()).unwrap() {
            let name = entry.unwrap().file_name().to_string_lossy().into_owned();
            assert!(accepted.contains(&name), "{name} ran and was not accepted");
        }
        assert!(clients.0.values().all(|client| client.was_created));
    }

    /// The output of what ended by itself is whole; else it is how it began, and says so.
    pub(super) fn kept_the_output(&self) {
        for (worker_id, input, told) in self.each() {
            let worker: u64 = input[1..3].parse().unwrap();
            let whole = Kind::of(worker).output(input);
            let outcome = &told.outcome.as_ref().unwrap()["kind"];
            if outcome == "completed" || outcome == "failed" {
                assert_eq!(told.output, whole, "of {input}, {outcome}");
                assert!(told.marks.is_empty(), "of {input}");
            } else {
                assert!(
                    whole.starts_with(&told.output),
                    "of {input} of {worker_id}, {outcome}: {}",
                    told.output
                );
            }
            if outcome == "interrupted" && !told.output.is_empty() && told.output != whole {
                assert!(told.marks.contains("interrupted"), "of {input}");
            }
        }
    }

    /// Every observer saw every event of its stream once, in order, as it stands in the log.
    pub(super) fn was_observed(&self, journals: &Path, until: u64, expected: usize) {
        let mut observers = 0;
        for entry in fs::read_dir(journals).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let Some(of) = name.strip_prefix("observer-") else {
                continue;
            };
            // Behind the stream's name may stand how it was observed.
            let of = of.split('+').next().unwrap();
            let stream = of.parse().map_or(Stream::Runtime, Stream::Worker);
            let seen: Vec<Seen> = journal::read(&path).unwrap();
            let mut seen = seen.into_iter();
            let of_stream = self
                .events
                .iter()
                .filter(|event| event.is_in(stream) && event.position.0 <= until);
            for event in of_stream {
                let Some(Seen::Event(cursor, value)) = seen.next() else {
                    panic!("{name} did not see {event:?}");
                };
                assert_eq!(value, self.wire(event, cursor), "{name}");
                assert_eq!(cursor.position(), event.position, "{name}");
            }
            let more: Vec<Seen> = seen.collect();
            assert_eq!(more, [], "{name} saw more than there is");
            observers += 1;
        }
        assert_eq!(observers, expected);
    }

    fn wire(&self, event: &Event, cursor: Cursor) -> Value {
        let runtime_id = self.observation.runtime_id();
        let wire = WireEvent {
            event,
            runtime_id,
            cursor,
        };
        serde_json::to_value(&wire).unwrap()
    }

    /// A run in which nothing was in the way of a kill would show nothing.
    pub(super) fn tells_enough(&self, clients: &Clients, kills: u64) {
        let count = |kind: &str| {
            let of_kind = |told: &Told| told.outcome.as_ref().unwrap()["kind"] == kind;
            self.each().filter(|(_, _, told)| of_kind(told)).count()
        };
        let partial = |told: &Told| told.marks.contains("interrupted") && !told.output.is_empty();
        let partial = self.each().filter(|(_, _, told)| partial(told)).count();
        let repeated: usize = clients
            .0
            .values()
            .map(|client| client.receipts_repeated)
            .sum();
        let refusals: usize = clients.0.values().map(|client| client.refusals).sum();
        let openings = self.events.iter();
        let openings = openings.filter(|event| event.kind.as_str() == "runtime.started");
        let openings = openings.count() as u64;
        println!(
            "{} events, {openings} openings; {} completed, {} failed, {} cancelled, \
             {} interrupted, {partial} of them with output; {repeated} receipts repeated, \
             {refusals} refusals",
            self.events.len(),
            count("completed"),
            count("failed"),
            count("cancelled"),
            count("interrupted"),
        );
        for (what, found) in [
            ("completed", count("completed")),
            ("failed", count("failed")),
            ("cancelled", count("cancelled")),
            ("interrupted", count("interrupted")),
            ("interrupted with output", partial),
            ("receipts repeated", repeated),
            ("refusals", refusals),
        ] {
            assert!(found > 0, "none were {what}");
        }
        assert!(openings > kills / 2 && openings <= kills + 2);
    }
}
