//! Stores that can't be opened: each is refused with its code, in words that help, and left as it is.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use twox_hash::XxHash3_64;
use worker_runtime_core::{
    Code,
    worker::{CreateWorker, Intent},
};
use worker_runtime_persist::{FileOptions, FileStore, OpenError, ReadStore};

use super::{
    order::Part,
    place::{HostProcess, Place, host_command, host_program},
};

/// Every file below, with what is in it.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
            all.insert(path, Vec::new());
        } else {
            let bytes = fs::read(&path).unwrap();
            all.insert(path, bytes);
        }
    }
    all
}

#[test]
fn a_second_process_is_told_who_has_the_store() {
    let place = Place::new();
    let mut host = place.serve();
    host.create(CreateWorker::new(Intent::Assistant { purpose: None }));
    let pid = host.pid();

    let refused = FileStore::open(&place.state(), FileOptions::default()).unwrap_err();
    assert_eq!(refused.code(), Code::StateLocked);
    assert!(matches!(refused, OpenError::Locked { pid: Some(holder), .. } if holder == pid));
    let refused = ReadStore::open(&place.state()).unwrap_err();
    assert!(matches!(refused, OpenError::Locked { pid: Some(holder), .. } if holder == pid));

    let (code, message) = place.start(Part::Serve).not_opened();
    assert_eq!(code, "WR-STATE-LOCKED");
    assert!(message.contains(&pid.to_string()), "{message}");

    // Not a word of it is believed once the holder is dead.
    host.kill();
    place.serve();
}

/// A value as the store seals it: checksum over table, key and rest, version of the value, record.
fn sealed(table: &str, key: &str, record: &[u8]) -> Vec<u8> {
    let mut covered = vec![1];
    covered.extend_from_slice(record);
    let sum = XxHash3_64::oneshot(table.as_bytes());
    let sum = XxHash3_64::oneshot_with_seed(sum, key.as_bytes());
    let sum = XxHash3_64::oneshot_with_seed(sum, &covered);
    let mut value = sum.to_le_bytes().to_vec();
    value.extend_from_slice(&covered);
    value
}

#[test]
fn a_store_of_a_newer_format_is_refused_by_both_its_numbers() {
    let place = Place::new();
    let host = place.serve();
    assert!(host.terminate().success());
    let file = place.state().join("runtime.redb");
    let mut bytes = fs::read(&file).unwrap();
    let ours = sealed("meta", "format", &1_u32.to_le_bytes());
    let newer = sealed("meta", "format", &2_u32.to_le_bytes());
    let places: Vec<usize> = (0..bytes.len() - ours.len())
        .filter(|at| bytes[*at..].starts_with(&ours))
        .collect();
    assert!(
        !places.is_empty(),
        "the format is stored as it is documented"
    );
    for at in places {
        bytes[at..at + newer.len()].copy_from_slice(&newer);
    }
    fs::write(&file, &bytes).unwrap();

    let refused = ReadStore::open(&place.state()).unwrap_err();
    assert!(matches!(refused, OpenError::Newer { found: 2, known: 1 }));
    assert_eq!(refused.code(), Code::StateNewer);
    let (code, message) = place.start(Part::Serve).not_opened();
    assert_eq!(code, "WR-STATE-NEWER");
    assert!(
        message.contains("format 2") && message.contains("up to 1"),
        "{message}"
    );
    let left = fs::read(&file).unwrap();
    let newer_left = (0..left.len() - newer.len()).any(|at| left[at..].starts_with(&newer));
    assert!(newer_left, "what the newer program wrote is still there");
}

#[test]
fn a_directory_with_other_things_in_it_is_left_alone() {
    let place = Place::new();
    fs::create_dir(place.state()).unwrap();
    fs::write(place.state().join("thesis.txt"), "years of work").unwrap();
    let before = contents(&place.state());
    let (code, message) = place.start(Part::Serve).not_opened();
    assert_eq!(code, "WR-STATE-FOREIGN");
    assert!(message.contains("thesis.txt"), "{message}");
    assert_eq!(contents(&place.state()), before);
}

/// The host, run as somebody to whom permissions matter.
fn unprivileged(place: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return host_command();
    }
    // Where it was built, others may not be let in.
    let copy = place.join("crash-host");
    fs::copy(host_program(), &copy).unwrap();
    let mut command = Command::new("setpriv");
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    command.args(nobody).arg(copy);
    command
}

#[test]
fn a_directory_that_may_not_be_written_is_refused_by_its_name() {
    let place = Place::new();
    let directory = place.state();
    fs::create_dir(&directory).unwrap();
    let parent = directory.parent().unwrap();
    fs::set_permissions(parent, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o555)).unwrap();
    let host = HostProcess::spawn(&mut unprivileged(parent), &place.order(Part::Serve));
    let (code, message) = host.not_opened();
    assert_eq!(code, "WR-STATE-DENIED");
    assert!(message.contains(&*directory.to_string_lossy()), "{message}");
    assert_eq!(contents(&directory), BTreeMap::new());
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
}
