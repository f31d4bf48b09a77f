//! Why a history ends before its last step.

use crate::report::{HarnessError, Violation};

/// Why a history ends.
#[derive(Debug)]
pub(super) enum Stop {
    /// A promise did not hold.
    Broken(Violation),
    /// The harness could not do its work.
    Harness(HarnessError),
    /// A later commit of an opening trimmed what an earlier one of it had told: nobody can read in
    /// between, so the model does not know what it was. No promise is broken by that.
    Unseen,
}

impl From<HarnessError> for Stop {
    fn from(error: HarnessError) -> Self {
        Self::Harness(error)
    }
}

/// What a step gives.
pub(super) type Played<T> = Result<T, Stop>;

/// A promise that did not hold.
pub(super) fn broken<T>(promise: &str, detail: impl Into<String>) -> Played<T> {
    Err(Stop::Broken(Violation::new(promise, detail)))
}

/// A promise, if it does not hold.
pub(super) fn ensure(holds: bool, promise: &str, detail: impl FnOnce() -> String) -> Played<()> {
    match holds {
        true => Ok(()),
        false => broken(promise, detail()),
    }
}
