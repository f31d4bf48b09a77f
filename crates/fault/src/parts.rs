//! The parts of the harness, by name.

use crate::{
    report::{HarnessError, Outcome},
    settings::Settings,
};

/// One part.
pub struct Part {
    /// How it is called on the command line and in the table.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Does it.
    pub run: fn(&Settings) -> Result<Outcome, HarnessError>,
}

/// All parts, in the order in which they are run.
pub const PARTS: &[Part] = &[
    Part {
        name: "bare",
        about: "crash images of the store below the Runtime",
        run: crate::bare::run,
    },
    Part {
        name: "errors",
        about: "one failing call of the disk, in every way, in a run of the whole Runtime",
        run: crate::errors::run,
    },
    Part {
        name: "crash",
        about: "a power cut after every call of the disk, and all that it may leave, audited",
        run: crate::crash::run,
    },
    Part {
        name: "recovery",
        about: "the opening of such an image, itself crashed at every call",
        run: crate::crash::run_recovery,
    },
    Part {
        name: "model",
        about: "random commands, restarts, deadlines and trims against a plain model",
        run: crate::model::run,
    },
    Part {
        name: "flips",
        about: "a changed byte in every page of a store, truncations, and an older copy put back",
        run: crate::flips::run,
    },
    Part {
        name: "bounds",
        about: "the store's file under a steady load that is trimmed",
        run: crate::bounds::run,
    },
    Part {
        name: "order",
        about: "what can be seen, answered and read ahead while a commit is under way",
        run: crate::order::run,
    },
    Part {
        name: "syncs",
        about: "the command killed at every sync of a scripted run",
        run: crate::process::syncs::run,
    },
    Part {
        name: "syscalls",
        about: "the command with every call that changes its files failing",
        run: crate::process::syscalls::run,
    },
    Part {
        name: "soak",
        about: "a host with journaling clients and observers, killed again and again",
        run: crate::process::soak::run,
    },
    Part {
        name: "stopped",
        about: "a working host, stopped for longer than its deadlines",
        run: crate::process::stopped::run,
    },
    Part {
        name: "disk-full",
        about: "a host on a small disk, filled and freed",
        run: crate::process::disk_full::run,
    },
];
