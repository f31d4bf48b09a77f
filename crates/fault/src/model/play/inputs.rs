//! Inputs: accepted once, refused with the reason, and repeated receipts (I4, I5, I8).

use serde_json::{Value, json};
use worker_runtime_core::{
    Code, InputId, Position, Stream, WorkerId,
    error::SubmitError,
    input::{Budget, InputMode, InputReceipt, Segment, SubmitInput},
};

use super::Game;
use crate::model::{
    expect::{Expect, position_of},
    plain::Life,
    step::BadInput,
    stop::{Played, broken, ensure},
    world::UNFINISHED_MAX,
};
use crate::report::Doing;

/// That an input was accepted.
pub(super) fn accepted_event(worker: WorkerId, input_id: &InputId, input: &SubmitInput) -> Expect {
    Expect::of(
        worker,
        "input.accepted",
        json!({
            "input_id": input_id,
            "kind": input.kind,
            "segments": input.segments,
            "mode": input.mode,
        }),
    )
}

impl Game {
    async fn submit(
        &self,
        worker: WorkerId,
        input: SubmitInput,
    ) -> Played<Result<InputReceipt, SubmitError>> {
        let interaction = self.world.interaction()?;
        let asked = interaction.send_input(worker, input);
        self.world
            .watchdog
            .within("the answer to an input", asked)
            .await
    }

    pub(super) async fn send(
        &mut self,
        index: usize,
        serial: u32,
        queue: bool,
        time_ms: Option<u64>,
        bytes: usize,
    ) -> Played<()> {
        let id = InputId::new(format!("input {serial}")).doing("name an input")?;
        let words = format!("do {serial} ");
        let mut input = SubmitInput::text(words.repeat(bytes / words.len() + 1));
        // Without an id the Runtime gives it one.
        input.input_id = (!serial.is_multiple_of(7)).then_some(id);
        input.budget = Budget {
            time_ms,
            ..Budget::default()
        };
        if queue {
            input.mode = InputMode::Queue;
        }
        let codes = self.submit_refusals(index, &input);
        let worker = self.id_of(index);
        match (codes.is_empty(), self.submit(worker, input.clone()).await?) {
            (true, Ok(receipt)) => self.accepted(index, input, receipt).await,
            (true, Err(error)) => broken(
                "I8 a Worker that can take input takes it",
                format!("an input for {worker} was refused: {error}"),
            ),
            (false, answer) => {
                if let Err(SubmitError::Busy {
                    input_id, phase, ..
                }) = &answer
                {
                    self.check_busy(index, input_id, *phase)?;
                }
                let answer = answer.map_err(|error| error.code());
                self.refused(&codes, answer, "an input")
            }
        }
    }

    /// Why a new input is refused: one of these, when there are any.
    fn submit_refusals(&self, index: usize, input: &SubmitInput) -> Vec<Code> {
        let Some(worker) = self.plain.workers.get(index) else {
            return vec![Code::WorkerUnknown];
        };
        if worker.life == Life::Deleted {
            return vec![Code::WorkerDeleted];
        }
        let reject = input.mode == InputMode::Reject;
        let reasons = [
            (self.plain.stopped, Code::RuntimeStopped),
            (
                worker.life != Life::Active || worker.end.is_some(),
                Code::WorkerNotActive,
            ),
            (!worker.is_capable(), Code::InputIncapable),
            (reject && worker.unfinished() > 0, Code::InputBusy),
            (
                !reject && worker.unfinished() >= UNFINISHED_MAX,
                Code::InputQueueFull,
            ),
        ];
        let holds = reasons.into_iter().filter(|(holds, _)| *holds);
        holds.map(|(_, code)| code).collect()
    }

    fn check_busy(
        &self,
        index: usize,
        input_id: &InputId,
        phase: worker_runtime_core::view::Phase,
    ) -> Played<()> {
        let Some(worker) = self.plain.workers.get(index) else {
            return Ok(());
        };
        let run = worker.run.as_ref().map(|run| &run.input_id);
        let busy_with = run.or(worker.queue.first());
        ensure(
            busy_with == Some(input_id) && worker.phase() == Some(phase),
            "I4 busy is derived from what runs",
            || {
                format!(
                    "busy with {input_id} ({phase}), not {busy_with:?} ({:?})",
                    worker.phase()
                )
            },
        )
    }

