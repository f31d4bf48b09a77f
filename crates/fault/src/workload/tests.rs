use std::sync::Arc;

use worker_runtime_persist::FileStore;

use super::{
    Client, ClientOptions,
    client::on_one_thread,
    limits::{clock, file_options},
};
use crate::disk::Recorder;

/// Plays a session, and gives back the client after its end.
fn played(seed: u64, steps: usize) -> Client {
    let directory = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(directory.path());
    let (clock, meter) = (clock(), recorder.clone());
    let mut options = file_options(&clock, seed);
    options.wrap_backend = Some(recorder.wrap());
    let mut client = Client::new(ClientOptions {
        seed,
        meter: Arc::new(move || meter.index()),
        clock,
    });
    on_one_thread().unwrap().block_on(async {
        let store = FileStore::open(directory.path(), options).unwrap();
        client.open(Box::new(store)).await.unwrap().unwrap();
        client.play(steps).await;
        client.settle().await;
        client.close().await.unwrap();
    });
    client
}

#[test]
fn a_session_reaches_what_a_user_can_reach() {
    let mut words = std::collections::BTreeMap::<String, usize>::new();
    for seed in 0..18 {
        let client = played(seed, 140);
        let journal = client.journal();
        assert_eq!(journal.violations, [], "seed {seed}");
        for entry in &journal.entries {
            let answer = match &entry.answer {
                super::Answer::Done(done) if done.repeated => "repeated".to_owned(),
                super::Answer::Done(_) => "done".to_owned(),
                super::Answer::Refused(code) => code.to_string(),
                other => format!("{other:?}"),
            };
            *words
                .entry(format!("{}: {answer}", entry.asked.word()))
                .or_default() += 1;
        }
        for told in journal.told.values() {
            *words.entry(told.event.kind.to_string()).or_default() += 1;
        }
        *words.entry("trimmed".to_owned()).or_default() += journal
            .beginnings
            .last()
            .map_or(0, |last| last.trimmed_to.0 as usize);
    }
    let wanted = [
        "create: done",
        "create: repeated",
        "create: WR-SCOPE-CONFLICT",
        "create: WR-WORKER-EXISTS",
        "create: WR-BACKEND-CONFIG",
        "create: WR-BACKEND-UNKNOWN",
        "send: done",
        "send: repeated",
        "send: WR-INPUT-BUSY",
        "send: WR-INPUT-INCAPABLE",
        "send: WR-RUNTIME-STOPPED",
        "send: WR-WORKER-NOT-ACTIVE",
        "answer: done",
        "answer: WR-ACTION-OPTION",
        "cancel run: done",
        "pause: done",
        "resume: done",
        "update: done",
        "stop: done",
        "cancel: done",
        "archive: done",
        "restore: done",
        "delete: done",
        "stop runtime: done",
        "start runtime: done",
        "events: WR-FIELD-INVALID",
        "append: done",
        "replace: done",
        "finish block: done",
        "process ended: done",
        "run.action_answered",
        "run.cancel_requested",
        "input.finished",
        "allocation.released",
        "acquire lease: done",
        "acquire lease: repeated",
        "acquire lease: WR-SCOPE-CONFLICT",
        "renew lease: done",
        "renew lease: WR-LEASE-UNKNOWN",
        "renew lease: WR-FENCE-STALE",
        "release lease: done",
        "release lease: WR-FENCE-STALE",
        "take lease: done",
        "lease.expired",
        "trimmed",
    ];
    for wanted in wanted {
        assert!(
            words.get(wanted).is_some_and(|count| *count > 0),
            "{wanted}: {words:#?}"
        );
    }
}
