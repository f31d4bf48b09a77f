use std::os::unix::fs::{MetadataExt, symlink};
use std::time::Duration;

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn lock(dir: &StateDir) -> WriterLock {
    WriterLock::acquire(dir, Duration::ZERO).unwrap()
}

fn create(path: &Path) -> Result<StateDir, DirError> {
    StateDir::open_for_writing(path, WhenMissing::Create)
}

/// Path, length and mtime of everything in a directory, and of itself.
fn footprint(path: &Path) -> Vec<(PathBuf, u64, i64, i64)> {
    let mut all = vec![path.to_owned()];
    all.extend(
        fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path()),
    );
    all.sort();
    all.into_iter()
        .map(|path| {
            let found = fs::symlink_metadata(&path).unwrap();
            (path, found.size(), found.mtime(), found.mtime_nsec())
        })
        .collect()
}

fn make_store(path: &Path) {
    let table: redb::TableDefinition<u64, u64> = redb::TableDefinition::new("t");
    let database = redb::Database::create(path.join(STORE)).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(table).unwrap().insert(1, 2).unwrap();
    write.commit().unwrap();
}

#[test]
fn a_new_directory_is_for_its_owner_only() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("deep/state");
    let dir = create(&path).unwrap();
    dir.prepare(&lock(&dir)).unwrap();

    assert!(!dir.has_store());
    for made in [
        dir.path(),
        &dir.backups(),
        &dir.lost_and_found(),
        &dir.tmp(),
    ] {
        assert_eq!(mode(made), 0o700, "{}", made.display());
    }
    assert_eq!(mode(&dir.lock()), 0o600);
}

#[test]
fn an_existing_empty_directory_is_taken_and_closed_to_others() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let dir = create(home.path()).unwrap();
    dir.prepare(&lock(&dir)).unwrap();
    assert_eq!(mode(home.path()), 0o700);
}

#[test]
fn a_directory_of_somebody_else_is_refused_and_left_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    for name in ["zebra", "lock", "apples"] {
        fs::write(home.path().join(name), "theirs").unwrap();
    }
    let before = footprint(home.path());
    match create(home.path()) {
        Err(DirError::Foreign { entry, .. }) => assert_eq!(entry, "apples"),
        other => panic!("{other:?}"),
    }
    assert_eq!(footprint(home.path()), before);
}

#[test]
fn foreign_files_beside_a_store_are_none_of_our_business() {
    let home = tempfile::tempdir().unwrap();
    make_store(home.path());
    fs::write(home.path().join("notes.txt"), "mine").unwrap();
    let dir = create(home.path()).unwrap();
    dir.prepare(&lock(&dir)).unwrap();
    assert!(dir.has_store());
    assert_eq!(fs::read(home.path().join("notes.txt")).unwrap(), b"mine");
}

#[test]
fn a_first_start_that_was_killed_before_the_store_was_made_can_be_repeated() {
    let home = tempfile::tempdir().unwrap();
    let dir = create(home.path()).unwrap();
    dir.prepare(&lock(&dir)).unwrap();
    assert!(matches!(
        StateDir::open_for_reading(home.path()),
        Err(DirError::NoStore { .. })
    ));
    create(home.path()).unwrap();
}

#[test]
fn a_store_that_was_lost_is_not_made_anew() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(HEAD), [0; 512]).unwrap();
    assert!(matches!(
        create(home.path()),
        Err(DirError::StoreLost { .. })
    ));
    assert!(matches!(
        StateDir::open_for_reading(home.path()),
        Err(DirError::StoreLost { .. })
    ));
}

#[test]
fn what_is_no_directory_or_not_there_is_said_so() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        assert!(matches!(create(&path), Err(DirError::NotADirectory { .. })));
        assert!(matches!(
            StateDir::open_for_reading(&path),
            Err(DirError::NotADirectory { .. })
        ));
    }
    let missing = home.path().join("missing");
    assert!(matches!(
        StateDir::open_for_reading(&missing),
        Err(DirError::Missing { .. })
    ));
    assert!(matches!(
        StateDir::open_for_writing(&missing, WhenMissing::Refuse),
        Err(DirError::Missing { .. })
    ));
    assert!(!missing.exists());
    assert!(matches!(
        StateDir::open_for_writing(home.path(), WhenMissing::Refuse),
        Err(DirError::NoStore { .. })
    ));
}

#[test]
fn a_place_that_can_not_be_written_is_said_so() {
    let error = write_error("make", Path::new("/x"))(ErrorKind::ReadOnlyFilesystem.into());
    assert!(matches!(error, DirError::NotWritable { .. }), "{error:?}");
    let error = write_error("make", Path::new("/x"))(ErrorKind::PermissionDenied.into());
    assert!(matches!(error, DirError::NotWritable { .. }), "{error:?}");
    let error = write_error("make", Path::new("/x"))(ErrorKind::StorageFull.into());
    assert!(matches!(error, DirError::Io { .. }), "{error:?}");
}

#[test]
fn each_way_of_not_being_a_store_file_has_its_name() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join(STORE);
    let mut wrong = vec![0; 8192];
    wrong[..4].copy_from_slice(b"redb");
    let cases: [(&[u8], FileFault); 3] = [
        (b"", FileFault::Empty),
        (&REDB_MAGIC, FileFault::CutOff { length_bytes: 9 }),
        (&wrong, FileFault::WrongMagic),
    ];
    for (bytes, expected) in cases {
        fs::write(&store, bytes).unwrap();
        for opened in [create(home.path()), StateDir::open_for_reading(home.path())] {
            match opened {
                Err(DirError::NotAStoreFile { fault, .. }) => assert_eq!(fault, expected),
                other => panic!("{other:?}"),
            }
        }
    }
    fs::remove_file(&store).unwrap();
    symlink("/dev/null", &store).unwrap();
    assert!(matches!(
        create(home.path()),
        Err(DirError::NotAStoreFile {
            fault: FileFault::NotAFile,
            ..
        })
    ));
}

#[test]
fn opening_for_reading_leaves_everything_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    make_store(home.path());
    fs::create_dir(home.path().join(TMP)).unwrap();
    fs::write(home.path().join("tmp/leftover"), "x").unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let before = (footprint(home.path()), footprint(&home.path().join(TMP)));
    let dir = StateDir::open_for_reading(home.path()).unwrap();
    assert!(dir.has_store());
    assert_eq!((footprint(home.path()), footprint(&dir.tmp())), before);
    assert_eq!(mode(home.path()), 0o755);
}

#[test]
fn leftovers_go_only_once_the_lock_is_held() {
    let home = tempfile::tempdir().unwrap();
    make_store(home.path());
    let tmp = home.path().join(TMP);
    fs::create_dir_all(tmp.join("directory/inner")).unwrap();
    fs::write(tmp.join("file"), "x").unwrap();
    symlink(home.path().join(STORE), tmp.join("link")).unwrap();
    symlink("nowhere", tmp.join("dangling")).unwrap();

    let dir = create(home.path()).unwrap();
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 4);
    dir.prepare(&lock(&dir)).unwrap();
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
    assert!(dir.store().exists(), "a link in tmp/ must not be followed");
}

#[test]
fn a_tmp_that_leads_elsewhere_is_not_cleaned() {
    let home = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("precious"), "x").unwrap();
    make_store(home.path());
    symlink(elsewhere.path(), home.path().join(TMP)).unwrap();
    let dir = create(home.path()).unwrap();
    assert!(matches!(
        dir.prepare(&lock(&dir)),
        Err(DirError::NotADirectory { .. })
    ));
    assert!(elsewhere.path().join("precious").exists());
}
