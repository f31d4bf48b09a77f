//! Runs: what is answered and cancelled, the stop of the whole Runtime, and late messages, which change
//! nothing (I4).

use serde_json::json;
use worker_runtime_core::{
    ActionId, Code, EventType, RunId,
    backend::ActionAnswer,
    error::{RunError, SinkError},
    record::CancelCause,
    run::StopReason,
};

use super::{Game, calls::Want};
use crate::model::{
    expect::{Expect, position_of},
    plain::Life,
    step::AnswerStep,
    stop::{Played, Stop, broken, ensure},
};
use crate::report::Doing;

impl Game {
    pub(super) async fn cancel_run(&mut self, index: usize, other: bool) -> Played<()> {
        let id = self.id_of(index);
        let worker = self.plain.workers.get(index);
        let run = worker.and_then(|worker| worker.run.clone());
        let nobody = RunId::from_bytes([1; 16]);
        let run_id = run
            .as_ref()
            .filter(|_| !other)
            .map_or(nobody, |run| run.run_id);
        let interaction = self.world.interaction()?;
        let asked = interaction.cancel_run(id, run_id);
        let answer = self
            .world
            .watchdog
            .within("the answer to a cancel", asked)
            .await?;
        let is_deleted = worker.is_some_and(|worker| worker.life == Life::Deleted);
        let Some(run) = run.filter(|_| !other && !is_deleted) else {
            let code = if is_deleted {
                Code::WorkerDeleted
            } else {
                Code::RunUnknown
            };
            let answer = answer.map_err(|error: RunError| error.code());
            return self.refused(&[code], answer, "a cancel of a run");
        };
        let at = run.cancel.map_or(self.world.now(), |(_, at)| at);
        let fits = answer.as_ref().is_ok_and(|receipt| {
            receipt.worker_id == id
                && receipt.run_id == run.run_id
                && receipt.requested_at == at
                && receipt.repeated == run.cancel.is_some()
        });
        ensure(fits, "I5 a repeated call gives the first receipt", || {
            format!("{answer:?} for the cancel of {run:?}")
        })?;
        let (expected, then) = self.ask_for_end(index, CancelCause::Run);
        self.events(expected).await?;
        self.count("cancels of runs");
        self.follow(vec![(index, then)]).await
    }

    pub(super) async fn answer(&mut self, index: usize, how: AnswerStep) -> Played<()> {
        let id = self.id_of(index);
        let worker = self.plain.workers.get(index);
        let is_deleted = worker.is_some_and(|worker| worker.life == Life::Deleted);
        let run = worker.and_then(|worker| worker.run.clone());
        let action = run.as_ref().and_then(|run| run.actions.first().cloned());
        let none = ActionId::new("none").doing("name an action")?;
        let run_id = match how {
            AnswerStep::NoSuchRun => RunId::from_bytes([1; 16]),
            _ => run
                .as_ref()
                .map_or(RunId::from_bytes([2; 16]), |run| run.run_id),
        };
        let action_id = match how {
            AnswerStep::NoSuchAction => none,
            _ => action.as_ref().map_or(none, |action| action.id.clone()),
        };
        let option = if how == AnswerStep::WrongOption {
            "maybe"
        } else {
            "yes"
        };
        let interaction = self.world.interaction()?;
        let asked = interaction.answer(id, run_id, action_id.clone(), option.to_owned());
        let answer = self
            .world
            .watchdog
            .within("the answer to an answer", asked)
            .await?;
        let code = match (&run, &action, how) {
            _ if is_deleted => Some(Code::WorkerDeleted),
            (None, ..) | (.., AnswerStep::NoSuchRun) => Some(Code::RunUnknown),
            (_, None, _) | (.., AnswerStep::NoSuchAction) => Some(Code::ActionUnknown),
            (.., AnswerStep::WrongOption) => Some(Code::ActionOption),
            _ => None,
        };
        if let Some(code) = code {
            let answer = answer.map_err(|error: RunError| error.code());
            return self.refused(&[code], answer, "an answer");
        }
        let data = json!({ "action_id": action_id, "option": option });
        let told = Expect::of(id, "run.action_answered", data).in_run(run_id);
        let events = self.events(vec![told]).await?;
        let position = position_of(&events, "run.action_answered");
        ensure(
            answer == Ok(position),
            "I1 an answer names its event",
            || format!("{answer:?} for the event at {position}"),
        )?;
        let is_unproven = self
            .plain
            .workers
            .get(index)
            .is_some_and(|worker| worker.unproven);
        if let Some(run) = self.run_mut(index) {
            run.actions.retain(|action| action.id != action_id);
        }
        self.count("actions answered");
        if is_unproven {
            return Ok(());
        }
        let chosen = ActionAnswer::Chosen(option.to_owned());
        self.called(vec![Want::Respond(run_id, action_id, chosen)])
            .await
    }

