use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use super::super::dir::WhenMissing;
use super::*;

const HOLD_DIR: &str = "WORKER_RUNTIME_TEST_HOLD";

fn state_dir(home: &tempfile::TempDir) -> StateDir {
    StateDir::open_for_writing(home.path(), WhenMissing::Create).unwrap()
}

fn writer(dir: &StateDir) -> Result<WriterLock, LockError> {
    WriterLock::acquire(dir, Duration::ZERO)
}

fn holder_of(error: LockError) -> (LockRecord, Liveness) {
    match error {
        LockError::Held {
            holder: Holder::Named { record, liveness },
            ..
        } => (record, liveness),
        other => panic!("{other:?}"),
    }
}

/// Another process that holds the lock until it is killed.
fn hold_elsewhere(dir: &StateDir) -> Child {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "fs::lock::tests::holds_until_killed"])
        .args(["--ignored", "--nocapture"])
        .env(HOLD_DIR, dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let held = output.lines().any(|line| line.unwrap().contains("holding"));
    assert!(held, "the other process did not get the lock");
    child
}

#[test]
#[ignore = "the other process of the tests beside it"]
fn holds_until_killed() {
    let path = env::var_os(HOLD_DIR).unwrap();
    let dir = StateDir::open_for_writing(path.as_ref(), WhenMissing::Create).unwrap();
    let lock = writer(&dir).unwrap();
    lock.publish(3).unwrap();
    lock.address().publish("127.0.0.1:7621").unwrap();
    println!("holding");
    // Ends when killed, or with the process that started it.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
}

#[test]
fn a_second_process_learns_who_holds_it_until_that_one_is_killed() {
    let home = tempfile::tempdir().unwrap();
    let dir = state_dir(&home);
    let mut other = hold_elsewhere(&dir);

    for error in [
        writer(&dir).unwrap_err(),
        ReaderLock::acquire(&dir).unwrap_err(),
    ] {
        let message = error.to_string();
        let expected = format!("is held by process {} at 127.0.0.1:7621", other.id());
        assert!(message.ends_with(&expected), "{message}");
        let (record, liveness) = holder_of(error);
        assert_eq!(record.process.pid, other.id());
        assert_eq!(liveness, Liveness::Alive);
        assert_eq!(record.incarnation, Some(3));
    }

    other.kill().unwrap();
    other.wait().unwrap();
    drop(ReaderLock::acquire(&dir).unwrap());
    writer(&dir).unwrap();
}

#[test]
fn the_same_process_is_refused_too_and_gets_it_after_the_drop() {
    let home = tempfile::tempdir().unwrap();
    let dir = state_dir(&home);
    let first = writer(&dir).unwrap();
    let (record, _) = holder_of(writer(&dir).unwrap_err());
    assert_eq!(record.process, ProcessIdentity::current());
    drop(first);
    writer(&dir).unwrap();
}

#[test]
fn readers_share_and_a_writer_gives_up_on_them_only_after_its_wait() {
    let home = tempfile::tempdir().unwrap();
    let dir = state_dir(&home);
    drop(writer(&dir).unwrap());
    let readers = [
        ReaderLock::acquire(&dir).unwrap(),
        ReaderLock::acquire(&dir).unwrap(),
    ];

    let started = Instant::now();
    let wait = Duration::from_millis(60);
    let refused = WriterLock::acquire(&dir, wait).unwrap_err();
    assert!(matches!(refused, LockError::Readers { waited_ms, .. } if waited_ms >= 60));
    assert!(started.elapsed() >= wait);
    drop(readers);
    writer(&dir).unwrap();
}

