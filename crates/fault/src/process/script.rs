//! Calls of the command, one after the other, each repeatable by the ids that it names, and what must
//! be found after each of them, whatever happened to it.

use serde_json::Value;

use super::{
    calls::WRITES,
    documented::Documented,
    entries::Entries,
    log::{Event, Log, Told, events_of},
    place::{Place, SIDE_VARIABLE, TAG_VARIABLE},
    ran::Ran,
    trace::{Plan, Traced, run_traced},
};
use crate::report::{HarnessError, Outcome, Violation};

/// Notes that it began, says two lines, and leaves a child in a session of its own: it ends when the
/// child is there.
const AGENT: &str = "read -r id; echo \"$id\" >> \"$FAULT_SIDE/$id\"; echo \"$id begins\"; \
    setsid sh -c ': > \"$FAULT_SIDE/left-$0\"; exec sleep 60' \"$id\" >/dev/null 2>&1 & \
    while [ ! -e \"$FAULT_SIDE/left-$id\" ]; do sleep 0.01; done; echo \"$id ends\"";
/// Leaves one that ignores what it is asked to do, so that it has to be killed.
const STUBBORN: &str = "read -r id; echo \"$id\" >> \"$FAULT_SIDE/$id\"; trap '' TERM; \
    setsid sh -c ': > \"$FAULT_SIDE/left-$0\"; exec sleep 60' \"$id\" >/dev/null 2>&1 & \
    while [ ! -e \"$FAULT_SIDE/left-$id\" ]; do sleep 0.01; done";
/// Notes that it began, and fails.
const FAILING: &str =
    "read -r id; echo \"$id\" >> \"$FAULT_SIDE/$id\"; echo \"$id begins\"; exit 3";

const FIRST: &str = "0190c0de-0000-7000-8000-00000000000a";
const SECOND: &str = "0190c0de-0000-7000-8000-00000000000b";
const MISSING: &str = "0190c0de-0000-7000-8000-00000000000c";
const LEAVES: &str = "0190c0de-0000-7000-8000-00000000000e";
const FAILS: &str = "0190c0de-0000-7000-8000-00000000000d";

/// One call of the command.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) arguments: Vec<String>,
    /// What it ends with when nothing happens to it.
    pub(super) exit: i32,
    /// What it ends with when it is repeated after it was struck.
    pub(super) repeated: &'static [i32],
    /// The input that it is about, by Worker.
    pub(super) input: Option<(&'static str, &'static str)>,
}

/// The whole script.
pub(super) fn script() -> Vec<Step> {
    let environment = ["--env", TAG_VARIABLE, "--env", SIDE_VARIABLE];
    let run = |worker, input, more: &[&'static str], command: &[&'static str]| {
        let start = ["run", "-o", "jsonl", "--worker-id", worker];
        let input = ["--id", input, "--input", input];
        [&start[..], &input, &environment, more, &["--"], command].concat()
    };
    let create = [
        &[
            "worker",
            "create",
            "--worker-id",
            SECOND,
            "--name",
            "second",
        ][..],
        &["--scope", "write:part"],
        &environment,
        &["--", "sh", "-c", AGENT],
    ]
    .concat();
    let send = ["worker", "send", SECOND, "b1", "--id", "b1", "-o", "jsonl"];
    let queue = ["worker", "send", SECOND, "b2", "--id", "b2", "--queue"];
    let first = run(FIRST, "a1", &["--name", "first"], &["sh", "-c", AGENT]);
    let leaves = run(LEAVES, "e1", &[], &["sh", "-c", STUBBORN]);
    let missing = run(MISSING, "c1", &[], &["/nowhere/bin/no-such-program"]);
    let fails = run(FAILS, "d1", &["--once"], &["sh", "-c", FAILING]);
    let on = |verb| vec!["worker", verb, SECOND];
    let remove = vec!["worker", "rm", SECOND, "--yes", "--purge"];
    let of = |worker, input| Some((worker, input));
    vec![
        step("run", &first, 0, &[0, 130], of(FIRST, "a1")),
        step("leaves", &leaves, 0, &[0, 130], of(LEAVES, "e1")),
        step("missing", &missing, 1, &[1, 130], of(MISSING, "c1")),
        step("create", &create, 0, &[0], None),
        step("send", &send, 0, &[0, 130], of(SECOND, "b1")),
        step("pause", &on("pause"), 0, &[0], None),
        step("queue", &queue, 3, &[3], of(SECOND, "b2")),
        step("resume", &on("resume"), 0, &[0], None),
        step("drain", &on("run"), 0, &[0], of(SECOND, "b2")),
        step("fails", &fails, 1, &[1, 130], of(FAILS, "d1")),
        step("stop", &on("stop"), 0, &[0], None),
        step("restore", &on("restore"), 0, &[0], None),
        step("stop-again", &on("stop"), 0, &[0], None),
        step("remove", &remove, 0, &[0, 1], None),
    ]
}

