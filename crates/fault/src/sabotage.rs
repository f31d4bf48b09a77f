//! Which part must catch which of the faults put in on purpose
//! ([`worker_runtime_core::sabotage`]).
//!
//! A fault counts as caught only when a part reports a broken promise with the switch on, of an invariant
//! that this fault breaks, *and* the same program, part, seed and size report none with the switch off.
//! Read by `cargo xtask faults`,
//! which keeps the score.

use worker_runtime_core::sabotage::Sabotage;

/// The parts that must catch a fault at [`Size::Catch`](crate::settings::Size::Catch): each of them. So
/// each part is judged, and not only the one that is quickest to see something.
pub const fn catchers(sabotage: Sabotage) -> &'static [&'static str] {
    match sabotage {
        Sabotage::AcknowledgeBeforeCommit
        | Sabotage::PublishBeforeCommit
        | Sabotage::ServeBeyondPublished
        | Sabotage::ReadAhead
        | Sabotage::MissWakeUp => &["order"],
        // The model waits for what an observer lacks until it gives up.
        Sabotage::PassNews => &["model"],
        Sabotage::KeepPastHole => &["errors"],
        Sabotage::WriteHeadBeforeCommit => &["bare", "crash"],
        Sabotage::SkipSync => &["bare", "crash", "recovery"],
        Sabotage::TrustFailedFile => &["errors"],
        Sabotage::SkipBallast => &["disk-full"],
        Sabotage::StealLock => &["stopped"],
        Sabotage::SkipChecksum
        | Sabotage::IgnoreHead
        | Sabotage::HideGap
        | Sabotage::HideLostLease
        | Sabotage::WriteOnRead => &["flips"],
        Sabotage::HoldReadTransaction
        | Sabotage::IgnoreRetention
        | Sabotage::IgnoreAge
        | Sabotage::IgnorePin => &["bounds"],
        Sabotage::TrimTooMuch => &["bounds", "bare", "crash"],
        Sabotage::IgnoreTrim
        | Sabotage::AcceptForeignCursor
        | Sabotage::AcceptLateMessage
        | Sabotage::FreeScopeEarly
        | Sabotage::ReclaimTooDeep
        | Sabotage::ForgetNarrowing
        | Sabotage::MissDeadline => &["model"],
        Sabotage::SwapEvents | Sabotage::LoseCheckpoint | Sabotage::ForgetReceipt => {
            &["model", "crash"]
        }
        Sabotage::CoverRuleByRule | Sabotage::DenyHidesChild | Sabotage::HideDelegated => {
            &["scopes"]
        }
        Sabotage::GrantOverlap => &["model", "scopes"],
        Sabotage::DropChildren | Sabotage::KeepLease | Sabotage::TrustVoidFence => {
            &["model", "crash"]
        }
        Sabotage::ForgetLease => &["crash", "recovery", "errors"],
        Sabotage::ForgetRenewal => &["crash"],
        Sabotage::ReuseFence => &["model", "crash", "recovery"],
        // The model would wait for the outcome until it gives up.
        Sabotage::DropOutcomeAtOpen | Sabotage::RunTwiceAfterRestart => &["crash", "recovery"],
        Sabotage::LeaveChild => &["syncs", "soak"],
        Sabotage::SkipDirectorySync => &["syncs", "syscalls", "errors"],
        Sabotage::LeakPath | Sabotage::SkipFileSync => &["syncs", "syscalls"],
    }
}

/// The invariants that a fault breaks: what is seen broken must be a promise of one of them. Any other
/// one, as that a run did not end in time, shows that something is wrong and not that this was seen.
pub const fn breaks(sabotage: Sabotage) -> &'static [&'static str] {
    match sabotage {
        Sabotage::AcknowledgeBeforeCommit
        | Sabotage::PublishBeforeCommit
        | Sabotage::ServeBeyondPublished
        | Sabotage::SkipFileSync
        | Sabotage::SkipDirectorySync
        | Sabotage::StealLock
        | Sabotage::TrustFailedFile => &["I1"],
        // What is lost first may be that somebody had opened it.
        Sabotage::SkipSync => &["I1", "I5"],
        // An opening that believes it takes what is left for an older copy.
        Sabotage::WriteHeadBeforeCommit => &["I1", "I5", "I7"],
        // What was acknowledged is in another one's place.
        Sabotage::SwapEvents => &["I1", "I2"],
        Sabotage::AcceptForeignCursor => &["I2"],
        Sabotage::IgnoreTrim => &["I2", "I3"],
        Sabotage::DropOutcomeAtOpen
        | Sabotage::RunTwiceAfterRestart
        | Sabotage::MissDeadline
        | Sabotage::AcceptLateMessage
        | Sabotage::LeaveChild => &["I4"],
        Sabotage::LoseCheckpoint => &["I1", "I4"],
        Sabotage::ForgetReceipt => &["I5"],
        Sabotage::ReuseFence
        | Sabotage::FreeScopeEarly
        | Sabotage::GrantOverlap
        | Sabotage::DropChildren
        | Sabotage::ReclaimTooDeep
        | Sabotage::ForgetNarrowing
        | Sabotage::KeepLease
        | Sabotage::TrustVoidFence
        | Sabotage::CoverRuleByRule
        | Sabotage::DenyHidesChild
        | Sabotage::HideDelegated => &["I6"],
        // What was acknowledged is not there, and is not what the events tell.
        Sabotage::ForgetLease | Sabotage::ForgetRenewal => &["I1", "I3", "I6"],
        Sabotage::SkipChecksum | Sabotage::IgnoreHead | Sabotage::HideLostLease => &["I7"],
        Sabotage::SkipBallast
        | Sabotage::ReadAhead
        | Sabotage::HoldReadTransaction
        | Sabotage::IgnoreRetention
        | Sabotage::IgnoreAge
        | Sabotage::TrimTooMuch => &["I9"],
        Sabotage::IgnorePin => &["I10"],
        Sabotage::MissWakeUp | Sabotage::HideGap => &["I10"],
        // Nothing comes any more, or what comes later is seen to be it.
        Sabotage::PassNews => &["I9", "I10"],
        // What is shown in place of an event is another one, or none.
        Sabotage::KeepPastHole => &["I1", "I2", "I10"],
        Sabotage::LeakPath => &["I11"],
        Sabotage::WriteOnRead => &["I12"],
    }
}

/// Whether a promise is of one of these invariants.
pub fn is_of(promise: &str, invariants: &[&str]) -> bool {
    let first = promise.split(' ').next();
    first.is_some_and(|first| invariants.contains(&first))
}

#[cfg(test)]
mod tests;