#[test]
fn a_waiting_writer_gets_the_lock_when_the_reader_ends() {
    let home = tempfile::tempdir().unwrap();
    let dir = state_dir(&home);
    drop(writer(&dir).unwrap());
    let reader = ReaderLock::acquire(&dir).unwrap();
    thread::scope(|scope| {
        let (starting, started) = mpsc::channel();
        let waiting = scope.spawn({
            let dir = &dir;
            move || {
                starting.send(()).unwrap();
                WriterLock::acquire(dir, Duration::from_secs(60))
            }
        });
        started.recv().unwrap();
        drop(reader);
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn a_reader_changes_neither_the_lock_file_nor_makes_one() {
    let home = tempfile::tempdir().unwrap();
    let dir = state_dir(&home);
    drop(ReaderLock::acquire(&dir).unwrap());
    assert!(!dir.lock().exists());

    drop(writer(&dir).unwrap());
    let before = fs::metadata(dir.lock()).unwrap();
    let bytes = fs::read(dir.lock()).unwrap();
    drop(ReaderLock::acquire(&dir).unwrap());
    let after = fs::metadata(dir.lock()).unwrap();
    assert_eq!(
        (before.mtime(), before.mtime_nsec()),
        (after.mtime(), after.mtime_nsec())
    );
    assert_eq!(fs::read(dir.lock()).unwrap(), bytes);
}

#[test]
fn a_record_of_a_dead_process_is_read_again_until_the_holder_has_written_its_own() {
    let home = tempfile::tempdir().unwrap();
    let dir = state_dir(&home);
    let dead = LockRecord {
        process: ProcessIdentity {
            start_time_ticks: Some(1),
            ..ProcessIdentity::current()
        },
        address: Some("old".to_owned()),
        incarnation: None,
    };
    fs::write(dir.lock(), encode(&dead).unwrap()).unwrap();
    // The lock is taken and the record not yet written: the moment in which a crash's record stands.
    let file = LockFile(private_file().open(dir.lock()).unwrap());
    assert!(try_flock(&file, FlockOperation::NonBlockingLockExclusive, &dir.lock()).unwrap());

    let seen = thread::scope(|scope| {
        let asking = scope.spawn(|| writer(&dir).unwrap_err());
        let held = WriterLock::announce(file, dir.lock()).unwrap();
        let seen = holder_of(asking.join().unwrap());
        drop(held);
        seen
    });
    assert_eq!(seen.1, Liveness::Alive);
    assert_eq!(seen.0.address, None);
}

/// A process that was killed leaves its address behind, and a child of it may hold the lock for a
/// moment longer: the port is anybody's by then.
#[test]
fn the_address_of_a_dead_process_is_nobodys() {
    let home = tempfile::tempdir().unwrap();
    let dir = state_dir(&home);
    let dead = LockRecord {
        process: ProcessIdentity {
            start_time_ticks: Some(1),
            ..ProcessIdentity::current()
        },
        address: Some("127.0.0.1:7621".to_owned()),
        incarnation: None,
    };
    let held = writer(&dir).unwrap();
    fs::write(dir.lock(), encode(&dead).unwrap()).unwrap();
    assert_eq!(serving(&dir), None);
    let error = writer(&dir).unwrap_err();
    assert!(!error.to_string().contains("7621"), "{error}");
    assert_eq!(holder_of(error).1, Liveness::Dead);
    drop(held);
}

#[test]
fn a_record_that_is_torn_or_empty_names_nobody() {
    let home = tempfile::tempdir().unwrap();
    let dir = state_dir(&home);
    let lock = writer(&dir).unwrap();
    let whole = fs::read(dir.lock()).unwrap();
    assert_eq!(whole.len(), RECORD_BYTES);
    let text = String::from_utf8(whole.clone()).unwrap();
    let pid = std::process::id();
    // One digit changed, the length kept.
    let other_pid = text.replace(&format!("\"pid\":{pid}"), &format!("\"pid\":{}", pid ^ 1));
    assert_eq!(other_pid.len(), RECORD_BYTES);
    assert_ne!(text, other_pid);

    for torn in [other_pid.as_bytes(), &whole[..100], b""] {
        fs::write(dir.lock(), torn).unwrap();
        match writer(&dir) {
            Err(LockError::Held { holder, .. }) => assert_eq!(holder, Holder::Unknown),
            other => panic!("{other:?}"),
        }
    }
    drop(lock);
}

#[test]
fn publishing_rewrites_the_record_in_place() {
    let home = tempfile::tempdir().unwrap();
    let dir = state_dir(&home);
    let lock = writer(&dir).unwrap();
    lock.publish(9).unwrap();
    lock.address().publish(&"a".repeat(200)).unwrap();
    lock.address().publish("b").unwrap();
    assert_eq!(fs::metadata(dir.lock()).unwrap().len(), RECORD_BYTES as u64);
    let (record, _) = holder_of(writer(&dir).unwrap_err());
    assert_eq!(record.address.as_deref(), Some("b"));
    assert_eq!(record.incarnation, Some(9));

    let too_long = lock.address().publish(&"c".repeat(RECORD_BYTES));
    assert!(matches!(too_long, Err(LockError::RecordTooLong { .. })));
    let (record, _) = holder_of(writer(&dir).unwrap_err());
    assert_eq!(record.address.as_deref(), Some("b"));
}

#[test]
fn a_lock_on_a_file_that_was_removed_counts_for_nothing() {
    let home = tempfile::tempdir().unwrap();
    let dir = state_dir(&home);
    let file = private_file()
        .create(true)
        .truncate(false)
        .open(dir.lock())
        .map(LockFile)
        .unwrap();
    assert!(still_at(&file, &dir.lock()));
    fs::remove_file(dir.lock()).unwrap();
    assert!(!still_at(&file, &dir.lock()));
    let _new = writer(&dir).unwrap();
    assert!(!still_at(&file, &dir.lock()));
}

#[test]
fn a_child_that_still_has_the_file_open_does_not_keep_the_lock() {
    let home = tempfile::tempdir().unwrap();
    let dir = state_dir(&home);
    let lock = writer(&dir).unwrap();
    let inherited = lock.file.0.try_clone().unwrap();
    drop(lock);
    writer(&dir).unwrap();
    drop(inherited);
}

#[test]
fn only_a_live_holder_or_the_end_of_the_grace_is_an_answer() {
    let home = tempfile::tempdir().unwrap();
    let dir = state_dir(&home);
    let lock = writer(&dir).unwrap();
    let (file, path, now) = (&lock.file, &lock.path, Instant::now());
    let long_ago = now.checked_sub(RECORD_GRACE).unwrap();
    let (_, liveness) = holder_of(refuse_if_named(file, path, now).unwrap_err());
    assert_eq!(liveness, Liveness::Alive);

    let mut dead = lock.record.lock().unwrap().clone();
    dead.process.start_time_ticks = Some(1);
    write_record(file, path, &dead).unwrap();
    refuse_if_named(file, path, now).unwrap();
    let refused = refuse_if_named(file, path, long_ago).unwrap_err();
    assert!(refused.to_string().contains("which has ended"), "{refused}");
    assert_eq!(holder_of(refused).1, Liveness::Dead);

    fs::write(path, "").unwrap();
    refuse_if_named(file, path, now).unwrap();
    let refused = refuse_if_named(file, path, long_ago).unwrap_err();
    assert!(
        refused.to_string().contains("not named itself"),
        "{refused}"
    );
}
