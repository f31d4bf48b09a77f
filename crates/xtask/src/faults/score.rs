//! The faults put in on purpose: one program has them all, a switch chooses. Each is caught when every
//! part that must see it reports a broken promise with it, of an invariant that it breaks, and none
//! without it: same program, part, seed and size.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use serde::Serialize;
use worker_runtime_core::sabotage::Sabotage;
use worker_runtime_fault::{
    sabotage::{breaks, catchers, is_of},
    settings::Size,
};

use super::{
    Place,
    build::Programs,
    part::{self, Ran, Run},
    report,
};
use crate::TaskError;

/// How long one part may take with one fault in it.
const WITHIN: Duration = Duration::from_secs(120);

/// What became of one fault.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Scored {
    pub(crate) fault: &'static str,
    pub(crate) about: &'static str,
    /// What each part saw that must catch it.
    pub(crate) seen: Vec<Seen>,
    pub(crate) took_ms: u64,
}

/// What a part saw of a fault.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Seen {
    pub(crate) part: &'static str,
    pub(crate) caught: bool,
    /// The promise that was seen broken, or why none was.
    pub(crate) what: String,
}

impl Scored {
    pub(crate) fn is_caught(&self) -> bool {
        !self.seen.is_empty() && self.seen.iter().all(|seen| seen.caught)
    }
}

/// The faults of these names; all when none is named.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<Sabotage>, TaskError> {
    if names.is_empty() {
        return Ok(Sabotage::ALL.to_vec());
    }
    let find = |name: &String| {
        let mut all = Sabotage::ALL.iter();
        all.find(|known| known.name() == name)
            .copied()
            .ok_or_else(|| {
                let known: Vec<&str> = Sabotage::ALL.iter().map(|known| known.name()).collect();
                TaskError::new(
                    format!("put in {name:?}"),
                    format!("the faults are {}", known.join(", ")),
                )
            })
    };
    names.iter().map(find).collect()
}

/// Runs the list, two at a time where there are two cores.
pub(crate) async fn run(
    programs: &Programs,
    place: &Place,
    faults: &[Sabotage],
    seed: u64,
    cores: usize,
) -> Result<Vec<Scored>, TaskError> {
    let list = List {
        programs,
        place,
        seed,
    };
    let mut parts: Vec<&'static str> = Vec::new();
    for part in faults.iter().flat_map(|fault| catchers(*fault)) {
        if !parts.contains(part) {
            parts.push(part);
        }
    }
    let controls = in_turn(parts, cores, async |part| {
        Ok((part, list.control(part).await?))
    });
    let controls: Controls = controls.await?.into_iter().collect();
    let count = faults.len();
    in_turn(faults.to_vec(), cores, async |fault| {
        let scored = list.score(fault, &controls).await?;
        report::tell_scored(&scored, count);
        Ok(scored)
    })
    .await
}

/// Why the control of a part does not count, if it does not.
type Controls = BTreeMap<&'static str, Option<String>>;

/// Does all of it, some at a time; what comes out is in the order of what went in.
async fn in_turn<T, R>(
    what: Vec<T>,
    at_a_time: usize,
    act: impl AsyncFn(T) -> Result<R, TaskError>,
) -> Result<Vec<R>, TaskError> {
    let waiting: VecDeque<(usize, T)> = what.into_iter().enumerate().collect();
    let waiting = std::cell::RefCell::new(waiting);
    let next = || waiting.borrow_mut().pop_front();
    let lane = async || {
        let mut done = Vec::new();
        while let Some((index, one)) = next() {
            done.push((index, act(one).await?));
        }
        Ok::<_, TaskError>(done)
    };
    let mut done = match at_a_time {
        0 | 1 => lane().await?,
        _ => {
            let (mut a, b) = tokio::try_join!(lane(), lane())?;
            a.extend(b);
            a
        }
    };
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, done)| done).collect())
}

struct List<'a> {
    programs: &'a Programs,
    place: &'a Place,
    seed: u64,
}

impl List<'_> {
    async fn run(&self, part: &str, sabotage: Option<Sabotage>) -> Result<Ran, TaskError> {
        let run = Run {
            part,
            size: Size::Catch,
            seed: self.seed,
            threads: 1,
            sabotage,
            within: Some(WITHIN),
        };
        part::run(self.programs, self.place, &run).await
    }

    /// With the switch off nothing may be found.
    async fn control(&self, part: &'static str) -> Result<Option<String>, TaskError> {
        report::say(&format!("faults: {part} with no fault in it"));
        Ok(match self.run(part, None).await? {
            Ran::Found(outcome) if outcome.violations == 0 => None,
            Ran::Found(outcome) => {
                let first = outcome.kept.first().map(ToString::to_string);
                Some(format!(
                    "it finds something without it too: {}",
                    first.unwrap_or_default()
                ))
            }
            Ran::Nothing(why) => Some(format!("it fails without it too: {why}")),
        })
    }

    async fn score(&self, fault: Sabotage, controls: &Controls) -> Result<Scored, TaskError> {
        let started = Instant::now();
        let mut seen = Vec::new();
        for part in catchers(fault).iter().copied() {
            let found = match (controls.get(part), self.run(part, Some(fault)).await?) {
                (Some(Some(why)), _) => Err(why.clone()),
                (_, Ran::Found(outcome)) => {
                    let mut promises = outcome.kept.iter().map(|seen| seen.promise.clone());
                    let others = promises.clone().next();
                    let of_it = promises.find(|promise| is_of(promise, breaks(fault)));
                    of_it.ok_or_else(|| others.unwrap_or_else(|| "nothing".to_owned()))
                }
                (_, Ran::Nothing(why)) => Err(why),
            };
            let caught = found.is_ok();
            let what = found.unwrap_or_else(|other| other);
            seen.push(Seen { part, caught, what });
        }
        Ok(Scored {
            fault: fault.name(),
            about: fault.about(),
            seen,
            took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }
}
