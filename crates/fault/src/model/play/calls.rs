//! Calls that a backend must get: each wanted one comes once, in whatever order between Workers, and
//! says what was dispatched.

use worker_runtime_core::{ActionId, RunId, backend::ActionAnswer, run::StopReason};

use super::{CancelLoop, Game, unexpected};
use crate::model::{
    backend::{Call, Given},
    stop::{Played, ensure},
};

/// A call that must come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Want {
    Start(usize),
    Submit(usize),
    Respond(RunId, ActionId, ActionAnswer),
    /// With what the run stops when the backend is quiet.
    Cancel(usize, StopReason),
    /// A cancel that failed is tried again.
    Again(usize),
    Stop(usize),
}

impl Game {
    /// Whether this call is the wanted one.
    fn fits(&self, want: &Want, call: &Call) -> bool {
        match (want, call) {
            (Want::Start(index), Call::Start(id, _))
            | (Want::Submit(index), Call::Submit(id, ..))
            | (Want::Stop(index), Call::Stop(id, _)) => self.id_of(*index) == *id,
            (Want::Respond(run_id, action_id, answer), Call::Respond(run, action, told)) => {
                run_id == run && action_id == action && answer == told
            }
            (Want::Cancel(index, _) | Want::Again(index), Call::Cancel(run_id, _)) => {
                let worker = self.plain.workers.get(*index);
                let run = worker.and_then(|worker| worker.run.as_ref());
                run.is_some_and(|run| run.run_id == *run_id)
            }
            _ => false,
        }
    }

    /// Takes every wanted call; what comes beside them is not wanted.
    pub(super) async fn called(&mut self, mut wanted: Vec<Want>) -> Played<()> {
        while !wanted.is_empty() {
            let call = self.world.call(&format!("{wanted:?}")).await?;
            let Some(nth) = wanted.iter().position(|want| self.fits(want, &call)) else {
                return unexpected(&call, &format!("{wanted:?}"));
            };
            let want = wanted.remove(nth);
            self.take_call(want, call)?;
        }
        Ok(())
    }

    fn take_call(&mut self, want: Want, call: Call) -> Played<()> {
        let (Want::Start(index)
        | Want::Submit(index)
        | Want::Cancel(index, _)
        | Want::Again(index)
        | Want::Stop(index)) = &want
        else {
            self.count("answers that reached their backend");
            return Ok(());
        };
        let index = *index;
        if let Call::Submit(_, given, _) = &call {
            self.check_given(index, given)?;
            self.count("inputs run");
        }
        let timers_ms = self.world.timers_ms;
        let Some(side) = self.sides.get_mut(index) else {
            return Ok(());
        };
        match (want, call) {
            (_, Call::Start(_, reply)) => side.start = Some(reply),
            (_, Call::Submit(_, given, reply)) => {
                side.submit = Some(reply);
                side.sink = Some(given.sink);
            }
            (Want::Cancel(_, stop), Call::Cancel(_, reply)) => side.loops.push(CancelLoop {
                stop,
                told: false,
                reply: Some(reply),
                again_at_ms: 0,
            }),
            (Want::Again(_), Call::Cancel(_, reply)) => {
                let due = |cancel: &&mut CancelLoop| {
                    cancel.reply.is_none() && cancel.again_at_ms <= timers_ms
                };
                let due = side.loops.iter_mut().filter(due);
                if let Some(cancel) = due.min_by_key(|cancel| cancel.again_at_ms) {
                    cancel.reply = Some(reply);
                }
            }
            (_, Call::Stop(_, reply)) => side.stop = Some(reply),
            _ => {}
        }
        Ok(())
    }

    /// A run reaches its backend as it was accepted and dispatched.
    fn check_given(&self, index: usize, given: &Given) -> Played<()> {
        let worker = self.plain.workers.get(index);
        let fits = worker.is_some_and(|worker| {
            worker.run.as_ref().is_some_and(|run| {
                let accepted = worker.inputs.get(&run.input_id);
                let text = accepted.map(|accepted| crate::model::text_of(&accepted.input));
                given.run_id == run.run_id
                    && given.generation == run.generation
                    && given.fence == run.fence
                    && given.input_id == run.input_id
                    && text.as_ref() == Some(&given.text)
            })
        });
        ensure(fits, "I4 a backend is given what was dispatched", || {
            let run = worker.and_then(|worker| worker.run.as_ref());
            format!("{} {} for {run:?}", given.input_id, given.run_id)
        })
    }

    /// The call by which a Worker's new run reaches its backend, which is started when it must be.
    pub(super) fn wants_run(&mut self, index: usize) -> Want {
        match self.sides.get_mut(index) {
            Some(side) => {
                side.has_task = true;
                if side.is_started {
                    Want::Submit(index)
                } else {
                    Want::Start(index)
                }
            }
            None => Want::Start(index),
        }
    }

    pub(super) async fn given(&mut self, index: usize) -> Played<()> {
        let want = self.wants_run(index);
        self.called(vec![want]).await
    }
}