impl Step {
    /// Whether this exit says that it was done, now or before.
    pub(super) fn does_it(&self, exit: i32) -> bool {
        exit == self.exit || self.repeated.contains(&exit)
    }
}

fn step(
    name: &'static str,
    arguments: &[&'static str],
    exit: i32,
    repeated: &'static [i32],
    input: Option<(&'static str, &'static str)>,
) -> Step {
    Step {
        name,
        arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
        exit,
        repeated,
        input,
    }
}

/// What a client of the script knows: everything that was told to it so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    log: Log,
}

/// A call of the command that something happened to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Struck<'a> {
    pub(super) traced: &'a Traced,
    /// The system refused it something, so that its run may have failed for that.
    pub(super) refused: bool,
}

/// Whether a run failed as its command could not be recorded.
fn could_not_start(ran: &Ran) -> bool {
    let code = ran
        .summary()
        .and_then(|summary| summary.pointer("/outcome/stop/code").cloned());
    ran.is(1) && code == Some(Value::from("WR-RUN-START-FAILED"))
}

/// What one promise's check may end with.
pub(super) type Checked = Result<Result<(), Violation>, HarnessError>;

/// Ends a check at a broken promise.
macro_rules! hold {
    ($promise:expr) => {
        match $promise {
            Ok(kept) => kept,
            Err(violation) => return Ok(Err(violation)),
        }
    };
}
pub(super) use hold;

impl Known {
    /// After the step was carried out and nothing happened to it: it ended as it must, and what it
    /// printed is kept. Takes over what is known then.
    pub(super) fn after(&mut self, place: &Place, step: &Step, traced: &Traced) -> Checked {
        let ran = &traced.ran;
        hold!(ran.ended_well());
        hold!(traced.entries.held());
        if !ran.is(step.exit) {
            let why = format!("{} ended with {ran}", step.name);
            return Ok(Err(Violation::new("a step of the script is done", why)));
        }
        hold!(place.nothing_left());
        let log = hold!(Log::read(place)?);
        hold!(self.log.is_kept_in(&log));
        hold!(log.has(&events_of(&ran.stdout)));
        hold!(log.names_no_path(place));
        self.log = log;
        Ok(Ok(()))
    }

    /// After the step was struck, whatever it printed first: the store reads as it was, the step can
    /// be repeated to its end, and nothing is lost, doubled or left.
    pub(super) fn after_strike(
        &self,
        place: &Place,
        step: &Step,
        struck: Struck<'_>,
        documented: &mut Documented,
        outcome: &mut Outcome,
    ) -> Checked {
        hold!(struck.traced.entries.held());
        let printed = events_of(&struck.traced.ran.stdout);
        outcome.count(
            "events told by processes that were struck",
            printed.len() as u64,
        );
        let found = hold!(Log::read(place)?);
        hold!(self.log.is_kept_in(&found));
        hold!(found.has(&printed));
        let repeated = hold!(repeat(place, step, &struck.traced.entries)?);
        hold!(repeated.ended_well());
        let is_fine = |exit: i32| step.repeated.contains(&exit);
        let could_not_record = struck.refused && could_not_start(&repeated);
        if !repeated.exit.is_some_and(is_fine) && !could_not_record {
            let why = format!("{} repeated ended with {repeated}", step.name);
            return Ok(Err(Violation::new("I5 a step can be repeated", why)));
        }
        if repeated.error().is_some() {
            hold!(documented.failed_well(place, &repeated)?);
        }
        hold!(place.nothing_left());
        let log = hold!(Log::read(place)?);
        hold!(found.is_kept_in(&log));
        hold!(log.has(&events_of(&repeated.stdout)));
        hold!(log.names_no_path(place));
        hold!(goes_on(place, &printed, &log)?);
        hold!(ran_nothing_twice(place, &log));
        if let Some((worker, input)) = step.input {
            hold!(self.again(place, step, (worker, input), (&repeated, &log), outcome)?);
        }
        healthy(place)
    }

