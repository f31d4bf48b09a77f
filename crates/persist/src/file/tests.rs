//! Tests of the store in a directory, with real files.

#![allow(clippy::unwrap_used, reason = "tests")]

mod crash;
mod damage;
mod full;
mod isolation;
mod keys;
mod model;
mod open;
mod panics;
mod recovery;

use std::{fs, path::Path};

use tempfile::TempDir;
use worker_runtime_core::{
    SeededEntropy,
    store::{
        Store,
        conformance::{Harness, run_all},
    },
};

use crate::{FileOptions, FileStore, StoreOptions};

/// Small limits, so that tests come across flushed tails.
fn options() -> FileOptions {
    FileOptions {
        store: StoreOptions {
            cache_bytes: 4 << 20,
            ..StoreOptions::file()
        },
        ballast_bytes: 0,
        ..FileOptions::default()
    }
}

fn small() -> FileOptions {
    let mut options = options();
    options.store.tails_bytes_max = 8 << 10;
    options.store.log_window_bytes = 32 << 10;
    options
}

fn seeded(seed: u64) -> FileOptions {
    let mut options = options();
    options.store.entropy = Box::new(SeededEntropy::new(seed));
    options
}

fn open(path: &Path) -> FileStore {
    FileStore::open(path, options()).unwrap()
}

fn close(store: FileStore) {
    Box::new(store).close().unwrap();
}

/// The directory as a crash would leave it now, and the page cache survive.
fn crashed_copy(path: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["runtime.redb", "head"] {
        fs::copy(path.join(name), copy.path().join(name)).unwrap();
    }
    copy
}

struct Files {
    options: fn() -> FileOptions,
    directories: Vec<TempDir>,
}

impl Files {
    fn path(&self) -> &Path {
        self.directories.last().unwrap().path()
    }
}

impl Harness for Files {
    fn open(&mut self) -> Box<dyn Store> {
        self.directories.push(tempfile::tempdir().unwrap());
        Box::new(FileStore::open(self.path(), (self.options)()).unwrap())
    }

    fn reopen(&mut self, store: Box<dyn Store>) -> Option<Box<dyn Store>> {
        store.close().unwrap();
        let store = FileStore::open(self.path(), (self.options)()).unwrap();
        Some(Box::new(store))
    }
}

#[test]
fn a_file_store_does_what_every_store_must_do() {
    run_all(&mut Files {
        options,
        directories: Vec::new(),
    });
}

#[test]
fn a_file_store_with_small_limits_does_it_too() {
    run_all(&mut Files {
        options: small,
        directories: Vec::new(),
    });
}

/// Reopens what a crash would have left, instead of closing.
struct Crashing(Files);

impl Harness for Crashing {
    fn open(&mut self) -> Box<dyn Store> {
        self.0.open()
    }

    fn reopen(&mut self, store: Box<dyn Store>) -> Option<Box<dyn Store>> {
        let copy = crashed_copy(self.0.path());
        drop(store);
        self.0.directories.push(copy);
        let store = FileStore::open(self.0.path(), (self.0.options)()).unwrap();
        Some(Box::new(store))
    }
}

#[test]
fn a_store_that_crashed_is_the_same_store() {
    for options in [options, small] {
        run_all(&mut Crashing(Files {
            options,
            directories: Vec::new(),
        }));
    }
}
