//! What every store must do, in memory and in a file.

use worker_runtime_core::store::{
    Store,
    conformance::{CHECKS, Harness, run_all},
};

use crate::{MemoryStore, StoreOptions};

struct Memory(StoreOptionsOf);

type StoreOptionsOf = fn() -> StoreOptions;

impl Harness for Memory {
    fn open(&mut self) -> Box<dyn Store> {
        Box::new(MemoryStore::new((self.0)()).unwrap())
    }

    fn reopen(&mut self, _: Box<dyn Store>) -> Option<Box<dyn Store>> {
        None
    }
}

#[test]
fn a_memory_store_does_what_every_store_must_do() {
    assert!(CHECKS.len() > 15);
    run_all(&mut Memory(StoreOptions::memory));
}

#[test]
fn a_store_that_flushes_all_the_time_does_it_too() {
    run_all(&mut Memory(|| StoreOptions {
        tails_bytes_max: 4096,
        log_window_bytes: 16 << 10,
        ..StoreOptions::memory()
    }));
}