    async fn accepted(
        &mut self,
        index: usize,
        mut input: SubmitInput,
        receipt: InputReceipt,
    ) -> Played<()> {
        let worker = self.id_of(index);
        let id = receipt.input_id.clone();
        let is_new = self
            .plain
            .worker(worker)
            .is_some_and(|found| !found.inputs.contains_key(&id));
        let fits = receipt.worker_id == worker
            && input.input_id.as_ref().is_none_or(|asked| *asked == id)
            && !receipt.repeated
            && !receipt.content_differs;
        ensure(is_new && fits, "I5 an input is accepted once", || {
            format!("{receipt:?}")
        })?;
        let accepted = accepted_event(worker, &id, &input);
        input.input_id = Some(id.clone());
        self.note_input(index, id, input, receipt.clone());
        let runs = self.dispatched(index);
        let is_run = runs.is_some();
        let expected = std::iter::once(accepted).chain(runs).collect();
        let events = self.events(expected).await?;
        self.check_receipt(&receipt, position_of(&events, "input.accepted"))?;
        self.count("inputs accepted");
        if is_run {
            self.given(index).await?;
        }
        Ok(())
    }

    /// A receipt names the event that recorded the acceptance.
    pub(super) fn check_receipt(&self, receipt: &InputReceipt, position: Position) -> Played<()> {
        let event = self
            .plain
            .log
            .iter()
            .find(|event| event.position == position);
        let recorded = receipt.accepted;
        let stream = Stream::Worker(receipt.worker_id);
        let fits = event.is_some_and(|event| {
            event.worker.is_some_and(|place| place.seq == recorded.seq)
                && event.at == recorded.at
                && recorded.position == position
                && self.plain.incarnation_at(position) == Some(recorded.incarnation_id)
        });
        let runtime_id = self.world.observation.runtime_id();
        ensure(
            fits && receipt.cursor.position() == position
                && receipt.cursor.is_of(runtime_id, stream),
            "I1 a receipt names its event",
            || format!("{receipt:?} for the event at {position}"),
        )
    }

    pub(super) async fn send_again(
        &mut self,
        index: usize,
        nth: usize,
        differs: bool,
    ) -> Played<()> {
        let Some(worker) = self.plain.workers.get(index) else {
            return Ok(());
        };
        let known = worker.inputs.len().max(1);
        let Some(accepted) = worker.inputs.values().nth(nth % known).cloned() else {
            return Ok(());
        };
        let (id, is_deleted) = (worker.id, worker.life == Life::Deleted);
        let mut input = accepted.input.clone();
        input.input_id = Some(accepted.receipt.input_id.clone());
        if differs {
            input.segments.push(Segment::text("more"));
        }
        let answer = self.submit(id, input).await?;
        if is_deleted {
            let answer = answer.map_err(|error| error.code());
            return self.refused(&[Code::WorkerDeleted], answer, "an input again");
        }
        let first = &accepted.receipt;
        let same = answer.as_ref().is_ok_and(|again| {
            again.repeated
                && again.content_differs == differs
                && again.worker_id == first.worker_id
                && again.input_id == first.input_id
                && again.accepted == first.accepted
                && again.cursor == first.cursor
        });
        ensure(same, "I5 the same input id gives the first receipt", || {
            format!("{answer:?} after {first:?} (other content: {differs})")
        })?;
        self.count("repeated receipts");
        Ok(())
    }

    pub(super) async fn send_bad(&mut self, index: usize, bad: BadInput) -> Played<()> {
        let mut input = SubmitInput::text("");
        let code = match bad {
            BadInput::Empty => {
                input.segments.clear();
                Code::InputEmpty
            }
            BadInput::NoType => {
                let fields = json!({ "text": "typeless" });
                let Value::Object(fields) = fields else {
                    return Ok(());
                };
                input.segments = vec![Segment::Other(fields)];
                Code::FieldInvalid
            }
        };
        let mut codes = self.submit_refusals(index, &input);
        codes.push(code);
        let answer = self.submit(self.id_of(index), input).await?;
        self.refused(&codes, answer.map_err(|error| error.code()), "a bad input")
    }

    pub(super) async fn send_to_nobody(&mut self) -> Played<()> {
        let nobody = WorkerId::from_bytes([0xEE; 16]);
        let answer = self.submit(nobody, SubmitInput::text("anybody?")).await?;
        let codes = [Code::WorkerUnknown, Code::RuntimeStopped];
        self.refused(
            &codes,
            answer.map_err(|error| error.code()),
            "an input for nobody",
        )
    }
}
