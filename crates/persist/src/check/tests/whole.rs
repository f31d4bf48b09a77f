//! Whole stores are clean, however they were left, and a check changes nothing of them.

use std::{fs, path::Path};

use worker_runtime_core::Code;

use super::{
    CheckDepth, check,
    fill::{Filled, Left, filled},
    is_clean, told,
};
use crate::OpenError;

/// The bytes and times of every file.
fn files(path: &Path) -> Vec<(std::path::PathBuf, Vec<u8>, std::time::SystemTime)> {
    let entries = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.is_file())
        .map(|path| {
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            (path.clone(), fs::read(&path).unwrap(), modified)
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_whole_store_is_clean_and_stays_as_it_was() {
    for left in [Left::Closed, Left::Killed] {
        let filled = filled(left);
        let before = files(filled.path());
        let checked = is_clean(filled.path(), &format!("{left:?}"));
        assert_eq!(checked.workers, 6);
        assert_eq!(checked.position, filled.position);
        assert!(checked.events > 300 && checked.rows > 80, "{checked:?}");
        let after = files(filled.path());
        let after: Vec<_> = after
            .into_iter()
            .filter(|(path, _, _)| before.iter().any(|(was, _, _)| was == path))
            .collect();
        assert!(after == before, "{left:?}");
    }
}

#[test]
fn what_can_not_be_checked_is_an_error_of_the_opening() {
    struct Nobody;
    impl super::CheckWatcher for Nobody {
        fn found(&mut self, finding: super::Finding) {
            panic!("{finding:?}");
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let error = check(directory.path(), CheckDepth::Full, &mut Nobody).unwrap_err();
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    fs::write(directory.path().join("notes"), "mine").unwrap();
    let error = check(directory.path(), CheckDepth::Full, &mut Nobody).unwrap_err();
    assert!(
        matches!(error, OpenError::Foreign { .. } | OpenError::Missing { .. }),
        "{error}"
    );
    let held = tempfile::tempdir().unwrap();
    let store = crate::FileStore::open(held.path(), crate::FileOptions::default()).unwrap();
    let error = check(held.path(), CheckDepth::Full, &mut Nobody).unwrap_err();
    assert!(
        matches!(error, OpenError::Locked { pid: Some(_), .. }),
        "{error}"
    );
    drop(store);
}

#[test]
fn an_older_file_under_a_newer_witness_went_back() {
    let Filled {
        directory, older, ..
    } = filled(Left::Closed);
    fs::write(directory.path().join("runtime.redb"), older).unwrap();
    for depth in [CheckDepth::Quick, CheckDepth::Full] {
        let (found, _) = told(directory.path(), depth);
        assert_eq!(found.codes(), [Code::StateWentBack], "{found:?}");
    }
}
