//! The end of the process and the next opening: what ran has its outcome, what waited runs, what was
//! partly said is kept and marked, and what can't be shown to be dead keeps its scope (I4, I6).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use worker_runtime_core::{
    BlockId, Code, Event, Generation, Position, Timestamp, WorkerId, backend::Cancelled,
    record::CancelCause, run::StopReason,
};

use super::{Game, calls::Want, ends::Then};
use crate::model::{
    expect::{CHOSEN, Expect},
    plain::Worker,
    step::ReplyStep,
    stop::{Played, broken, ensure},
    world::EndsBy,
};
use crate::report::Doing;

impl Game {
    pub(super) async fn restart(&mut self, by: EndsBy, unproven: bool) -> Played<()> {
        match by {
            EndsBy::Close => self.close().await?,
            EndsBy::Abandon | EndsBy::Kill => {}
        }
        self.world.end(by).await?;
        self.check_stopped()?;
        self.observers.ended(&self.world.watchdog).await?;
        let end = self.plain.position();
        self.late_after_the_end().await?;
        self.count(&format!("restarts by {by:?}").to_lowercase());
        let last = self
            .plain
            .log
            .last()
            .map_or(Timestamp::default(), |event| event.at);
        self.sides
            .iter_mut()
            .for_each(|side| *side = super::Side::default());
        (self.unproven, self.is_closing) = (unproven, false);
        self.plain.late = 0;
        self.world.reopen(unproven, last).await?;
        self.note_opening()?;
        self.leases_begin_again();
        self.recovered().await?;
        self.look_at_trims()?;
        self.observers
            .check_ended(&self.plain, end, by == EndsBy::Close)?;
        self.observers.again(&self.plain, &self.world)
    }

    /// What this incarnation is called, and where it begins.
    pub(super) fn note_opening(&mut self) -> Played<()> {
        let told = self
            .world
            .observation
            .runtime()
            .incarnation
            .unwrap_or_default();
        let parts = told.split_once('.').and_then(|(number, id)| {
            Some((
                number.parse::<u64>().ok()?,
                u32::from_str_radix(id, 16).ok()?,
            ))
        });
        let first = self.plain.position().next();
        match parts {
            Some((number, id)) if number == self.world.openings => {
                self.plain.incarnations.push((id, first));
                Ok(())
            }
            _ => broken(
                "I2 each opening is one incarnation",
                format!("opening {} is incarnation {told:?}", self.world.openings),
            ),
        }
    }

    /// A close ends what runs, waits until all is quiet, and tells every observer everything.
    async fn close(&mut self) -> Played<()> {
        while let Some(index) = (0..self.sides.len()).find(|index| self.is_asked(*index)) {
            self.reply(index, ReplyStep::Good).await?;
        }
        self.observers.read_to_the_end();
        self.is_closing = true;
        let (mut expected, mut cancels, mut stops) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..self.plain.workers.len() {
            let (asked, then) = self.ask_for_end(index, CancelCause::RuntimeEnds);
            expected.extend(asked);
            if then == Then::Cancel {
                cancels.push(index);
            }
            if self.sides.get(index).is_some_and(|side| side.is_started) {
                stops.push(Want::Stop(index));
            }
        }
        let runtime = self.world.runtime()?.clone();
        let closing = tokio::spawn(async move { runtime.close().await });
        self.events(expected).await?;
        let wanted = cancels
            .iter()
            .map(|index| Want::Cancel(*index, StopReason::Cancelled));
        self.called(wanted.collect()).await?;
        for index in cancels {
            let Some(side) = self.sides.get_mut(index) else {
                continue;
            };
            for reply in side.loops.drain(..).filter_map(|cancel| cancel.reply) {
                let _ = reply.send(Ok(Cancelled::Confirmed));
            }
            self.run_ends(index, StopReason::Cancelled).await?;
        }
        self.called(stops).await?;
        for side in &mut self.sides {
            if let Some(reply) = side.stop.take() {
                let _ = reply.send(Ok(()));
            }
        }
        let closed = self.world.watchdog.within("a close", closing).await?;
        let closed = closed.doing("close")?;
        ensure(closed.is_ok(), "I9 a Runtime can be closed", || {
            format!("{closed:?}")
        })
    }

    /// A sink of the Runtime that ended is refused.
    async fn late_after_the_end(&mut self) -> Played<()> {
        let openings = self.world.openings;
        for side in &mut self.sides {
            let Some(sink) = side.sink.take() else {
                continue;
            };
            self.old_sinks.push((sink, openings));
            if self.old_sinks.len() > 8 {
                self.old_sinks.remove(0);
            }
        }
        let Some((sink, _)) = self.old_sinks.last().cloned() else {
            return Ok(());
        };
        let answer = self.heard(sink.finish(StopReason::EndTurn, None)).await?;
        let code = answer.map_err(|error| error.code());
        ensure(
            code == Err(Code::RuntimeClosed),
            "I4 a late message is dropped",
            || format!("a sink of a Runtime that is gone was answered {code:?}"),
        )
    }

