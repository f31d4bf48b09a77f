//! A disk that fills, a small one of its own: new work is refused before anything is written, what must
//! happen still does, reads go on, and with room the store goes on without being opened again (I9).

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use worker_runtime_core::{
    WorkerId,
    store::{Batch, Store, StoreError, conformance::Script},
};

use super::{close, options};
use crate::{FileOptions, FileStore, fs::BALLAST_BYTES_DEFAULT};

const DISK: &str = "WORKER_RUNTIME_TEST_DISK";
/// The disk could not be made: user namespaces are not for everybody.
const NOT_PERMITTED: i32 = 77;

#[test]
fn a_disk_that_fills_refuses_new_work_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let script = r#"
        mount -t tmpfs -o size=64m none "$1" || exit 77
        export WORKER_RUNTIME_TEST_DISK="$1"
        exec "$2" --ignored --exact --nocapture file::tests::full::on_a_small_disk"#;
    let unshared = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .arg(home.path())
        .arg(std::env::current_exe().unwrap())
        .output();
    match unshared {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.contains("1 passed"), "{text}");
        }
        Ok(output)
            if output.status.code() != Some(NOT_PERMITTED) && !is_refused(&output.stderr) =>
        {
            panic!("{}", String::from_utf8_lossy(&output.stderr));
        }
        // Where every test must run, a word that nobody reads is not enough.
        other => {
            assert!(std::env::var_os("CI").is_none(), "no disk here: {other:?}");
            eprintln!("no disk of its own could be made here: {other:?}");
        }
    }
}

fn is_refused(stderr: &[u8]) -> bool {
    let text = String::from_utf8_lossy(stderr);
    text.contains("unshare:") && text.contains("not permitted")
}

fn with_ballast() -> FileOptions {
    FileOptions {
        ballast_bytes: BALLAST_BYTES_DEFAULT,
        ..options()
    }
}

/// Takes all that is left of the disk.
fn fill(path: &Path) -> PathBuf {
    let path = path.join("backups/filler");
    let mut file = fs::File::create(&path).unwrap();
    let block = vec![7; 64 << 10];
    while file.write_all(&block).is_ok() {}
    while file.write_all(&block[..1]).is_ok() {}
    path
}

fn is_full(result: &Result<(), StoreError>) -> bool {
    matches!(result, Err(StoreError::Full { .. }))
}

fn must(script: &mut Script, ids: &[WorkerId]) -> Batch {
    Batch {
        must_happen: true,
        ..script.batch(ids, 8, 300)
    }
}

#[test]
#[ignore = "needs a disk of its own; started by the test beside it"]
fn on_a_small_disk() {
    let disk = PathBuf::from(std::env::var_os(DISK).unwrap());
    let mut store = FileStore::open(&disk, with_ballast()).unwrap();
    let mut script = Script::default();
    let ids = [script.worker(), script.worker()];
    store.commit(&script.batch(&ids, 200, 300)).unwrap();
    let filler = fill(&disk);

    // Batches are taken until one had to take of the reserve.
    let mut taken = 0;
    let refused = loop {
        let before = script.clone();
        let batch = script.batch(&ids, 40, 3_000);
        match store.commit(&batch) {
            Ok(()) => taken += 1,
            refused => {
                script = before;
                break refused;
            }
        }
        assert!(taken < 500, "the disk is full");
    };
    assert!(is_full(&refused), "{refused:?}");
    assert!(
        taken > 0,
        "the batch that found the disk full was completed"
    );
    assert!(is_full(&store.has_room()));
    script.compare(&store);
    for _ in 0..5 {
        store.commit(&must(&mut script, &ids)).unwrap();
    }
    script.compare(&store);
    store.idle().unwrap();

    // The next opening finds the disk as full.
    drop(store);
    let mut store = FileStore::open(&disk, with_ballast()).unwrap();
    assert!(is_full(&store.has_room()));
    assert!(is_full(&store.commit(&script.clone().batch(&ids, 1, 10))));
    script.compare(&store);
    store.commit(&must(&mut script, &ids)).unwrap();

    fs::remove_file(filler).unwrap();
    store.has_room().unwrap();
    store.commit(&script.batch(&ids, 40, 3_000)).unwrap();
    script.compare(&store);
    close(store);
    script.compare(&FileStore::open(&disk, with_ballast()).unwrap());
}
