//! One client per Worker: notes what it asks before it asks, and the answer after it came. In its
//! next life it first asks again whatever it has no answer to.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use worker_runtime_core::{
    AsJson, InputId, ObserveOptions, Observed, Permission, Runtime, Scope, ScopeRule, Stream,
    WorkerId,
    cursor::From as Start,
    input::SubmitInput,
    worker::{BackendSelection, CreateWorker, Intent},
};
use worker_runtime_execution::exec::ExecFactory;

use crate::{
    Result,
    journal::Journal,
    order::{Dice, Kind, MOUNT, Noted, worker_id},
};

/// A client stops at so many inputs: the test is bounded by this, too.
const INPUTS_MAX: u64 = 120;
const PAUSE_MS_MAX: u64 = 150;

/// Feeds all Workers, until the process is killed.
pub(crate) async fn feed_all(
    runtime: &Runtime,
    journals: &Path,
    seed: u64,
    workers: u64,
) -> Result<()> {
    let mut clients = JoinSet::new();
    for worker in 0..workers {
        let dice = Dice::new(seed ^ (worker << 32));
        let client = Client::open(runtime.clone(), journals, worker, dice)?;
        clients.spawn(client.feed());
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    // Nothing more to send: the kill comes.
    std::future::pending().await
}

/// Sends everything again, and waits for the outcome of every input.
pub(crate) async fn drain_all(runtime: &Runtime, journals: &Path, workers: u64) -> Result<()> {
    let mut clients = JoinSet::new();
    for worker in 0..workers {
        let client = Client::open(runtime.clone(), journals, worker, Dice::new(worker))?;
        clients.spawn(client.drain());
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(())
}

struct Client {
    runtime: Runtime,
    worker: u64,
    worker_id: WorkerId,
    dice: Dice,
    journal: Journal<Noted>,
    created: bool,
    /// Every input that was ever asked for, and whether it was answered by a receipt.
    asked: BTreeMap<InputId, bool>,
}

impl Client {
    fn open(runtime: Runtime, journals: &Path, worker: u64, dice: Dice) -> Result<Self> {
        let path = journals.join(format!("client-{worker:02}.jsonl"));
        let (journal, notes) = Journal::open(&path)?;
        let mut client = Self {
            runtime,
            worker,
            worker_id: worker_id(worker),
            dice,
            journal,
            created: false,
            asked: BTreeMap::new(),
        };
        for note in notes {
            match note {
                Noted::Created { .. } => client.created = true,
                Noted::Sending(input_id) => {
                    client.asked.entry(input_id).or_insert(false);
                }
                Noted::Accepted { input_id, .. } => {
                    client.asked.insert(input_id, true);
                }
                Noted::Creating(_) | Noted::Refused { .. } | Noted::Cancelling(_) => {}
            }
        }
        Ok(client)
    }

    fn note(&mut self, note: &Noted) -> Result<()> {
        Ok(tokio::task::block_in_place(|| self.journal.note(note))?)
    }

    async fn feed(mut self) -> Result<()> {
        self.take_up().await?;
        if self.dice.once_in(2) {
            // Some lives begin with what earlier ones left, so that the backlog stays bounded.
            self.wait_for(&self.accepted()).await?;
        }
        while (self.asked.len() as u64) < INPUTS_MAX {
            let burst = 1 + self.dice.below(3);
            let mut last = None;
            for _ in 0..burst {
                let input_id = self.next_id()?;
                let queued = !self.dice.once_in(4);
                if self.send(&input_id, queued).await? {
                    last = Some(input_id.clone());
                }
                if self.dice.once_in(4) {
                    self.send(&input_id, queued).await?;
                }
            }
            if self.dice.once_in(6) {
                self.cancel_run().await?;
            }
            if let Some(input_id) = last {
                self.wait_for(&[input_id].into()).await?;
            }
            let pause_ms = self.dice.below(PAUSE_MS_MAX);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
        Ok(())
    }

    async fn drain(mut self) -> Result<()> {
        self.take_up().await?;
        let all: Vec<InputId> = self.asked.keys().cloned().collect();
        for input_id in &all {
            self.send(input_id, true).await?;
        }
        self.wait_for(&self.accepted()).await
    }

    fn accepted(&self) -> BTreeSet<InputId> {
        let accepted = self.asked.iter().filter(|(_, accepted)| **accepted);
        accepted.map(|(input_id, _)| input_id.clone()).collect()
    }

    /// What a client does first: asks again what has no answer, and one thing that has one.
    async fn take_up(&mut self) -> Result<()> {
        if !self.created {
            self.create().await?;
        }
        let unanswered = self.asked.iter().filter(|(_, accepted)| !**accepted);
        let mut again: Vec<InputId> = unanswered.map(|(input_id, _)| input_id.clone()).collect();
        let choice = self.dice.below(self.asked.len() as u64);
        again.extend(
            usize::try_from(choice)
                .ok()
                .and_then(|choice| self.asked.keys().nth(choice).cloned()),
        );
        for input_id in again {
            self.send(&input_id, true).await?;
        }
        Ok(())
    }

    fn next_id(&self) -> Result<InputId> {
        let id = format!("w{:02}-{:04}", self.worker, self.asked.len());
        Ok(InputId::new(&id)?)
    }

    async fn create(&mut self) -> Result<()> {
        self.note(&Noted::Creating(self.worker_id))?;
        let config = json!({
            "argv": ["sh", "-c", Kind::of(self.worker).script()],
            "term_grace_ms": 100,
        });
        let request = CreateWorker {
            worker_id: Some(self.worker_id),
            display_name: Some(format!("worker-{:02}", self.worker)),
            scope: Scope {
                allow: vec![ScopeRule {
                    mount: MOUNT.to_owned(),
                    path: format!("part-{:02}", self.worker),
                    permission: Permission::Write,
                    recursive: true,
                }],
                deny: Vec::new(),
            },
            backend: Some(BackendSelection {
                name: ExecFactory::NAME.to_owned(),
                config: AsJson(config),
            }),
            ..CreateWorker::new(Intent::Assistant { purpose: None })
        };
        let receipt = self.runtime.catalog().create(request).await?;
        self.created = true;
        self.note(&Noted::Created {
            position: receipt.position,
            repeated: receipt.repeated,
        })
    }

    /// Whether it was accepted, now or before.
    async fn send(&mut self, input_id: &InputId, queued: bool) -> Result<bool> {
        self.asked.entry(input_id.clone()).or_insert(false);
        self.note(&Noted::Sending(input_id.clone()))?;
        let input = SubmitInput::text(input_id.as_str()).with_id(input_id.clone());
        let input = if queued { input.queued() } else { input };
        let interaction = self.runtime.interaction();
        match interaction.send_input(self.worker_id, input).await {
            Ok(receipt) => {
                self.asked.insert(input_id.clone(), true);
                self.note(&Noted::Accepted {
                    input_id: input_id.clone(),
                    seq: receipt.accepted.seq,
                    position: receipt.accepted.position,
                    repeated: receipt.repeated,
                })?;
                Ok(true)
            }
            Err(error) => {
                self.note(&Noted::Refused {
                    input_id: input_id.clone(),
                    code: error.code().as_str().to_owned(),
                })?;
                Ok(false)
            }
        }
    }

    async fn cancel_run(&mut self) -> Result<()> {
        let view = self.runtime.observation().worker(self.worker_id)?;
        let Some(run_id) = view.activity.run_id else {
            return Ok(());
        };
        self.note(&Noted::Cancelling(run_id))?;
        // It may have ended meanwhile.
        let _ = self
            .runtime
            .interaction()
            .cancel_run(self.worker_id, run_id)
            .await;
        Ok(())
    }

    /// Waits until each of these has its outcome.
    async fn wait_for(&self, inputs: &BTreeSet<InputId>) -> Result<()> {
        let mut left: BTreeSet<&str> = inputs.iter().map(InputId::as_str).collect();
        let stream = Stream::Worker(self.worker_id);
        let options = ObserveOptions::default();
        let observation = self.runtime.observation();
        let mut stream = observation.observe(stream, Start::Beginning, options)?;
        while !left.is_empty() {
            let Some(item) = stream.next().await else {
                return Err("a stream ended before its Runtime".into());
            };
            let Observed::Event(_, event) = item? else {
                continue;
            };
            if matches!(event.kind.as_str(), "run.finished" | "input.finished") {
                let data: Value = serde_json::from_slice(&event.data)?;
                let input_id = data.get("input_id").and_then(Value::as_str);
                left.remove(input_id.unwrap_or_default());
            }
        }
        Ok(())
    }
}
