//! The storage that stands between redb and the store's file: it records every call that changes
//! the file, forwards everything, and fails what a [`Plan`] names.

use std::{
    fmt, fs,
    io::{self, ErrorKind},
    ops::Bound,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redb::{BackendError, StorageBackend};
use worker_runtime_persist::{DirectorySynced, WrapBackend};

use super::{
    pages::Pages,
    plan::{Fault, Kind, Plan, Planned},
    tape::{Call, Recorded, Standing, SyncResult, Tape},
};

const SECTOR_BYTES: usize = 512;

/// How many calls were made, refused ones included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Changes of length.
    pub set_lengths: u64,
    /// Syncs.
    pub syncs: u64,
    /// Questions for the length.
    pub lengths: u64,
}

impl Counts {
    /// Calls of a kind; of all kinds with `None`.
    pub fn of(&self, kind: Option<Kind>) -> u64 {
        match kind {
            Some(Kind::Read) => self.reads,
            Some(Kind::Write) => self.writes,
            Some(Kind::SetLength) => self.set_lengths,
            Some(Kind::Sync) => self.syncs,
            Some(Kind::Length) => self.lengths,
            None => self.reads + self.writes + self.set_lengths + self.syncs + self.lengths,
        }
    }

    /// Of each kind, as many as both have.
    pub fn fewest(&self, other: &Self) -> Self {
        Self {
            reads: self.reads.min(other.reads),
            writes: self.writes.min(other.writes),
            set_lengths: self.set_lengths.min(other.set_lengths),
            syncs: self.syncs.min(other.syncs),
            lengths: self.lengths.min(other.lengths),
        }
    }

    fn add(&mut self, kind: Kind) {
        let count = match kind {
            Kind::Read => &mut self.reads,
            Kind::Write => &mut self.writes,
            Kind::SetLength => &mut self.set_lengths,
            Kind::Sync => &mut self.syncs,
            Kind::Length => &mut self.lengths,
        };
        *count += 1;
    }
}

/// Records all storages of one state directory. Clones are handles of the same record.
#[derive(Clone)]
pub struct Recorder(Arc<Shared>);

struct Shared {
    state_dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    files: Vec<File>,
    calls: Vec<Recorded>,
    head: Option<Arc<[u8]>>,
    counts: Counts,
    planned: Planned,
}

struct File {
    inode: Option<u64>,
    base: Pages,
}

impl Recorder {
    /// For the store of a directory, which may not be there yet.
    pub fn new(state_dir: &Path) -> Self {
        Self(Arc::new(Shared {
            state_dir: state_dir.to_owned(),
            state: Mutex::default(),
        }))
    }

    /// What `FileOptions::wrap_backend` takes.
    pub fn wrap(&self) -> WrapBackend {
        let recorder = self.clone();
        Arc::new(move |inner| Arc::new(Recording::new(recorder.clone(), inner)))
    }

    /// The same, over what another wrapping makes, as of a store on an image.
    pub fn wrap_over(&self, below: WrapBackend) -> WrapBackend {
        let recorder = self.clone();
        Arc::new(move |inner| Arc::new(Recording::new(recorder.clone(), below(inner))))
    }

    /// What `FileOptions::directory_synced` takes.
    pub fn directory_synced(&self) -> DirectorySynced {
        let recorder = self.clone();
        Arc::new(move || {
            let mut state = recorder.state();
            let before = recorder.standing(&mut state);
            state.calls.push(Recorded {
                file: before.installed,
                call: Call::SyncDirectory,
                before,
            });
        })
    }

    /// How many calls were recorded so far: the place on the tape.
    pub fn index(&self) -> u64 {
        self.state().calls.len() as u64
    }

    /// How many calls were made so far, by kind.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Has a call fail. An earlier plan is lifted.
    pub fn plan(&self, plan: Plan) {
        self.state().planned = Planned::new(plan);
    }

    /// Nothing fails any more.
    pub fn lift(&self) {
        self.state().planned.lift();
    }

    /// How many calls were made to fail by the last plan.
    pub fn fired(&self) -> u64 {
        self.state().planned.fired
    }

