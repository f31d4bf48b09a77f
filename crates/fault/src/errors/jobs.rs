//! Which call fails, and how: all of them in turn.

use std::fmt;

use super::drive::Calls;
use crate::{
    disk::{Errno, Fault, Kind, Plan, Repeat},
    settings::Size,
};

/// How much is done.
pub(super) struct Amount {
    /// Scripted runs.
    pub(super) sessions: u64,
    /// What is asked in each.
    pub(super) steps: usize,
    /// One call in so many fails, of those that change the file; and of the others.
    changes_every: u64,
    reads_every: u64,
}

impl Amount {
    pub(super) fn of(size: Size) -> Self {
        size.pick(
            Self {
                sessions: 1,
                steps: 8,
                changes_every: 3,
                reads_every: 41,
            },
            Self {
                sessions: 1,
                steps: 22,
                changes_every: 1,
                reads_every: 1,
            },
            Self {
                sessions: 8,
                steps: 30,
                changes_every: 1,
                reads_every: 1,
            },
        )
    }
}

/// How the service is to come back after calls failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Healing {
    /// The disk is whole again, under the open Runtime.
    InPlace,
    /// The Runtime is let go of while it fails, and opened again on the whole disk.
    Reopened,
}

/// One run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    /// What the client's choices are made from.
    pub(super) seed: u64,
    pub(super) steps: usize,
    /// What fails; nothing, in the run that is only counted.
    pub(super) plan: Option<Plan>,
    pub(super) healing: Healing,
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {} of {} steps", self.seed, self.steps)?;
        let Some(plan) = self.plan else {
            return f.write_str(", nothing fails");
        };
        match plan.kind {
            Some(kind) => write!(f, ", {kind:?} {}", plan.passes)?,
            None => write!(f, ", call {}", plan.passes)?,
        }
        write!(f, ", {:?}, {:?}", plan.fault, plan.repeat)?;
        match plan.repeat {
            Repeat::Once => Ok(()),
            Repeat::Sticky => write!(f, ", {:?}", self.healing),
        }
    }
}

impl Job {
    /// The run without a fault.
    pub(super) fn whole(seed: u64, steps: usize) -> Self {
        Self {
            seed,
            steps,
            plan: None,
            healing: Healing::InPlace,
        }
    }

    /// Every call of the run in every way, once; and those that the client's playing makes also for
    /// good, after which the service comes back in both ways.
    pub(super) fn all(seed: u64, amount: &Amount, calls: &Calls) -> Vec<Self> {
        let mut jobs: Vec<Self> = Vec::new();
        for kind in Kind::ALL {
            let every = match kind {
                Kind::Write | Kind::SetLength | Kind::Sync => amount.changes_every,
                Kind::Read | Kind::Length => amount.reads_every,
            };
            let played = calls.played.of(Some(kind));
            let all = calls.all.of(Some(kind));
            let numbers = (0..all).filter(|number| number % every == 0);
            for passes in numbers {
                for fault in faults(kind) {
                    let plan = |repeat| {
                        Some(Plan {
                            kind: Some(kind),
                            passes,
                            fault: *fault,
                            repeat,
                        })
                    };
                    let whole = Self::whole(seed, amount.steps);
                    jobs.push(Self {
                        plan: plan(Repeat::Once),
                        ..whole
                    });
                    if passes >= played {
                        continue;
                    }
                    jobs.extend([
                        Self {
                            plan: plan(Repeat::Sticky),
                            ..whole
                        },
                        Self {
                            plan: plan(Repeat::Sticky),
                            healing: Healing::Reopened,
                            ..whole
                        },
                    ]);
                }
            }
        }
        jobs
    }
}

fn faults(kind: Kind) -> &'static [Fault] {
    match kind {
        Kind::Write => &[
            Fault::Refuse(Errno::Io),
            Fault::Refuse(Errno::NoSpace),
            Fault::Short(Errno::NoSpace),
        ],
        Kind::SetLength => &[Fault::Refuse(Errno::Io), Fault::Refuse(Errno::NoSpace)],
        Kind::Sync => &[Fault::Refuse(Errno::Io), Fault::LoseSync],
        Kind::Read | Kind::Length => &[Fault::Refuse(Errno::Io)],
    }
}
