//! Creations: idempotent, with everything in one transaction, or nothing (I3, I5, I6).

use serde_json::json;
use worker_runtime_core::{
    AsJson, Code, InputId, Stream, WorkerId,
    error::CreateError,
    input::SubmitInput,
    profile::ProfileSelector,
    view::CreateReceipt,
    worker::{BackendSelection, BundleRef, CreateWorker, Intent},
};

use super::{
    Game, Side,
    allocations::{check_refusal, code_of},
};
use crate::model::{
    backend::BACKEND,
    expect::{Expect, position_of},
    held::{Asked, kept},
    plain::{Accepted, Life, Worker},
    step::Ask,
    stop::{Played, broken, ensure},
};
use crate::report::Doing;

fn request(serial: u32, minted: bool, ask: Ask, parent: Option<WorkerId>) -> CreateWorker {
    let mut bytes = [7; 16];
    let serial_bytes = serial.to_be_bytes();
    for (to, from) in bytes.iter_mut().skip(12).zip(serial_bytes) {
        *to = from;
    }
    let mut request = CreateWorker::new(Intent::Assistant { purpose: None });
    request.worker_id = (!minted).then(|| WorkerId::from_bytes(bytes));
    request.display_name = serial.is_multiple_of(2).then(|| format!("worker {serial}"));
    request.labels = [("team".to_owned(), (serial % 3).to_string())].into();
    if !matches!(ask, Ask::NoBackend | Ask::InputWithoutBackend) {
        let name = if ask == Ask::BadBackend {
            "nobody"
        } else {
            BACKEND
        };
        let config = AsJson(json!({ "serial": serial }));
        request.backend = Some(BackendSelection {
            name: name.to_owned(),
            config,
        });
    }
    match ask {
        Ask::Hold(asks) => (request.scope, request.delegation) = asks.scopes(),
        Ask::Below(_, asks) => {
            request.spec.parent = parent;
            (request.scope, request.delegation) = asks.scopes();
        }
        Ask::BadScope => {
            request.scope = super::allocations::scope(0, None);
            if let Some(rule) = request.scope.allow.first_mut() {
                rule.path = "../outside".into();
            }
        }
        Ask::WithInput | Ask::InputWithoutBackend => {
            request.initial_input = Some(SubmitInput::text(format!("first {serial}")));
        }
        Ask::Child(_) => request.spec.parent = parent,
        Ask::BadParent => request.spec.parent = Some(WorkerId::from_bytes([8; 16])),
        Ask::BadProfile => {
            request.spec.profile = ProfileSelector::Builtin {
                name: "nobody".into(),
            };
        }
        Ask::BadBundle => {
            let (id, digest) = ("none".into(), "none".into());
            request.spec.bundle = Some(BundleRef { id, digest });
        }
        Ask::EmptyObjective => {
            request.spec.intent = Intent::Task {
                objective: " ".into(),
            }
        }
        Ask::Plain | Ask::NoBackend | Ask::BadBackend => {}
    }
    request
}

impl Game {
    pub(super) async fn create(&mut self, serial: u32, minted: bool, ask: Ask) -> Played<()> {
        let parent = match ask {
            Ask::Child(worker) | Ask::Below(worker, _) => self.plain.workers.get(worker),
            _ => None,
        };
        let request = request(serial, minted, ask, parent.map(|parent| parent.id));
        let mut codes = Vec::new();
        if parent.is_some_and(|parent| parent.life != Life::Active) {
            codes.push(Code::ParentUnknown);
        }
        codes.extend(match ask {
            Ask::BadParent => Some(Code::ParentUnknown),
            Ask::BadProfile => Some(Code::ProfileUnknown),
            Ask::BadBackend => Some(Code::BackendUnknown),
            Ask::BadBundle => Some(Code::BundleUnknown),
            Ask::BadScope => Some(Code::ScopeInvalid),
            Ask::EmptyObjective => Some(Code::ObjectiveEmpty),
            Ask::InputWithoutBackend => Some(Code::InputIncapable),
            _ => None,
        });
        if self.plain.stopped && request.initial_input.is_some() {
            codes.push(Code::RuntimeStopped);
        }
        let asked = asked_by(&request);
        let family = &self.plain.family;
        let refusal = family.refusal(&asked, request.spec.parent, None);
        codes.extend(refusal.iter().map(code_of));
        let catalog = self.world.runtime()?.catalog();
        let asked = self
            .world
            .watchdog
            .within("a creation", catalog.create(request.clone()));
        let answer = asked.await?;
        if let Err(CreateError::ScopeRefused(told)) = &answer {
            check_refusal(told, refusal.as_ref())?;
        }
        match (codes.is_empty(), answer) {
            (true, Ok(receipt)) => self.created(request, receipt).await,
            (true, Err(error)) => broken(
                "I6 what nobody holds is granted",
                format!("a creation ({ask:?}) was refused: {error}"),
            ),
            (false, answer) => {
                let answer = answer.map_err(|error| error.code());
                self.refused(&codes, answer, "a creation")
            }
        }
    }

