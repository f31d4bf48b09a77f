//! Faults put in on purpose, by which the fault harness is judged: each of them must be caught.
//!
//! In every normal build [`is`] is a constant `false`, so that nothing of this is in a program that
//! anybody runs. Only with `--cfg worker_runtime_sabotage` in `RUSTFLAGS` does it look at the switch, the
//! environment variable `WORKER_RUNTIME_SABOTAGE`: one fault a process, chosen when it starts. It is no
//! Cargo feature, as features are unified: any crate of a build could switch it on for all others.
//!
//! Asked by core, persist and execution, where each fault would do its harm; the names are read by the
//! harness, which says what must catch which.

macro_rules! sabotages {
    ($($variant:ident = $name:literal, $about:literal;)*) => {
        /// A fault that can be put in.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Sabotage {
            $(#[doc = $about] $variant,)*
        }

        impl Sabotage {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// What the switch is set to.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What goes wrong, in one line.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$variant => $about,)* }
            }
        }
    };
}

sabotages! {
    AcknowledgeBeforeCommit = "acknowledge-before-commit", "answers leave before their batch is committed";
    PublishBeforeCommit = "publish-before-commit", "records and position are shown before they are committed";
    ServeBeyondPublished = "serve-beyond-published", "pages hold events that are not published yet";
    WriteHeadBeforeCommit = "write-head-before-commit", "the witness tells of a commit that has not happened";
    IgnoreHead = "ignore-head", "the witness is not looked at, so an older copy passes for the store";
    SkipSync = "skip-sync", "a commit is not synced";
    SkipFileSync = "skip-file-sync", "the system is not asked to sync the store's file";
    SkipDirectorySync = "skip-directory-sync", "what was made or renamed in a directory is not synced there";
    TrustFailedFile = "trust-failed-file", "after a failed sync the same file is used on, without the copy";
    StealLock = "steal-lock", "a writer takes the lock of a process that holds it";
    SkipBallast = "skip-ballast", "new work is taken on a full disk";
    SkipChecksum = "skip-checksum", "checksums of stored values are not verified";
    HideGap = "hide-gap", "what is missing from a stream is skipped without a word";
    HoldReadTransaction = "hold-read-transaction", "read transactions are never ended";
    WriteOnRead = "write-on-read", "opening a stopped store for reading touches its file";
    IgnoreTrim = "ignore-trim", "the events of a deleted Worker are kept";
    IgnoreRetention = "ignore-retention", "nothing is trimmed, however large it grows";
    IgnoreAge = "ignore-age", "events are kept, however old they become";
    IgnorePin = "ignore-pin", "what is pinned is trimmed all the same";
    TrimTooMuch = "trim-too-much", "streams are trimmed although no limit is reached";
    ReadAhead = "read-ahead", "pages are read for a slow observer without bound";
    MissWakeUp = "miss-wake-up", "nobody is told that there is news";
    PassNews = "pass-news", "observers pass over what is new as if there were nothing";
    KeepPastHole = "keep-past-hole", "the newest events in memory are kept although some are not among them";
    AcceptForeignCursor = "accept-foreign-cursor", "a cursor of another stream is followed";
    SwapEvents = "swap-events", "events that a backend told in one call are recorded in another order";
    LoseCheckpoint = "lose-checkpoint", "output that has not ended is not checkpointed";
    ForgetReceipt = "forget-receipt", "the receipt of an input is not stored";
    DropOutcomeAtOpen = "drop-outcome-at-open", "an input that ran when the Runtime died gets no outcome";
    RunTwiceAfterRestart = "run-twice-after-restart", "an input that ran when the Runtime died is run again";
    MissDeadline = "miss-deadline", "deadlines of runs and actions pass unnoticed";
    AcceptLateMessage = "accept-late-message", "a message of a run that is over is taken";
    ReuseFence = "reuse-fence", "a fence is granted twice";
    GrantOverlap = "grant-overlap", "a scope is granted although another Worker holds part of it";
    FreeScopeEarly = "free-scope-early", "a scope is free before its holder's backend is quiet";
    DropChildren = "drop-children", "the end of a Worker drops what those below it hold";
    ReclaimTooDeep = "reclaim-too-deep", "a reclaim takes from two layers";
    ForgetNarrowing = "forget-narrowing", "a scope that becomes less is stored as it was";
    CoverRuleByRule = "cover-rule-by-rule", "rules are covered one by one and not by their union";
    DenyHidesChild = "deny-hides-child", "a deny of an ancestor hides a child";
    HideDelegated = "hide-delegated", "a child that holds through delegation only is invisible";
    KeepLease = "keep-lease", "a lease never ends by itself";
    ForgetLease = "forget-lease", "a lease is told of, and its record is not stored";
    ForgetRenewal = "forget-renewal", "a lease that is renewed for another time is stored as it was";
    HideLostLease = "hide-lost-lease", "a damaged record of a lease is passed over without a word";
    TrustVoidFence = "trust-void-fence", "the fence of a lease is good after an opening";
    LeaveChild = "leave-child", "what a command started is left running when it ends";
    LeakPath = "leak-path", "an error that clients read names a path of this machine";
}

/// Whether this fault is switched on; never, but in a build made for it.
#[cfg(not(worker_runtime_sabotage))]
pub const fn is(_: Sabotage) -> bool {
    false
}

/// What a process started by this one needs to have the same fault; nothing, but in a build made for it.
#[cfg(not(worker_runtime_sabotage))]
pub const fn inherited() -> Option<(&'static str, &'static str)> {
    None
}

#[cfg(worker_runtime_sabotage)]
pub use switched::{inherited, is};

#[cfg(worker_runtime_sabotage)]
mod switched {
    use std::{io::Write, sync::OnceLock};

    use super::Sabotage;

    const SWITCH: &str = "WORKER_RUNTIME_SABOTAGE";

    /// Whether this fault is switched on.
    pub fn is(sabotage: Sabotage) -> bool {
        chosen() == Some(sabotage)
    }

    /// What a process started by this one needs to have the same fault.
    pub fn inherited() -> Option<(&'static str, &'static str)> {
        chosen().map(|chosen| (SWITCH, chosen.name()))
    }

    fn chosen() -> Option<Sabotage> {
        static CHOSEN: OnceLock<Option<Sabotage>> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let name = std::env::var_os(SWITCH)?;
            let known = Sabotage::ALL.iter().find(|known| name == known.name());
            if known.is_none() {
                // Nothing may be concluded from a run without the fault that it was to have.
                let _ = writeln!(std::io::stderr(), "{SWITCH}: no fault is called {name:?}");
                std::process::abort();
            }
            known.copied()
        })
    }
}

#[cfg(test)]
mod tests;