    /// Asks once more with the same id: the first receipt, nothing runs.
    fn again(
        &self,
        place: &Place,
        step: &Step,
        (worker, input): (&str, &str),
        (repeated, log): (&Ran, &Log),
        outcome: &mut Outcome,
    ) -> Checked {
        let told = told_of(log, worker, input);
        let kind = told.and_then(|told| Some(told.outcome.as_ref()?.0.as_str()));
        let is_over = matches!(step.name, "queue") || kind.is_some();
        let fits = match kind {
            // Nothing waits any more.
            Some(_) if step.name == "drain" => repeated.is(0),
            Some("completed") => repeated.is(0),
            Some("failed") => repeated.is(1),
            Some("interrupted") => repeated.is(130),
            None => step.name == "queue",
            Some(_) => false,
        };
        if !is_over || !fits {
            let why = format!("{input} is {kind:?} after {repeated}");
            return Ok(Err(Violation::new("I4 one outcome per input", why)));
        }
        outcome.count(&format!("inputs {}", kind.unwrap_or("that wait")), 1);
        let once_more = place.call(&step.arguments)?;
        let after = hold!(Log::read(place)?);
        let is_same = told_of(&after, worker, input) == told;
        if once_more.exit != repeated.exit || !is_same {
            let why = format!("{repeated} and then {once_more}");
            return Ok(Err(Violation::new("I5 the first receipt again", why)));
        }
        if step.name != "queue" && step.name != "drain" {
            let says = once_more.summary();
            let says = says.as_ref().and_then(|summary| summary.get("repeated"));
            if says != Some(&Value::Bool(true)) {
                let why = format!("{input} again: {once_more}");
                return Ok(Err(Violation::new("I5 the first receipt again", why)));
            }
        }
        outcome.count("receipts repeated", 1);
        Ok(ran_nothing_twice(place, &after))
    }
}

/// Carries a step out again. Where a power cut could still take the store from its place, or something from
/// it, it has to see to that before it says anything.
fn repeat(
    place: &Place,
    step: &Step,
    left: &Entries,
) -> Result<Result<Ran, Violation>, HarnessError> {
    if !left.are_open() {
        return place.call(&step.arguments).map(Ok);
    }
    let plan = Plan::count(WRITES);
    let traced = run_traced(place, step, plan, left.left_to_the_next())?;
    Ok(traced.entries.held().map(|()| traced.ran))
}

fn told_of<'a>(log: &'a Log, worker: &str, input: &str) -> Option<&'a Told> {
    log.inputs.get(&(worker.to_owned(), input.to_owned()))
}

/// The last cursor that was printed is where its Worker's stream goes on.
fn goes_on(place: &Place, printed: &[Event], log: &Log) -> Checked {
    let Some(last) = printed.last() else {
        return Ok(Ok(()));
    };
    let worker_id = last.worker_id.clone().unwrap_or_default();
    let list = [
        "event",
        "ls",
        &worker_id,
        "--after",
        &last.cursor,
        "-o",
        "jsonl",
    ];
    let ran = place.call(&list)?;
    let more = events_of(&ran.stdout);
    let expected: Vec<&Event> = log
        .events
        .iter()
        .filter(|event| event.worker_id == last.worker_id && event.position > last.position)
        .collect();
    let is_same = more.len() == expected.len()
        && more
            .iter()
            .zip(expected)
            .all(|(one, other)| one.is_same(other));
    if ran.is(0) && is_same {
        return Ok(Ok(()));
    }
    let why = format!("after {}: {ran}", last.cursor);
    Ok(Err(Violation::new("I2 a cursor goes on where it was", why)))
}

/// The commands' own notes, against the outcomes.
pub(super) fn ran_nothing_twice(place: &Place, log: &Log) -> Result<(), Violation> {
    for ((_, input), told) in &log.inputs {
        let times = place.executions(input);
        let kind = told.outcome.as_ref().map(|(kind, _)| kind.as_str());
        let stop = told.outcome.as_ref().and_then(|(_, all)| all.get("stop"));
        let ended_by_itself = stop.and_then(|stop| stop.get("type")) == Some(&Value::from("exit"));
        let fits = match kind {
            Some("completed") => times == 1,
            Some("failed") if ended_by_itself => times == 1,
            Some(_) if told.ran => times <= 1,
            _ => times == 0,
        };
        if !fits {
            let why = format!("{input} is {kind:?} and began {times} times");
            return Err(Violation::new("I4 an input runs once at most", why));
        }
    }
    Ok(())
}

/// Nothing is damaged, has gone back, or is in doubt.
pub(super) fn healthy(place: &Place) -> Checked {
    let status = place.call(&["status", "-o", "json"])?;
    hold!(status.ended_well());
    let value: Value = serde_json::from_str(&status.stdout).unwrap_or_default();
    let runtime = value.get("runtime").cloned().unwrap_or_default();
    let is = |name: &str, expected: Value| runtime.get(name) == Some(&expected);
    let fits = status.is(0)
        && is("damaged", Value::Array(Vec::new()))
        && is("went_back", Value::Null)
        && is("unproven", Value::from(0))
        && is("busy", Value::from(0));
    Ok(if fits {
        Ok(())
    } else {
        Err(Violation::new("I7 nothing is damaged", status.to_string()))
    })
}
