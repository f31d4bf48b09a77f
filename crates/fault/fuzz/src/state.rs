//! A state directory in which bytes were changed, cut off, moved or blanked: reading it changes nothing
//! (I12), what reads is what was written or is told to be missing (I7), and opening it for writing is
//! done or refused. Never a panic that reaches the caller.

mod directory;
mod truth;

use std::panic;
use std::sync::Once;

use worker_runtime_core::store::{Store, StoreReader};
use worker_runtime_persist::{FileOptions, FileStore, ReadStore, StoreOptions};

use crate::Choices;
use directory::Directory;
use truth::Truth;

/// The first byte says which store; the rest is changes of its files.
pub fn check(bytes: &[u8]) {
    // The engine may panic at what it reads, and that is held at its edge; the fuzzer's own hook would
    // end the process there. What is not held still ends it.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| panic::set_hook(Box::new(|_| {})));
    // Whoever reads the finding wants to know what was broken.
    if let Err(broken) = panic::catch_unwind(|| run(bytes)) {
        let text = broken.downcast_ref::<String>().map(String::as_str);
        let text = text.or(broken.downcast_ref::<&str>().copied());
        eprintln!("broken: {}", text.unwrap_or("without a reason"));
        std::process::abort();
    }
}

fn run(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let truth = Truth::of(choices.byte());
    let directory = Directory::new(truth, &mut choices);
    let before = directory.look();
    match ReadStore::open(directory.path()) {
        Ok(store) => {
            // Damage that can't be isolated is refused when it is come across.
            if let Ok(loaded) = store.load() {
                truth.check_loaded(&loaded, directory.has_whole_head());
                truth.check_streams(&*store.reader(), loaded.position);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    assert_eq!(directory.look(), before, "reading changed something");
    write(truth, &directory);
}

fn write(truth: &Truth, directory: &Directory) {
    let options = FileOptions {
        store: StoreOptions {
            cache_bytes: 1 << 20,
            ..StoreOptions::file()
        },
        create: false,
        lock_wait: std::time::Duration::ZERO,
        ballast_bytes: 0,
        ..FileOptions::default()
    };
    let Ok(mut store) = FileStore::open(directory.path(), options) else {
        return;
    };
    if let Ok(loaded) = store.load() {
        truth.check_loaded(&loaded, directory.has_whole_head());
        let reader = store.reader();
        truth.check_streams(&*reader, loaded.position);
        let (batch, wanted) = truth.one_more(loaded.position);
        if store.commit(&batch).is_ok() {
            truth.check_one_more(&*reader as &dyn StoreReader, loaded.position, &wanted);
        }
    }
    // Closing may be refused; it must come back.
    let _ = Box::new(store).close();
}
