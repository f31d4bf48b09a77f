//! Which call fails, and how.

use std::io;

/// The kinds of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A read.
    Read,
    /// A write.
    Write,
    /// A change of length.
    SetLength,
    /// A sync.
    Sync,
    /// The question for the length.
    Length,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Write,
        Self::SetLength,
        Self::Sync,
        Self::Length,
    ];
}

/// What the system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errno {
    /// The device failed.
    Io,
    /// The disk is full.
    NoSpace,
}

impl Errno {
    pub(super) fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Self::Io => 5,
            Self::NoSpace => 28,
        })
    }
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens but the error. After a sync failed so, a later one may still bring its
    /// writes to the disk.
    Refuse(Errno),
    /// Half of a write happens, down to 512 B. Other calls are refused.
    Short(Errno),
    /// A sync fails, and what it should have synced never reaches the disk, also not by a later
    /// sync of that file; readers go on seeing it, as on Linux. Other calls are refused.
    LoseSync,
}

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// One call.
    Once,
    /// That call, and every one of the plan's kind after it.
    Sticky,
}

/// A call that will fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The kind of calls that are counted and fail; `None` for all kinds together.
    pub kind: Option<Kind>,
    /// How many of them pass before, from now.
    pub passes: u64,
    /// How it fails.
    pub fault: Fault,
    /// How often.
    pub repeat: Repeat,
}

/// The plan as far as it has come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Planned {
    plan: Option<Plan>,
    pub(super) fired: u64,
}

impl Planned {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan: Some(plan),
            fired: 0,
        }
    }

    pub(super) fn lift(&mut self) {
        self.plan = None;
    }

    /// The fault of a call that is made now.
    pub(super) fn fault(&mut self, kind: Kind) -> Option<Fault> {
        let applies = |plan: &&mut Plan| plan.kind.is_none_or(|planned| planned == kind);
        let plan = self.plan.as_mut().filter(applies)?;
        if plan.passes > 0 {
            plan.passes -= 1;
            return None;
        }
        let fault = plan.fault;
        if plan.repeat == Repeat::Once {
            self.plan = None;
        }
        self.fired += 1;
        Some(fault)
    }
}

impl Fault {
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Refuse(errno) | Self::Short(errno) => errno.error(),
            Self::LoseSync => Errno::Io.error(),
        }
    }
}
