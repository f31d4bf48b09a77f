//! Stores that a session left, as files; and what is done to them.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use worker_runtime_persist::FileStore;

use super::{Harm, PART, open_file, store_file};
use crate::{
    keep::{self, Seen},
    report::{Doing, HarnessError, Violation},
    settings::Settings,
    workload::{
        Client, ClientOptions,
        limits::{clock, file_options},
        on_one_thread,
    },
};

const STEPS: usize = 60;

/// Leases that are taken in each incarnation, beside those that the client takes anyway.
const LEASES: usize = 3;

/// A moment that no file gets by itself.
const LONG_AGO: Duration = Duration::from_secs(1_000_000_000);

/// What a store consists of, as far as it matters when it is stopped.
pub(super) struct Files {
    pub(super) store: Vec<u8>,
    pub(super) head: Vec<u8>,
}

/// The store that a session left, and how it was before its last incarnation.
pub(super) struct Made {
    pub(super) older: Files,
    pub(super) last: Files,
    /// What its client saw broken meanwhile.
    pub(super) broken: Vec<Violation>,
}

/// Bytes and modification time of each file of a directory.
#[derive(PartialEq)]
pub(super) struct Look(BTreeMap<String, (Vec<u8>, SystemTime)>);

/// Plays a session. Its last incarnation is closed clean, or just let go of, by the seed.
pub(super) fn make(settings: &Settings, seed: u64) -> Result<Made, HarnessError> {
    let directory = settings.scratch()?;
    let clock = clock();
    let mut client = Client::new(ClientOptions {
        seed,
        meter: Arc::new(|| 0),
        clock: clock.clone(),
    });
    let tokio = on_one_thread()?;
    let mut incarnation = async |number: u64| -> Result<Files, HarnessError> {
        let options = file_options(&clock, seed.wrapping_add(number << 16));
        let store = FileStore::open(directory.path(), options).doing("make a store")?;
        let opened = client.open(Box::new(store)).await?;
        opened.doing("open the Runtime")?;
        client.play(STEPS).await;
        client.take_leases(LEASES).await;
        match (seed + number) % 2 {
            0 => client.close().await.doing("close the Runtime")?,
            _ => client.abandon().await,
        }
        Files::take(directory.path())
    };
    let (older, last) = tokio.block_on(async {
        let older = incarnation(0).await?;
        Ok::<_, HarnessError>((older, incarnation(1).await?))
    })?;
    Ok(Made {
        older,
        last,
        broken: client.into_journal().violations,
    })
}

impl Files {
    fn take(directory: &Path) -> Result<Self, HarnessError> {
        Ok(Self {
            store: fs::read(store_file(directory)).doing("read the store's file")?,
            head: fs::read(directory.join("head")).doing("read the witness")?,
        })
    }

    /// Makes them a state directory.
    pub(super) fn put(&self, directory: &Path) -> Result<(), HarnessError> {
        fs::write(store_file(directory), &self.store).doing("write the store's file")?;
        fs::write(directory.join("head"), &self.head).doing("write the witness")
    }

    pub(super) fn look(directory: &Path) -> Result<Look, HarnessError> {
        let mut look = BTreeMap::new();
        for entry in fs::read_dir(directory).doing("look into the directory")? {
            let entry = entry.doing("look into the directory")?;
            let metadata = entry.metadata().doing("look at a file")?;
            let modified = metadata.modified().doing("look at a file")?;
            let bytes = fs::read(entry.path()).doing("read a file")?;
            let name = entry.file_name().to_string_lossy().into_owned();
            look.insert(name, (bytes, modified));
        }
        Ok(Look(look))
    }

    /// Makes the harm good.
    pub(super) fn undo(&self, file: &fs::File, harm: Harm) -> Result<(), HarnessError> {
        let (from, to) = match harm {
            Harm::Flip { offset, .. } => (offset, offset + 1),
            Harm::CutOff { len } => (len, self.store.len()),
        };
        let bytes = self.store.get(from..to).unwrap_or_default();
        file.write_all_at(bytes, from as u64)
            .doing("write the store's file")
    }
}

/// Does it to the file. Its modification time is one that any write would change.
pub(super) fn harm(directory: &Path, harm: Harm) -> Result<fs::File, HarnessError> {
    let file = open_file(&store_file(directory))?;
    match harm {
        Harm::Flip { offset, mask } => {
            let mut byte = [0];
            file.read_exact_at(&mut byte, offset as u64)
                .doing("read the store's file")?;
            let changed = byte.map(|byte| byte ^ mask);
            file.write_all_at(&changed, offset as u64)
        }
        Harm::CutOff { len } => file.set_len(len as u64),
    }
    .doing("write the store's file")?;
    file.set_modified(SystemTime::UNIX_EPOCH + LONG_AGO)
        .doing("set the time of the store's file")?;
    Ok(file)
}

/// Keeps a harmed store.
pub(super) fn keep(
    directory: &Path,
    at: &str,
    violations: &[Violation],
) -> Result<(), HarnessError> {
    let files = Files::take(directory)?;
    let seen = Seen {
        part: PART,
        at,
        store: &files.store,
        head: Some(&files.head),
        journal: &(),
    };
    keep::keep(&seen, violations)
}
