//! The stopped store that is checked: opened above its file, and again when the engine stopped at what it
//! read, so that the next part looks at its own tables.

use std::path::Path;

use worker_runtime_core::{Code, Digest, Position, store::StoreError};

use super::{
    finding::{Cost, Finding},
    look::Look,
};
use crate::{
    OpenError,
    engine::{Engine, Reading},
    error::ENGINE_FILE,
    file::open_stopped,
    fs::{HeadFile, HeadRead, ReaderLock, StateDir},
    store::Witnessed,
};

/// What is said of the witness.
pub(super) enum Head {
    Witness(Witnessed),
    /// There never was one, or not yet.
    None,
    Damaged(&'static str),
}

pub(super) struct StoppedStore {
    dir: StateDir,
    head: Head,
    engine: Engine,
    // Let go after the database.
    _lock: ReaderLock,
}

impl StoppedStore {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let dir = StateDir::open_for_reading(path)?;
        let lock = ReaderLock::acquire(&dir)?;
        let head = read_head(&dir)?;
        let engine = open_stopped(&dir)?;
        Ok(Self {
            dir,
            head,
            engine,
            _lock: lock,
        })
    }

    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// One part of the check. What it could not look at is told; `None` then.
    ///
    /// # Errors
    /// When the file can't be opened again, or a contradiction shows.
    pub(super) fn part<T>(
        &mut self,
        look: &mut Look<'_>,
        part: impl FnOnce(&mut Reading, &mut Look<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, OpenError> {
        let error = match self.engine.read(|rows| part(rows, look)) {
            Ok(done) => return Ok(Some(done)),
            Err(error) => error,
        };
        let is_stopped = !self.engine.is_open();
        if is_stopped {
            self.engine = open_stopped(&self.dir)?;
        }
        match error {
            StoreError::Damaged { table, detail } => look.tell(of_table(table, detail)),
            // The engine came to what can't be: that is in the file.
            StoreError::Read { detail } if is_stopped => look.tell(of_table(ENGINE_FILE, detail)),
            StoreError::Read { detail } => look.tell(unread(detail)),
            other => return Err(other.into()),
        }
        Ok(None)
    }
}

/// The finding that something could not be read, for a reason that is not in the file.
pub(super) fn unread(detail: String) -> Finding {
    Finding::new(Code::CheckUnfinished, Cost::Unknown, ENGINE_FILE, detail)
}

/// The finding that a table can't be read on from some place.
pub(super) fn of_table(table: &'static str, detail: String) -> Finding {
    let code = match table {
        "worker" => Code::WorkerDamaged,
        "log" | "history" | "large" => Code::EventDamaged,
        "file" | "meta" => Code::StateDamaged,
        _ => Code::RecordDamaged,
    };
    Finding::new(code, Cost::Data, table, detail)
}

fn read_head(dir: &StateDir) -> Result<Head, OpenError> {
    let read = HeadFile::read(dir).map_err(|source| OpenError::Io {
        detail: format!("can't open head: {source}"),
    })?;
    Ok(match read {
        HeadRead::Valid(witness) => Head::Witness(Witnessed {
            position: Position(witness.position),
            chain: Digest(witness.chain.to_be_bytes()),
            incarnation: witness.incarnation,
        }),
        HeadRead::Invalid(reason) => match reason.damage() {
            Some(detail) => Head::Damaged(detail),
            None => Head::None,
        },
    })
}
