//! A command that writes faster than the store takes it waits, and loses nothing.

use std::{
    fs,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use libtest_mimic::Trial;
use worker_runtime_core::{
    input::SubmitInput,
    store::{Batch, Loaded, Store, StoreError, StoreReader},
};
use worker_runtime_persist::{MemoryStore, StoreOptions};

use super::support::*;
use crate::support::within_tokio;

pub(crate) fn trials() -> Vec<Trial> {
    vec![within_tokio(
        "a_slow_store_holds_its_commands_back",
        slow_store,
    )]
}

/// Whether commits are let through.
#[derive(Default)]
struct Gate {
    closed: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, closed: bool) {
        *self.closed.lock().unwrap() = closed;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let closed = self.closed.lock().unwrap();
        drop(self.changed.wait_while(closed, |closed| *closed).unwrap());
    }
}

struct Gated(MemoryStore, Arc<Gate>);

impl Store for Gated {
    fn reader(&self) -> Arc<dyn StoreReader> {
        self.0.reader()
    }
    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.0.load()
    }
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.1.pass();
        self.0.commit(batch)
    }
    fn recover(&mut self) -> Result<(), StoreError> {
        self.0.recover()
    }
    fn idle(&mut self) -> Result<(), StoreError> {
        self.0.idle()
    }
    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Box::new(self.0).close()
    }
}

/// How much a process has written; it does not change while that waits.
fn written_bytes(pid: i32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.unwrap().parse().unwrap()
}

async fn slow_store() {
    let gate = Arc::new(Gate::default());
    let store = MemoryStore::new(StoreOptions::memory()).unwrap();
    let host = Host::over(
        Box::new(Gated(store, gate.clone())),
        options(),
        Default::default(),
    )
    .await;
    let worker = host.worker(shell("echo $$; exec seq 700000")).await;
    let receipt = host.send(worker, SubmitInput::text("x")).await;
    let said = host.until_said(worker, "\n").await;
    let pid: i32 = said.split_once('\n').unwrap().0.parse().unwrap();
    gate.set(true);
    let mut still = 0;
    let mut before = written_bytes(pid);
    while still < 20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = written_bytes(pid);
        still = if now == before { still + 1 } else { 0 };
        before = now;
    }
    assert!(before < 1 << 20, "{before} bytes went somewhere");
    gate.set(false);
    let told = host.told(worker, &receipt).await;
    assert_eq!(told.outcome()["kind"], "completed");
    let wanted: String = (1..=700_000).map(|number| format!("{number}\n")).collect();
    assert!(told.text() == format!("{pid}\n{wanted}"));
}
