use std::{path::Path, sync::Arc};

use fastrand::Rng;
use worker_runtime_core::{
    EventType,
    store::{Batch, Store, conformance::Script},
};
use worker_runtime_persist::{FileOptions, FileStore, WrapBackend};

use super::*;

fn options(wrap: WrapBackend) -> FileOptions {
    FileOptions {
        ballast_bytes: 0,
        wrap_backend: Some(wrap),
        ..FileOptions::default()
    }
}

fn open(path: &Path, wrap: WrapBackend) -> FileStore {
    FileStore::open(path, options(wrap)).unwrap()
}

/// A store of a few commits, and the tape of it.
fn recorded(path: &Path, commits: usize) -> (FileStore, Script, Recorder) {
    let recorder = Recorder::new(path);
    let mut store = open(path, recorder.wrap());
    let mut script = Script::default();
    let ids = [script.worker(), script.worker()];
    for _ in 0..commits {
        store.commit(&script.batch(&ids, 5, 100)).unwrap();
    }
    (store, script, recorder)
}

#[test]
fn bytes_in_pages_are_the_bytes() {
    let mut rng = Rng::with_seed(1);
    let mut plain = vec![1_u8; 10_000];
    let mut pages = Pages::new(&plain);
    for _ in 0..500 {
        let kept = pages.clone();
        let kept_bytes = plain.clone();
        if rng.u8(..) < 30 {
            plain.resize(rng.usize(..40_000), 0);
            pages.set_length(plain.len() as u64);
        } else {
            let data: Vec<u8> = (0..rng.usize(..9_000)).map(|_| rng.u8(..2)).collect();
            let offset = rng.usize(..40_000);
            plain.resize(plain.len().max(offset + data.len()), 0);
            plain[offset..offset + data.len()].copy_from_slice(&data);
            pages.write(offset as u64, &data);
        }
        assert_eq!(pages.to_vec(), plain);
        assert_eq!(kept.to_vec(), kept_bytes, "a clone is not written through");
        assert_eq!(pages.fingerprint(), Pages::new(&plain).fingerprint());
    }
}

#[test]
fn a_power_cut_after_everything_was_synced_leaves_the_file() {
    let home = tempfile::tempdir().unwrap();
    let (store, _, recorder) = recorded(home.path(), 10);
    Box::new(store).close().unwrap();
    let tape = recorder.tape();
    let file = std::fs::read(home.path().join("runtime.redb")).unwrap();
    for variant in [Variant::None, Variant::All] {
        let image = tape.crash(tape.len()).image(variant, HeadChoice::AsOfThen);
        assert!(image.bytes() == file);
        let head = std::fs::read(home.path().join("head")).unwrap();
        assert_eq!(image.head.as_deref(), Some(head.as_slice()));
    }
}

#[test]
fn what_no_sync_has_covered_may_be_lost() {
    let home = tempfile::tempdir().unwrap();
    let (_store, _, recorder) = recorded(home.path(), 3);
    let tape = recorder.tape();
    let is_write = |recorded: &Recorded| matches!(recorded.call, Call::Write { .. });
    let last = tape.calls.iter().rposition(is_write).unwrap();
    let mut explorer = tape.explorer();
    explorer.goto(last + 1);
    let crash = explorer.crash();
    assert!(crash.pending() > 0);
    let image = |variant| crash.image(variant, HeadChoice::Missing).fingerprint();
    assert_ne!(image(Variant::None), image(Variant::All));
    assert_ne!(
        image(Variant::All),
        image(Variant::Drop(crash.pending() - 1))
    );
    explorer.goto(last + 2);
    assert_eq!(explorer.crash().pending(), 0, "the sync follows");
    let synced = explorer.crash().image(Variant::None, HeadChoice::Missing);
    assert_eq!(synced.fingerprint(), image(Variant::All));
}

#[test]
fn an_image_is_the_same_however_its_point_was_reached() {
    let home = tempfile::tempdir().unwrap();
    let (_store, _, recorder) = recorded(home.path(), 6);
    let tape = recorder.tape();
    let mut explorer = tape.explorer();
    let mut seen = std::collections::HashSet::new();
    for index in 0..=tape.len() {
        explorer.goto(index);
        let rolled = explorer.crash();
        let direct = tape.crash(index);
        for variant in rolled.variants(&mut Rng::with_seed(7), 20) {
            for head in HeadChoice::ALL {
                let image = rolled.image(variant, head);
                assert_eq!(
                    image.fingerprint(),
                    direct.image(variant, head).fingerprint()
                );
                seen.insert(image.fingerprint());
            }
        }
    }
    assert!(seen.len() > 100, "{}", seen.len());
}

#[test]
fn every_variant_of_a_crash_is_opened_in_memory_and_as_a_file() {
    let home = tempfile::tempdir().unwrap();
    let (_store, script, recorder) = recorded(home.path(), 2);
    let tape = recorder.tape();
    let place = Place::new(&home.path().join("place")).unwrap();
    let crash = tape.crash(tape.len());
    for head in HeadChoice::ALL {
        let image = crash.image(Variant::All, head);
        let mut store = open(place.path(), place.mount(&image).unwrap());
        script.compare(&store);
        assert_eq!(store.load().unwrap().went_back, None);
        drop(store);
        place.write(&image).unwrap();
        script.compare(&open(place.path(), Arc::new(|inner| inner)));
    }
}