    pub(super) async fn stop_runtime(&mut self, drain: bool) -> Played<()> {
        let management = self.world.runtime()?.management();
        let reason = Some("night".to_owned());
        let asked = async {
            match drain {
                true => management.drain(reason).await,
                false => management.stop(reason).await,
            }
        };
        let answer = self
            .world
            .watchdog
            .within("the answer to a stop", asked)
            .await?;
        let Ok(position) = answer else {
            return broken("I9 a Runtime can be stopped", format!("{answer:?}"));
        };
        let mut expected = Vec::new();
        if !self.plain.stopped {
            let data = json!({ "reason": "night", "end_runs": !drain });
            expected.push(Expect::of_runtime("runtime.stopped", data));
        }
        self.plain.stopped = true;
        let mut asked = Vec::new();
        if !drain {
            for index in 0..self.plain.workers.len() {
                let (told, then) = self.ask_for_end(index, CancelCause::RuntimeEnds);
                expected.extend(told);
                asked.push((index, then));
            }
        }
        let events = self.events(expected).await?;
        let told = position_of(&events, "runtime.stopped");
        let until = self.plain.position();
        ensure(
            (told..=until).contains(&position),
            "I1 an answer names its event",
            || format!("a stop was answered with {position}, not {told}"),
        )?;
        self.count("runtime stops");
        self.follow(asked).await
    }

    pub(super) async fn start_runtime(&mut self) -> Played<()> {
        let management = self.world.runtime()?.management();
        let answer = self
            .world
            .watchdog
            .within("a start", management.start())
            .await?;
        let Ok(position) = answer else {
            return broken("I9 a Runtime can be started", format!("{answer:?}"));
        };
        if !std::mem::replace(&mut self.plain.stopped, false) {
            return Ok(());
        }
        let mut expected = vec![Expect::of_runtime("runtime.resumed", json!({}))];
        let wanted = self.dispatch_all(&mut expected);
        let events = self.events(expected).await?;
        let told = position_of(&events, "runtime.resumed");
        let until = self.plain.position();
        ensure(
            (told..=until).contains(&position),
            "I1 an answer names its event",
            || format!("a start was answered with {position}, not {told}"),
        )?;
        self.called(wanted).await
    }

    /// Every Worker's waiting input that may run now, runs.
    pub(super) fn dispatch_all(&mut self, expected: &mut Vec<Expect>) -> Vec<Want> {
        let mut wanted = Vec::new();
        for index in 0..self.plain.workers.len() {
            if let Some(runs) = self.dispatched(index) {
                expected.push(runs);
                wanted.push(self.wants_run(index));
            }
        }
        wanted
    }

    /// Somebody still has the sink of a run that is over.
    pub(super) async fn late(&mut self, nth: usize, finish: bool) -> Played<()> {
        let known = self.old_sinks.len().max(1);
        let Some((sink, opening)) = self.old_sinks.get(nth % known).cloned() else {
            return Ok(());
        };
        let said = async {
            match finish {
                true => sink.finish(StopReason::EndTurn, None).await,
                false => sink.event(EventType::TOOL_CALL, &json!({})).await.map(drop),
            }
        };
        let answer = self
            .world
            .watchdog
            .within("the answer to a late message", said);
        let answer = match answer.await {
            // Whoever takes it may wait for ever for what nobody asks any more.
            Err(Stop::Broken(hangs)) => {
                return broken("I4 a late message is dropped", hangs.detail);
            }
            answer => answer?,
        };
        let is_of_now = opening == self.world.openings;
        let fits = match (&answer, is_of_now) {
            (Err(SinkError::Stale { .. }), true) => true,
            (Err(error), false) => error.code() == Code::RuntimeClosed,
            _ => false,
        };
        self.plain.late += u64::from(is_of_now);
        self.count("late messages refused");
        ensure(fits, "I4 a late message is dropped", || {
            format!("{answer:?} (its Runtime is open: {is_of_now})")
        })?;
        let told = self.world.observation.runtime().late_messages;
        ensure(
            told == self.plain.late,
            "I4 late messages are counted",
            || format!("{told} are told, there were {}", self.plain.late),
        )
    }
}