    /// What the opening must have recorded, and what it dispatches.
    async fn recovered(&mut self) -> Played<()> {
        self.world.settle().await;
        let until = self.world.observation.runtime().position;
        let mut came = self.world.told_by_opening(until).await?;
        let mut expected = vec![Expect::of_runtime("runtime.started", json!({}))];
        for index in 0..self.plain.workers.len() {
            self.recovered_run(index, &came, &mut expected)?;
            let may_end = self.plain.workers.get(index).is_some_and(|worker| {
                worker.is_settling() && worker.run.is_none() && !worker.unproven
            });
            if may_end {
                let figure = match self.plain.workers.get(index).is_some_and(Worker::is_ending) {
                    true => "workers ended by an opening",
                    false => "scopes freed by an opening",
                };
                expected.extend(self.end_of_worker(index));
                self.count(figure);
            }
        }
        let mut wanted = self.dispatch_all(&mut expected);
        // The wall clock may have moved: what could not be shown to be dead may be late now.
        let mut asked = Vec::new();
        self.due(&mut expected, &mut wanted, &mut asked);
        let what = "what is due at an opening";
        self.told_below(expected.len(), &mut came, what).await?;
        self.take(&expected, came)?;
        self.called(wanted).await?;
        self.follow(asked).await
    }

    fn recovered_run(
        &mut self,
        index: usize,
        came: &[Event],
        expected: &mut Vec<Expect>,
    ) -> Played<()> {
        let unproven = self.unproven;
        let Some(worker) = self.plain.workers.get_mut(index) else {
            return Ok(());
        };
        let stop_failed = worker.unproven && worker.run.is_none();
        worker.unproven = worker
            .run
            .as_ref()
            .is_some_and(|run| run.has_process && unproven);
        if stop_failed && !worker.unproven {
            self.outcome.count("proven dead by an opening", 1);
        }
        let Some(worker) = self.plain.workers.get_mut(index) else {
            return Ok(());
        };
        if worker.unproven {
            // Nobody knows what it still writes: no outcome, no next run, and the scope is kept.
            self.outcome
                .count("runs that could not be shown to be dead", 1);
            let data = json!({ "code": Code::RunUnproven, "message": CHOSEN, "command": CHOSEN });
            let told = Expect::of(worker.id, "diagnostic", data);
            if let Some(run) = worker.run.as_mut() {
                // What had no checkpoint went with the process.
                let blocks = run.blocks.values_mut();
                blocks.for_each(|block| block.waiting.clear());
            }
            let run_id = worker.run.as_ref().map(|run| run.run_id);
            expected.extend(run_id.map(|run_id| told.in_run(run_id)));
            return Ok(());
        }
        if worker.run.is_none() {
            return Ok(());
        }
        expected.extend(self.lost_run(index, came)?);
        Ok(())
    }

    /// The end of a run that its Runtime did not outlive: of its output what was kept, and of what it
    /// used what it said last.
    pub(super) fn lost_run(&mut self, index: usize, came: &[Event]) -> Played<Vec<Expect>> {
        let id = self.id_of(index);
        let Some(run) = self.run_mut(index) else {
            return Ok(Vec::new());
        };
        let kept = kept_texts(id, run.generation, came);
        let mut in_part = 0;
        for (number, block) in &mut run.blocks {
            let text = kept.get(number).cloned().unwrap_or_default();
            let mut known = block.texts.iter().skip(block.kept);
            ensure(
                known.any(|known| *known == text),
                "I4 partial output is kept",
                || {
                    format!(
                        "block {number} of {} has {} bytes after an opening; checkpoints from {} bytes on must be kept",
                        run.run_id,
                        text.len(),
                        block.texts.get(block.kept).map_or(0, String::len),
                    )
                },
            )?;
            in_part += u64::from(!text.is_empty());
            block.text = text;
        }
        self.outcome.count("blocks kept in part", in_part);
        let Some(worker) = self.plain.workers.get(index) else {
            return Ok(Vec::new());
        };
        let (ends, outcome) = self.end_of_run(worker, &StopReason::RuntimeLost);
        self.note_end_of_run(index, outcome);
        Ok(ends)
    }
}

/// The texts of a run's blocks that an opening told.
fn kept_texts(worker: WorkerId, generation: Generation, came: &[Event]) -> BTreeMap<u32, String> {
    let of_worker = came.iter().filter(|event| {
        event.worker.is_some_and(|place| place.worker_id == worker)
            && event.kind.as_str() == "block.finished"
            && event.position > Position(0)
    });
    let texts = of_worker.filter_map(|event| {
        let data: Value = serde_json::from_slice(&event.data).ok()?;
        let block: BlockId = data.get("block")?.as_str()?.parse().ok()?;
        let text = data.get("text")?.as_str()?.to_owned();
        (block.generation == generation).then_some((block.index, text))
    });
    texts.collect()
}