#[test]
fn the_head_of_before_is_the_one_of_the_commit_before() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, mut script, recorder) = recorded(home.path(), 1);
    let before = std::fs::read(home.path().join("head")).unwrap();
    let ids = [script.worker()];
    store.commit(&script.batch(&ids, 5, 100)).unwrap();
    let tape = recorder.tape();
    let crash = tape.crash(tape.len());
    let image = crash.image(Variant::All, HeadChoice::OneBefore);
    assert_eq!(image.head.as_deref(), Some(before.as_slice()));
}

#[test]
fn a_sync_that_loses_its_writes_goes_on_showing_them() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, mut script, recorder) = recorded(home.path(), 3);
    let before = script.clone();
    recorder.plan(Plan {
        kind: Some(Kind::Sync),
        passes: 0,
        fault: Fault::LoseSync,
        repeat: Repeat::Once,
    });
    let ids = [script.worker()];
    let lost = script.batch(&ids, 5, 100);
    store.commit(&lost).unwrap_err();
    assert_eq!(recorder.fired(), 1);

    // On the disk it is gone whatever of the rest reached it; the file in its place shows it.
    let tape = recorder.tape();
    let image = tape
        .crash(tape.len())
        .image(Variant::All, HeadChoice::AsOfThen);
    let place = Place::new(&home.path().join("place")).unwrap();
    let mut cut = open(place.path(), place.mount(&image).unwrap());
    before.compare(&cut);
    assert_eq!(cut.load().unwrap().position, before.position());
    drop(cut);

    // The recovery copies what is shown: another file, which is on the disk.
    store.recover().unwrap();
    script.compare(&store);
    let tape = recorder.tape();
    assert_eq!(tape.bases.len(), 2);
    assert_eq!(tape.now.installed, 1);
    let image = tape
        .crash(tape.len())
        .image(Variant::All, HeadChoice::AsOfThen);
    script.compare(&open(place.path(), place.mount(&image).unwrap()));
}

#[test]
fn a_rename_may_be_taken_back_until_the_directory_was_synced() {
    for tells in [true, false] {
        let home = tempfile::tempdir().unwrap();
        let recorder = Recorder::new(home.path());
        let mut options = options(recorder.wrap());
        options.directory_synced = tells.then(|| recorder.directory_synced());
        let mut store = FileStore::open(home.path(), options).unwrap();
        let mut script = Script::default();
        let ids = [script.worker()];
        store.commit(&script.batch(&ids, 5, 100)).unwrap();
        let before = script.clone();
        recorder.plan(Plan {
            kind: Some(Kind::Sync),
            passes: 0,
            fault: Fault::LoseSync,
            repeat: Repeat::Once,
        });
        store.commit(&script.batch(&ids, 5, 100)).unwrap_err();
        store.recover().unwrap();
        script.compare(&store);

        let tape = recorder.tape();
        let mut explorer = tape.explorer();
        explorer.goto(tape.renames().next().unwrap());
        let taken_back = explorer.crash_without_rename().unwrap();
        let image = taken_back.image(Variant::All, HeadChoice::AsOfThen);
        let place = Place::new(&home.path().join("place")).unwrap();
        before.compare(&open(place.path(), place.mount(&image).unwrap()));
        let image = explorer.crash().image(Variant::All, HeadChoice::AsOfThen);
        script.compare(&open(place.path(), place.mount(&image).unwrap()));
        explorer.goto(tape.len());
        assert_eq!(explorer.crash_without_rename().is_some(), !tells);
    }
}

#[test]
fn a_call_fails_by_its_kind_and_number() {
    let home = tempfile::tempdir().unwrap();
    for kind in [Kind::Write, Kind::Sync, Kind::SetLength] {
        for fault in [
            Fault::Refuse(Errno::Io),
            Fault::Refuse(Errno::NoSpace),
            Fault::Short(Errno::NoSpace),
            Fault::LoseSync,
        ] {
            let path = home.path().join(format!("{kind:?}{fault:?}"));
            let (mut store, script, recorder) = recorded(&path, 2);
            let before = recorder.counts();
            recorder.plan(Plan {
                kind: Some(kind),
                passes: 1,
                fault,
                repeat: Repeat::Sticky,
            });
            let mut on = script.clone();
            let mut failed = false;
            for _ in 0..40 {
                let event = on.event(
                    None,
                    EventType::DIAGNOSTIC,
                    format!("{:?}", "a".repeat(60_000)),
                );
                let batch = Batch {
                    events: vec![event],
                    changes: Vec::new(),
                    must_happen: false,
                };
                failed |= store.commit(&batch).is_err();
            }
            assert!(failed, "{kind:?} {fault:?}");
            assert!(recorder.fired() > 0);
            assert!(recorder.counts().of(Some(kind)) >= before.of(Some(kind)) + 2);
        }
    }
}

#[test]
fn every_kind_of_variant_has_its_share_of_however_few() {
    let home = tempfile::tempdir().unwrap();
    let (_store, _, recorder) = recorded(home.path(), 6);
    let tape = recorder.tape();
    let mut explorer = tape.explorer();
    let mut rng = Rng::with_seed(3);
    let mut few = std::collections::BTreeMap::<&str, u32>::new();
    for index in 0..=tape.len() {
        explorer.goto(index);
        let crash = explorer.crash();
        let variants = crash.variants(&mut rng, 26);
        assert!(variants.len() <= 26);
        // Whoever looks at a few of many from the first on sees all kinds, too.
        for variant in variants.into_iter().take(8) {
            *few.entry(variant.figure()).or_default() += 1;
        }
    }
    assert_eq!(few.len(), 7, "{few:?}");
    assert!(few.values().all(|times| *times >= 5), "{few:?}");
}
