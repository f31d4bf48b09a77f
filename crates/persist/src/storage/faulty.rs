//! A backend for tests that fails on demand, and that knows what a power cut would leave.
//!
//! It stands between redb and another backend. The inner one is what readers see (the page
//! cache); beside it is kept the image *on disk*: what was there at the start and what a successful
//! sync has brought there since. A sync that loses its writes drops them from what is still to be
//! synced and fails: from then on they are seen and never reach the disk, as on Linux.

use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{BackendError, StorageBackend};

mod tests;

/// The operations that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Write,
    SetLength,
    Sync,
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing happens but the error. A failed sync leaves what it should have synced for the next.
    Refuse { errno: i32 },
    /// A write stops after so many bytes.
    Short { written_bytes: usize, errno: i32 },
    /// A sync fails, its writes never reach the disk, and readers go on seeing them.
    LoseSync { errno: i32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    Once,
    Sticky,
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    target: Target,
    passes: u64,
    fault: Fault,
    repeat: Repeat,
}

#[derive(Debug)]
enum Pending {
    Write { offset: u64, data: Vec<u8> },
    SetLength { length_bytes: u64 },
}

#[derive(Debug, Default)]
struct State {
    plan: Option<Plan>,
    writes: u64,
    syncs: u64,
    pending: Vec<Pending>,
    disk: Vec<u8>,
}

/// The handle that a test keeps.
#[derive(Debug, Clone)]
pub(crate) struct FaultControl(Arc<Mutex<State>>);

impl FaultControl {
    /// Lets `passes` operations of that kind pass, counted from now, and fails the one after.
    pub(crate) fn fail(&self, target: Target, passes: u64, fault: Fault, repeat: Repeat) {
        self.state().plan = Some(Plan {
            target,
            passes,
            fault,
            repeat,
        });
    }

    /// Nothing fails any more.
    pub(crate) fn heal(&self) {
        self.state().plan = None;
    }

    /// What a power cut now would leave.
    pub(crate) fn disk_image(&self) -> Vec<u8> {
        self.state().disk.clone()
    }

    pub(crate) fn writes(&self) -> u64 {
        self.state().writes
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fault(&mut self, target: Target) -> Option<Fault> {
        let plan = self.plan.as_mut().filter(|plan| plan.target == target)?;
        if plan.passes > 0 {
            plan.passes -= 1;
            return None;
        }
        let fault = plan.fault;
        if plan.repeat == Repeat::Once {
            self.plan = None;
        }
        Some(fault)
    }

    fn reach_disk(&mut self) {
        for pending in self.pending.drain(..) {
            match pending {
                Pending::Write { offset, data } => {
                    let start = offset as usize;
                    self.disk[start..start + data.len()].copy_from_slice(&data);
                }
                Pending::SetLength { length_bytes } => self.disk.resize(length_bytes as usize, 0),
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct FaultyBackend {
    inner: Box<dyn StorageBackend>,
    control: FaultControl,
}

impl FaultyBackend {
    /// Wraps a backend; what it holds now counts as being on disk.
    pub(crate) fn new(inner: impl StorageBackend) -> io::Result<(Self, FaultControl)> {
        let mut disk = vec![0; inner.len()? as usize];
        inner.read(0, &mut disk)?;
        let state = State {
            disk,
            ..State::default()
        };
        let control = FaultControl(Arc::new(Mutex::new(state)));
        let backend = Self {
            inner: Box::new(inner),
            control: control.clone(),
        };
        Ok((backend, control))
    }
}

fn os_error(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

impl StorageBackend for FaultyBackend {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.control.state();
        if let Some(
            Fault::Refuse { errno } | Fault::Short { errno, .. } | Fault::LoseSync { errno },
        ) = state.fault(Target::SetLength)
        {
            return Err(os_error(errno));
        }
        self.inner.set_len(len)?;
        state.pending.push(Pending::SetLength { length_bytes: len });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.control.state();
        state.syncs += 1;
        match state.fault(Target::Sync) {
            None => {
                self.inner.sync_data()?;
                state.reach_disk();
                Ok(())
            }
            Some(Fault::LoseSync { errno }) => {
                state
                    .pending
                    .retain(|pending| matches!(pending, Pending::SetLength { .. }));
                Err(os_error(errno))
            }
            Some(Fault::Refuse { errno } | Fault::Short { errno, .. }) => Err(os_error(errno)),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.control.state();
        state.writes += 1;
        let (written, errno) = match state.fault(Target::Write) {
            None => (data, None),
            Some(Fault::Short {
                written_bytes,
                errno,
            }) => (&data[..written_bytes.min(data.len())], Some(errno)),
            Some(Fault::Refuse { errno } | Fault::LoseSync { errno }) => (&data[..0], Some(errno)),
        };
        if !written.is_empty() {
            self.inner.write(offset, written)?;
            state.pending.push(Pending::Write {
                offset,
                data: written.to_vec(),
            });
        }
        errno.map_or(Ok(()), |errno| Err(os_error(errno)))
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