    async fn created(&mut self, request: CreateWorker, receipt: CreateReceipt) -> Played<()> {
        let id = receipt.worker_id;
        ensure(
            !receipt.repeated
                && request.worker_id.is_none_or(|asked| asked == id)
                && self.plain.worker(id).is_none()
                && receipt.runtime_id == self.world.observation.runtime_id(),
            "I5 a creation makes one Worker",
            || format!("{receipt:?}"),
        )?;
        let mut expected = vec![Expect::of(
            id,
            "worker.created",
            json!({
                "spec": request.spec,
                "display_name": request.display_name,
                "labels": request.labels,
                "epoch": 1,
            }),
        )];
        let asked = asked_by(&request);
        let holds = !asked.is_nothing();
        if holds {
            let data = asked.told(request.spec.parent);
            expected.push(Expect::of(id, "allocation.granted", data));
        }
        let initial = request.initial_input.clone();
        self.plain
            .workers
            .push(worker(id, request, receipt.clone()));
        self.sides.push(Side::default());
        let index = self.plain.workers.len().saturating_sub(1);
        if let Some(initial) = initial {
            let input_id = InputId::new("initial").doing("name an input")?;
            expected.push(super::inputs::accepted_event(id, &input_id, &initial));
            let Some(input) = receipt.input.clone() else {
                return broken("I5 a creation answers its input", format!("{receipt:?}"));
            };
            self.note_input(index, input_id, initial, input);
        }
        if holds && let Some(worker) = self.plain.workers.get_mut(index) {
            worker.holds = Some(worker_runtime_core::Fence(0));
        }
        let runs = self.dispatched(index);
        let is_run = runs.is_some();
        expected.extend(runs);
        let events = self.events(expected).await?;
        self.note_fence(index, &events);
        let position = position_of(&events, "worker.created");
        let at = self.world.now();
        ensure(
            receipt.position == position
                && receipt.created_at == at
                && receipt.cursor.position() == position
                && receipt
                    .cursor
                    .is_of(self.world.observation.runtime_id(), Stream::Worker(id)),
            "I1 a receipt names its event",
            || format!("{receipt:?} for the event at {position}"),
        )?;
        if let Some(input) = &receipt.input {
            self.check_receipt(input, position_of(&events, "input.accepted"))?;
        }
        if let Some(worker) = self.plain.workers.get_mut(index) {
            worker.changed = position;
        }
        self.count("created");
        if is_run {
            self.given(index).await?;
        }
        Ok(())
    }

    /// A scope was granted anew.
    pub(super) fn note_fence(&mut self, index: usize, events: &[worker_runtime_core::Event]) {
        let granted = events
            .iter()
            .rfind(|event| event.kind.as_str() == "allocation.granted");
        let Some(granted) = granted else { return };
        let data: serde_json::Value = serde_json::from_slice(&granted.data).unwrap_or_default();
        let fence = data.get("fence").and_then(serde_json::Value::as_u64);
        let runs = events
            .iter()
            .any(|event| event.kind.as_str() == "run.started");
        if let (Some(worker), false) = (self.plain.workers.get_mut(index), runs) {
            worker.holds = fence.map(worker_runtime_core::Fence);
        }
    }

    pub(super) async fn create_again(&mut self, index: usize, differs: bool) -> Played<()> {
        let Some(worker) = self.plain.workers.get(index).cloned() else {
            return Ok(());
        };
        let mut request = worker.request.clone();
        request.worker_id = Some(worker.id);
        if differs {
            request.labels.insert("other".into(), "yes".into());
        }
        let catalog = self.world.runtime()?.catalog();
        let asked = self
            .world
            .watchdog
            .within("a creation", catalog.create(request));
        let answer = asked.await?;
        if worker.life == Life::Deleted {
            let answer = answer.map_err(|error| error.code());
            return self.refused(&[Code::WorkerDeleted], answer, "a creation again");
        }
        if differs {
            // What is asked for may be refused for itself before it is compared.
            let codes = [Code::WorkerExists];
            let answer = answer.map_err(|error| error.code());
            return self.refused(&codes, answer, "another creation");
        }
        let first = &worker.created;
        let same = match &answer {
            Ok(again) => {
                let input = |receipt: &CreateReceipt| {
                    receipt
                        .input
                        .as_ref()
                        .map(|input| (input.accepted, input.cursor))
                };
                again.repeated
                    && again.worker_id == first.worker_id
                    && again.position == first.position
                    && again.cursor == first.cursor
                    && again.created_at == first.created_at
                    && input(again) == input(first)
            }
            Err(_) => false,
        };
        ensure(
            same,
            "I5 a repeated creation gives the first receipt",
            || format!("{answer:?} after {first:?}"),
        )?;
        self.count("repeated creations");
        Ok(())
    }
}

/// What a creation asks to hold.
fn asked_by(request: &CreateWorker) -> Asked {
    Asked {
        scope: kept(&request.scope),
        delegation: kept(&request.delegation),
    }
}

fn worker(id: WorkerId, request: CreateWorker, created: CreateReceipt) -> Worker {
    Worker {
        id,
        name: request.display_name.clone(),
        labels: request.labels.clone(),
        changed: created.position,
        keeps: asked_by(&request),
        taken: None,
        request,
        created,
        life: Life::Active,
        epoch: 1,
        end: None,
        paused: false,
        archived: false,
        holds: None,
        inputs: Default::default(),
        queue: Vec::new(),
        run: None,
        generation: Default::default(),
        seq: 0,
        items: 0,
        usage: Default::default(),
        last_run: None,
        status: Default::default(),
        revision: 0,
        unproven: false,
        trimmed_alive: Default::default(),
    }
}

impl Game {
    pub(super) fn note_input(
        &mut self,
        index: usize,
        input_id: InputId,
        input: SubmitInput,
        receipt: worker_runtime_core::input::InputReceipt,
    ) {
        if let Some(worker) = self.plain.workers.get_mut(index) {
            worker.queue.push(input_id.clone());
            let accepted = Accepted {
                input,
                receipt,
                outcome: None,
            };
            worker.inputs.insert(input_id, accepted);
        }
    }
}
