//! The parts of the harness, by name.

use crate::{
    report::{HarnessError, Outcome, Violation},
    settings::{Settings, Size},
};

/// One part.
pub struct Part {
    /// How it is called on the command line and in the table.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// The figures that it is told by, each with how many a run of size quick must reach: one that
    /// reached less shows nothing.
    pub told_by: &'static [(&'static str, u64)],
    /// Does it.
    pub run: fn(&Settings) -> Result<Outcome, HarnessError>,
}

/// All parts, in the order in which they are run.
pub const PARTS: &[Part] = &[
    Part {
        name: "bare",
        about: "crash images of the store below the Runtime",
        told_by: &[
            ("audited images", 100_000),
            ("crash points", 1_000),
            ("crashes during recovery", 1_000),
            ("images with none", 400),
            ("images with all", 4000),
            ("images with one left out", 10000),
            ("images with one alone", 4000),
            ("images with a subset", 8000),
            ("images in another order", 8000),
            ("images with a torn write", 12000),
        ],
        run: crate::bare::run,
    },
    Part {
        name: "errors",
        about: "one failing call of the disk, in every way, in a run of the whole Runtime",
        told_by: &[
            ("runs with a failing call", 1_500),
            ("calls of scripted runs", 200),
            ("of these, calls that were made to fail", 200),
            ("calls that failed", 1_500),
            ("power cuts after a fault", 1_000),
            ("power cuts that take back a rename", 400),
            ("inputs run to their end afterwards", 4_000),
            ("outcomes unknown, then learned by asking again", 300),
            ("outcomes learned to have happened", 5),
            ("leases granted, held on or ended", 3_000),
        ],
        run: crate::errors::run,
    },
    Part {
        name: "crash",
        about: "a power cut after every call of the disk, and all that it may leave, audited",
        told_by: &[
            ("audited images", 20_000),
            ("crash points", 1_000),
            ("acknowledged commands", 500),
            ("events trimmed", 100),
            ("scopes handed on, changed or taken back", 25),
            ("leases granted, held on or ended", 40),
            ("images with none", 800),
            ("images with all", 4000),
            ("images with one left out", 2000),
            ("images with one alone", 1500),
            ("images with a subset", 700),
            ("images in another order", 600),
            ("images with a torn write", 1000),
        ],
        run: crate::crash::run,
    },
    Part {
        name: "recovery",
        about: "the opening of such an image, itself crashed at every call",
        told_by: &[
            ("crashes during recovery", 2_000),
            ("openings", 20),
            ("leases granted, held on or ended", 15),
        ],
        run: crate::crash::run_recovery,
    },
    Part {
        name: "scopes",
        about: "overlap, cover, effective scope and families against sets of paths",
        told_by: &[
            ("cases", 1_000_000),
            ("cases of the index", 20_000),
            ("families", 200),
            ("claims that conflict", 200_000),
            ("claims within an authority", 200_000),
            ("claims that only several rules cover", 40_000),
        ],
        run: crate::scopes::run,
    },
    Part {
        name: "model",
        about: "random commands, restarts, deadlines and trims against a plain model",
        told_by: &[
            ("steps", 10_000),
            ("inputs run", 500),
            ("restarts by kill", 20),
            ("trims", 50),
            ("scopes changed", 100),
            ("scopes reclaimed", 20),
            ("scopes taken by force", 40),
            ("steps played twice", 4_000),
        ],
        run: crate::model::run,
    },
    Part {
        name: "flips",
        about: "a changed byte in every page of a store, truncations, and an older copy put back",
        told_by: &[
            ("changed bytes", 2_000),
            ("told while reading", 200),
            ("truncations", 20),
            ("older copies put back", 1),
            ("leases", 10),
        ],
        run: crate::flips::run,
    },
    Part {
        name: "bounds",
        about: "the store's file under a steady load that is trimmed",
        told_by: &[
            ("bytes of events told", 50_000_000),
            ("trims", 2_000),
            ("trims by age", 100),
            ("trims under a pin", 20),
        ],
        run: crate::bounds::run,
    },
    Part {
        name: "order",
        about: "what can be seen, answered and read ahead while a commit is under way",
        told_by: &[
            ("commits looked into", 1_000),
            ("observers that did not read", 1),
        ],
        run: crate::order::run,
    },
    Part {
        name: "syncs",
        about: "the command killed at every sync of a scripted run",
        told_by: &[
            ("syncs in the script", 150),
            ("killed at a sync", 150),
            ("calls that eighty runs did not come to", 0),
            ("receipts repeated", 20),
        ],
        run: crate::process::syncs::run,
    },
    Part {
        name: "syscalls",
        about: "the command with every call that changes its files failing",
        told_by: &[
            ("calls in the script", 500),
            ("of these, calls that were made to fail", 500),
            ("failed with EIO once", 400),
            ("failed with ENOSPC once", 400),
            ("times it printed, and stood on the disk", 1_500),
            ("calls that eighty runs did not come to", 0),
        ],
        run: crate::process::syscalls::run,
    },
    Part {
        name: "soak",
        about: "a host with journaling clients and observers, killed again and again",
        told_by: &[
            ("kills", 100),
            ("inputs acknowledged", 1_000),
            ("inputs interrupted", 100),
            ("receipts repeated", 100),
            ("events observed", 10_000),
        ],
        run: crate::process::soak::run,
    },
    Part {
        name: "stopped",
        about: "a working host, stopped for longer than its deadlines",
        told_by: &[
            ("stops", 2),
            ("inputs acknowledged after it went on", 10),
            ("others refused", 10),
        ],
        run: crate::process::stopped::run,
    },
    Part {
        name: "disk-full",
        about: "a host on a small disk, filled and freed",
        told_by: &[
            ("disks filled and freed", 2),
            ("inputs refused on a full disk", 10),
            ("reads on a full disk", 10),
            ("inputs acknowledged", 20),
        ],
        run: crate::process::disk_full::run,
    },
];

impl Part {
    /// The part of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PARTS.iter().find(|part| part.name == name)
    }

    /// Runs it; a run of size quick or more that reached too little is told as one that shows nothing.
    ///
    /// # Errors
    /// As the part itself.
    pub fn run(&self, settings: &Settings) -> Result<Outcome, HarnessError> {
        let mut outcome = (self.run)(settings)?;
        let is_cut = settings.until_violation && outcome.violations > 0;
        if settings.size == Size::Catch || is_cut {
            return Ok(outcome);
        }
        for (name, least) in self.told_by {
            let reached = outcome.figures.get(*name).copied().unwrap_or_default();
            if reached < *least {
                let detail = format!("{reached} {name}, and at least {least} were wanted");
                outcome.violated(
                    "all of it",
                    Violation::new("the harness reaches enough", detail),
                );
            }
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests;
