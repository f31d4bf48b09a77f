//! What a log may hold beyond what was told: what commands without an answer left, and then the ends
//! that openings give to what ran (I1, I4, I8). Nothing else was ever written.

use worker_runtime_core::{Event, WorkerId, record::Lifecycle};

use super::{
    apply::Data,
    ends::ASKED,
    expected::Expected,
    left::OPENED,
    world::{Life, Run, World},
};
use crate::report::Violation;

const PREFIX: &str = "I1 the log is a prefix of what was told";

/// How what runs comes to its end.
const ENDS: [&str; 6] = [
    "block.finished",
    "run.finished",
    "allocation.released",
    "allocation.reparented",
    "worker.stopped",
    "worker.cancelled",
];

impl Expected<'_> {
    /// The world after all that is there beyond what was told, when it may be there.
    pub(super) fn go_on(
        &self,
        before: &World,
        new: &[Event],
        index: u64,
    ) -> Result<World, Violation> {
        let mut world = before.clone();
        let mut in_flight = self.in_flight(before, index);
        let mut is_opened = false;
        for (number, event) in new.iter().enumerate() {
            let kind = event.kind.as_str();
            let rest = new.get(number + 1..).unwrap_or_default();
            let may_be = match is_opened {
                _ if kind == OPENED => true,
                true => ENDS.contains(&kind),
                false => in_flight.left(event, rest, &world),
            };
            is_opened |= kind == OPENED;
            if !may_be {
                let (at, after) = (event.position, before.position);
                let detail = format!("{kind} at {at} after {after}: {}", Data::of(event).value());
                return Err(Violation::new(PREFIX, detail));
            }
            if let Some(detail) = self.made_up(event, index) {
                return Err(Violation::new(ASKED, detail));
            }
            world.apply(event)?;
        }
        ended(world)
    }
}

/// After an opening nothing runs any more, and every end that was asked for is reached.
fn ended(world: World) -> Result<World, Violation> {
    if let Some((worker_id, run)) = running(&world) {
        let detail = format!("{} of {worker_id} has none after an opening", run.input_id);
        return Err(Violation::new("I4 one outcome for each input", detail));
    }
    let waits = |life: &Life| {
        life.lifecycle == Lifecycle::Active && (life.ending.is_some() || life.releasing)
    };
    match world.workers.iter().find(|(_, life)| waits(life)) {
        Some((worker_id, _)) => {
            let detail = format!("{worker_id} was asked to end, and nothing of it runs");
            let promise = "I3 an end that was asked for is reached";
            Err(Violation::new(promise, detail))
        }
        None => Ok(world),
    }
}

fn running(world: &World) -> Option<(WorkerId, &Run)> {
    let mut lives = world.workers.iter();
    lives.find_map(|(worker_id, life)| Some((*worker_id, life.run.as_ref()?)))
}
