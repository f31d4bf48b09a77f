//! Time that goes by: runs that take too long, actions that nobody answers, cancels that are tried
//! again. A jump of the wall clock changes nothing (I4: none of them is missed).

use std::time::Duration;

use serde_json::json;
use worker_runtime_core::{
    Clock, Timestamp, backend::ActionAnswer, record::CancelCause, run::StopReason,
};

use super::{Game, calls::Want, ends::Then};
use crate::model::{expect::Expect, stop::Played};

/// New bytes of a block wait at most so long for a checkpoint.
const CHECKPOINT_EVERY_MS: u64 = 1_000;

impl Game {
    pub(super) async fn advance(&mut self, ms: u64) -> Played<()> {
        let mut by_ms = ms;
        // Not into the millisecond in which nobody can say whether it is due.
        let again =
            |cancel: &super::CancelLoop| cancel.reply.is_none().then_some(cancel.again_at_ms);
        let due: Vec<u64> = self
            .sides
            .iter()
            .flat_map(|side| side.loops.iter().filter_map(again))
            .collect();
        while self.is_lease_unsure_after(by_ms)
            || due
                .iter()
                .any(|due| (self.world.timers_ms + by_ms + 1).abs_diff(*due) <= 2)
        {
            by_ms += 5;
        }
        self.world.advance(by_ms).await;
        let (mut expected, mut wanted, mut asked) = (Vec::new(), Vec::new(), Vec::new());
        // Two cancels of one run look alike: one that is tried again waits for no commit, so it comes
        // before one that a deadline asks for.
        let timers_ms = self.world.timers_ms;
        for (index, side) in self.sides.iter().enumerate() {
            let due = |cancel: &&super::CancelLoop| {
                cancel.reply.is_none() && cancel.again_at_ms <= timers_ms
            };
            let due = side.loops.iter().filter(due).count();
            wanted.extend((0..due).map(|_| Want::Again(index)));
        }
        self.due(&mut expected, &mut wanted, &mut asked);
        expected.extend(self.looked_at_leases());
        (0..self.plain.workers.len()).for_each(|index| self.checkpointed(index));
        self.events(expected).await?;
        self.called(wanted).await?;
        self.follow(asked).await
    }

    /// Every deadline that has passed: what is told, and what is asked of backends.
    pub(super) fn due(
        &mut self,
        expected: &mut Vec<Expect>,
        wanted: &mut Vec<Want>,
        asked: &mut Vec<(usize, Then)>,
    ) {
        for index in 0..self.plain.workers.len() {
            self.lapse(index, expected, wanted);
            let (told, then) = self.time_out(index);
            expected.extend(told);
            match then {
                Then::Cancel => wanted.push(Want::Cancel(index, StopReason::Cancelled)),
                then => asked.push((index, then)),
            }
        }
    }

    /// Actions whose deadline has passed.
    fn lapse(&mut self, index: usize, expected: &mut Vec<Expect>, wanted: &mut Vec<Want>) {
        let now = self.world.now();
        let Some(worker) = self.plain.workers.get_mut(index) else {
            return;
        };
        let (id, unproven) = (worker.id, worker.unproven);
        let Some(run) = worker.run.as_mut() else {
            return;
        };
        let (lapsed, open) = std::mem::take(&mut run.actions)
            .into_iter()
            .partition(|action| action.deadline.is_some_and(|deadline| deadline <= now));
        run.actions = open;
        let run_id = run.run_id;
        let lapsed: Vec<crate::model::plain::Action> = lapsed;
        for action in lapsed {
            let data = json!({ "action_id": action.id, "lapsed": true });
            expected.push(Expect::of(id, "run.action_answered", data).in_run(run_id));
            if !unproven {
                wanted.push(Want::Respond(run_id, action.id, ActionAnswer::Lapsed));
            }
            self.outcome.count("actions lapsed", 1);
        }
    }

    fn time_out(&mut self, index: usize) -> (Vec<Expect>, Then) {
        let now = self.world.now();
        let run = self.run_mut(index);
        let is_due = run
            .is_some_and(|run| run.cancel.is_none() && run.deadline.is_some_and(|due| due <= now));
        match is_due {
            true => {
                self.count("runs that took too long");
                self.ask_for_end(index, CancelCause::Timeout)
            }
            false => (Vec::new(), Then::Nothing),
        }
    }

    fn checkpointed(&mut self, index: usize) {
        let now_ms = self.world.monotonic_ms;
        let Some(run) = self.run_mut(index) else {
            return;
        };
        for block in run.blocks.values_mut() {
            // Nobody is told when a tick came: what was written later may still wait.
            let due =
                |(_, since): &mut (usize, u64)| since.saturating_add(CHECKPOINT_EVERY_MS) <= now_ms;
            while let Some((nth, _)) = block.waiting.pop_front_if(due) {
                block.kept = block.kept.max(nth);
            }
        }
    }

    /// Somebody sets the wall clock; time goes on as if nobody had.
    pub(super) fn jump(&mut self, forward: bool) {
        let now = self.world.clock.now();
        let to = match forward {
            true => now.plus(Duration::from_secs(3_600)),
            false => Timestamp::from_unix_ms(now.unix_ms().saturating_sub(7_200_000)),
        };
        self.world.clock.jump_to(to);
        self.count("jumps of the wall clock");
    }
}
