//! Exit codes: the published ones, and the one place where an error's code becomes one of them.
//!
//! `docs/exit-codes.md` and the end of `--help` are this file in prose; tests hold the three together.

use std::process::ExitCode;

use worker_runtime_core::{Code, store::Gap};

macro_rules! exits {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $words:literal;)*) => {
        /// How the program ends. Unknown numbers mean failure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Exit { $($(#[$doc])* $name = $number,)* }

        impl Exit {
            /// Every exit code that this version gives.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            /// What it means, as it is published.
            #[cfg(test)]
            pub(crate) const fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }

            /// The table at the end of `--help`.
            pub(crate) const HELP: &str = concat!(
                "Exit codes:\n",
                $("  ", stringify!($number), "\t", $words, "\n",)*
                "Every error has a code of its own: worker-runtime errors explain CODE",
            );
        }
    };
}

exits! {
    /// It is done.
    Done = 0, "done";
    /// It failed.
    Failed = 1, "failed";
    /// The command line was not understood.
    Usage = 2, "usage";
    /// Some of it was done.
    Partly = 3, "partly";
    /// What was asked about is nobody's.
    Nobody = 4, "nobody";
    /// There is no store.
    NoState = 10, "no state";
    /// Another process holds the store.
    Locked = 11, "locked";
    /// The system or the Runtime does not allow it.
    NotAuthorised = 12, "not authorised";
    /// The store was written by a newer version.
    NewerSchema = 13, "newer schema";
    /// No server answers.
    Unreachable = 14, "unreachable";
    /// Damage that a repair mends without loss.
    Repairable = 20, "damage that repair mends without loss";
    /// Damage that a repair would pay for with data.
    Damaged = 21, "damage that repair would pay for with data";
    /// A check could not look at everything.
    CheckUnfinished = 22, "check could not finish";
    /// A dry run: there would be changes.
    WouldChange = 23, "dry run: there would be changes";
    /// Acknowledged state is gone.
    WentBack = 24, "state went back";
    /// A contradiction inside.
    Bug = 70, "a bug";
    /// The same call may work later.
    TryAgain = 75, "try again";
    /// It was interrupted or cancelled before it ended.
    Interrupted = 130, "interrupted";
}

impl Exit {
    /// The number.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    /// What an error's code ends the program with.
    #[allow(
        clippy::match_same_arms,
        reason = "the codes of another version are failures too, and that is a reason of its own"
    )]
    pub(crate) const fn of(code: Code) -> Self {
        match code {
            Code::WorkerUnknown | Code::WorkerExists | Code::WorkerDeleted => Self::Failed,
            Code::WorkerNotActive | Code::WorkerNotEnded | Code::WorkerLimit => Self::Failed,
            Code::ScopeConflict | Code::InputIncapable | Code::InputQuota => Self::Failed,
            Code::ScopeUndelegated | Code::ScopeDenied | Code::ScopeLent => Self::Failed,
            Code::ScopeInUse | Code::ScopeNotHeld | Code::FenceStale => Self::Failed,
            Code::LeaseUnknown | Code::LeaseExists | Code::LeaseLimit => Self::Failed,
            Code::OperationUnknown => Self::Failed,
            Code::RunUnknown | Code::RunStale | Code::RunUnproven => Self::Failed,
            Code::RunStartFailed | Code::ConfinementUnavailable => Self::Failed,
            Code::Unknown => Self::Failed,
            Code::ActionUnknown | Code::RuntimeStopped | Code::ParentUnknown => Self::Failed,
            Code::HostRefused | Code::OriginRefused | Code::ServerBind => Self::Failed,
            Code::TokenUnknown | Code::WorkerChanged => Self::Failed,
            Code::RouteUnknown | Code::MethodRefused => Self::Failed,
            Code::StorageFull | Code::StateForeign | Code::StateIo => Self::Failed,
            Code::CursorExpired | Code::CursorAhead | Code::OutputIo => Self::Failed,
            Code::CursorForeign | Code::CursorForked => Self::Failed,
            Code::FieldInvalid | Code::ObjectiveEmpty | Code::ProfileUnknown => Self::Usage,
            Code::BundleUnknown | Code::BackendUnknown | Code::BackendConfig => Self::Usage,
            Code::ScopeInvalid | Code::ActionOption => Self::Usage,
            Code::InputEmpty | Code::InputTooLarge => Self::Usage,
            Code::BodyTooLarge | Code::BodyInvalid => Self::Usage,
            Code::MediaType | Code::QueryInvalid | Code::ConfigInvalid => Self::Usage,
            Code::UpgradeRequired => Self::Usage,
            Code::HeaderInvalid | Code::HeadTooLarge => Self::Usage,
            Code::CursorMalformed | Code::Usage | Code::WorkerAmbiguous => Self::Usage,
            Code::StateMissing => Self::NoState,
            Code::StateLocked => Self::Locked,
            Code::StateDenied | Code::TokenMissing => Self::NotAuthorised,
            Code::TokenInvalid | Code::TokenScope => Self::NotAuthorised,
            Code::StateNewer => Self::NewerSchema,
            Code::ServerUnreachable => Self::Unreachable,
            Code::WorkerDamaged | Code::RecordDamaged => Self::Damaged,
            Code::EventDamaged | Code::StateDamaged => Self::Damaged,
            Code::StateWentBack => Self::WentBack,
            Code::CheckCopy | Code::CheckDerived => Self::Repairable,
            Code::CheckLeftover | Code::CheckHolding => Self::Repairable,
            Code::CheckStructure => Self::Damaged,
            Code::CheckUnfinished => Self::CheckUnfinished,
            Code::Bug => Self::Bug,
            Code::InputBusy | Code::InputQueueFull => Self::TryAgain,
            Code::OutcomeUnknown | Code::RuntimeClosed => Self::TryAgain,
            Code::ServerBusy => Self::TryAgain,
            // A code that this version does not know: unknown means failure.
            _ => Self::Failed,
        }
    }
}

impl Exit {
    /// What a read ends with that met these gaps: damage is no success, and retention is.
    pub(crate) fn of_gaps<'a>(gaps: impl IntoIterator<Item = &'a Gap>) -> Self {
        let code = gaps.into_iter().find_map(|gap| gap.code);
        code.map_or(Self::Done, Self::of)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

#[cfg(test)]
mod tests;