    /// What was recorded so far.
    pub fn tape(&self) -> Tape {
        let mut state = self.state();
        let now = self.standing(&mut state);
        Tape {
            bases: state.files.iter().map(|file| file.base.clone()).collect(),
            calls: state.calls.clone(),
            now,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self, state: &mut State) -> Standing {
        let head = fs::read(self.0.state_dir.join("head")).ok();
        if head.as_deref() != state.head.as_deref() {
            state.head = head.map(Into::into);
        }
        let inode = inode(&self.0.state_dir.join("runtime.redb"));
        let is_installed = |file: &File| file.inode == inode;
        Standing {
            installed: state.files.iter().rposition(is_installed).unwrap_or(0),
            head: state.head.clone(),
        }
    }
}

fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Recording {
    recorder: Recorder,
    inner: Arc<dyn StorageBackend>,
    file: usize,
}

impl Recording {
    /// A copy that a recovery made is in `tmp/` when it is wrapped, and was synced. Any other file
    /// is in its place, and the same one as before when it was wrapped before: what of it was not
    /// synced is still not on the disk.
    fn new(recorder: Recorder, inner: Arc<dyn StorageBackend>) -> Self {
        let dir = &recorder.0.state_dir;
        let staged = inode(&dir.join("tmp").join("runtime.redb"));
        let inode = staged.or_else(|| inode(&dir.join("runtime.redb")));
        let mut state = recorder.state();
        let known = state.files.iter().rposition(|file| file.inode == inode);
        let file = match known.filter(|_| staged.is_none()) {
            Some(known) => known,
            None => {
                let base = content(inner.as_ref()).unwrap_or_default();
                state.files.push(File { inode, base });
                state.files.len() - 1
            }
        };
        drop(state);
        Self {
            recorder,
            inner,
            file,
        }
    }

    /// Counts a call, and says how it fails.
    fn meet(&self, state: &mut State, kind: Kind) -> Option<Fault> {
        state.counts.add(kind);
        state.planned.fault(kind)
    }

    fn record(&self, state: &mut State, before: Standing, call: Call) {
        state.calls.push(Recorded {
            file: self.file,
            call,
            before,
        });
    }

    fn note(&self, kind: Kind) -> io::Result<()> {
        let fault = self.meet(&mut self.recorder.state(), kind);
        fault.map_or(Ok(()), |fault| Err(fault.error()))
    }
}

fn content(inner: &dyn StorageBackend) -> io::Result<Pages> {
    let length = usize::try_from(inner.len()?).map_err(|_| ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; length];
    inner.read(0, &mut bytes)?;
    Ok(Pages::new(&bytes))
}

/// Half of a write, in whole sectors.
fn half(data: &[u8]) -> &[u8] {
    let sectors = data.len() / SECTOR_BYTES / 2;
    data.get(..sectors * SECTOR_BYTES).unwrap_or(data)
}

impl StorageBackend for Recording {
    fn len(&self) -> io::Result<u64> {
        self.note(Kind::Length)?;
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.note(Kind::Read)?;
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.recorder.state();
        let before = self.recorder.standing(&mut state);
        let done = match self.meet(&mut state, Kind::SetLength) {
            None => self.inner.set_len(len),
            Some(fault) => Err(fault.error()),
        };
        let call = match done {
            Ok(()) => Call::SetLength { length_bytes: len },
            Err(_) => Call::Refused,
        };
        self.record(&mut state, before, call);
        done
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.recorder.state();
        let before = self.recorder.standing(&mut state);
        let (result, done) = match self.meet(&mut state, Kind::Sync) {
            None => match self.inner.sync_data() {
                Ok(()) => (SyncResult::Done, Ok(())),
                failed => (SyncResult::Refused, failed),
            },
            Some(fault @ Fault::LoseSync) => (SyncResult::Lost, Err(fault.error())),
            Some(fault) => (SyncResult::Refused, Err(fault.error())),
        };
        self.record(&mut state, before, Call::Sync(result));
        done
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.recorder.state();
        let before = self.recorder.standing(&mut state);
        let fault = self.meet(&mut state, Kind::Write);
        let written = match fault {
            None => data,
            Some(Fault::Short(_)) => half(data),
            Some(Fault::Refuse(_) | Fault::LoseSync) => &[],
        };
        let done = if written.is_empty() {
            Ok(())
        } else {
            self.inner.write(offset, written)
        };
        let call = match done {
            Ok(()) if !written.is_empty() => Call::Write {
                offset,
                data: written.into(),
            },
            _ => Call::Refused,
        };
        self.record(&mut state, before, call);
        match fault {
            Some(fault) => Err(fault.error()),
            None => done,
        }
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
