//! One client per Worker, over HTTP: it notes what it asks before it asks, and the answer after it came.
//! What was not answered is asked again with the same id, until somebody answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_stream::StreamExt;
use worker_runtime_core::{
    AsJson, InputId, Observed, Stream, WorkerId,
    cursor::From as Start,
    input::{InputReceipt, SubmitInput},
    worker::{BackendSelection, CreateWorker, Intent},
};
use worker_runtime_http::client::{self, ClientError, ObserveOptions, Reconnect};

use super::{
    journal::Journal,
    order::{Dice, Kind, Noted, ROUND_VARIABLE, SIDE_VARIABLE, TAG_VARIABLE, worker_id as id_of},
};

const PAUSE_MS_MAX: u64 = 150;
/// Soon: the server is away for as long as its opening takes.
pub(super) const RECONNECT: Reconnect = Reconnect {
    first: Duration::from_millis(5),
    longest: Duration::from_millis(50),
    attempts_max: None,
};

pub(super) struct Client {
    http: client::Client,
    worker: u64,
    worker_id: WorkerId,
    dice: Dice,
    journal: Journal<Noted>,
    /// Every input that was ever asked for, and whether it was accepted.
    asked: BTreeMap<InputId, bool>,
}

impl Client {
    pub(super) fn new(http: client::Client, journals: &Path, worker: u64, dice: Dice) -> Self {
        let path = journals.join(format!("client-{worker:02}.jsonl"));
        let (journal, notes) = Journal::open(&path).unwrap();
        assert_eq!(notes, []);
        Self {
            http,
            worker,
            worker_id: id_of(worker),
            dice,
            journal,
            asked: BTreeMap::new(),
        }
    }

    fn note(&mut self, note: &Noted) {
        tokio::task::block_in_place(|| self.journal.note(note)).unwrap();
    }

    /// Sends until told to finish; then sends all of it again and waits for every outcome.
    pub(super) async fn run(mut self, finish: watch::Receiver<bool>) {
        self.create().await;
        while !*finish.borrow() {
            self.burst().await;
            let pause_ms = self.dice.below(PAUSE_MS_MAX);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
        let all: Vec<InputId> = self.asked.keys().cloned().collect();
        for input_id in &all {
            self.send(input_id, true).await;
        }
        self.wait_for(Start::Beginning, all.into_iter().collect())
            .await;
    }

    async fn burst(&mut self) {
        let mut last = None;
        for _ in 0..1 + self.dice.below(3) {
            let text = format!("w{:02}-{:04}", self.worker, self.asked.len());
            let input_id = InputId::new(text).unwrap();
            let queued = !self.dice.once_in(4);
            if let Some(receipt) = self.send(&input_id, queued).await {
                last = Some(receipt);
            }
            if self.dice.once_in(4) {
                self.send(&input_id, queued).await;
            }
        }
        if self.dice.once_in(6) {
            self.cancel_run().await;
        }
        if let Some(receipt) = last {
            let start = Start::After(receipt.cursor);
            self.wait_for(start, [receipt.input_id].into()).await;
        }
    }

    async fn create(&mut self) {
        let config = json!({
            "argv": ["sh", "-c", Kind::of(self.worker).script()],
            "term_grace_ms": 100,
            "env_allow": ["PATH", TAG_VARIABLE, ROUND_VARIABLE, SIDE_VARIABLE],
        });
        let request = CreateWorker {
            worker_id: Some(self.worker_id),
            backend: Some(BackendSelection {
                name: "exec".to_owned(),
                config: AsJson(config),
            }),
            ..CreateWorker::new(Intent::Assistant { purpose: None })
        };
        self.note(&Noted::Creating(self.worker_id));
        let receipt = loop {
            match self.http.create_worker(&request).await {
                Ok(receipt) => break receipt,
                Err(error) => self.lost(&error).await,
            }
        };
        self.note(&Noted::Created {
            position: receipt.position,
            repeated: receipt.repeated,
        });
    }

    /// Asks until it is answered: the receipt, or nothing when it was refused.
    async fn send(&mut self, input_id: &InputId, queued: bool) -> Option<InputReceipt> {
        let input = SubmitInput::text(input_id.as_str()).with_id(input_id.clone());
        let input = if queued { input.queued() } else { input };
        self.asked.entry(input_id.clone()).or_insert(false);
        loop {
            self.note(&Noted::Sending(input_id.clone()));
            match self.http.send_input(self.worker_id, &input).await {
                Ok(receipt) => {
                    self.asked.insert(input_id.clone(), true);
                    self.note(&Noted::Accepted {
                        input_id: input_id.clone(),
                        seq: receipt.accepted.seq,
                        position: receipt.accepted.position,
                        repeated: receipt.repeated,
                    });
                    return Some(receipt);
                }
                Err(error) if error.is_transient() => self.lost(&error).await,
                Err(error) => {
                    self.note(&Noted::Refused {
                        input_id: input_id.clone(),
                        code: error.code().as_str().to_owned(),
                    });
                    return None;
                }
            }
        }
    }

    async fn cancel_run(&mut self) {
        let Ok(view) = self.http.worker(self.worker_id).await else {
            return;
        };
        if let Some(run_id) = view.activity.run_id {
            self.note(&Noted::Cancelling(run_id));
            // It may have ended meanwhile, or the server.
            let _ = self.http.cancel_run(self.worker_id, run_id).await;
        }
    }

    /// Waits until each of these that was accepted has its outcome, over any number of servers.
    async fn wait_for(&self, start: Start, mut left: BTreeSet<InputId>) {
        left.retain(|input_id| self.asked[input_id]);
        let options = ObserveOptions {
            reconnect: RECONNECT,
            ..ObserveOptions::default()
        };
        let stream = Stream::Worker(self.worker_id);
        let mut items = self.http.observe(stream, start, options).await.unwrap();
        while !left.is_empty() {
            let Observed::Event(_, event) = items.next().await.unwrap().unwrap() else {
                continue;
            };
            if matches!(event.kind.as_str(), "run.finished" | "input.finished") {
                let data: Value = serde_json::from_slice(&event.data).unwrap();
                left.retain(|input_id| data["input_id"] != input_id.as_str());
            }
        }
    }

    /// Nobody knows whether it was done.
    async fn lost(&mut self, error: &ClientError) {
        assert!(error.is_transient(), "of {}: {error}", self.worker_id);
        let pause_ms = 5 + self.dice.below(20);
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}
