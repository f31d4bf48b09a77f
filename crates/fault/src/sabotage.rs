//! Which part must catch which of the faults put in on purpose
//! ([`worker_runtime_core::sabotage`]).
//!
//! A fault counts as caught only when a part reports a broken promise with the switch on, *and* the
//! same program, part, seed and size report none with the switch off. Read by `cargo xtask faults`,
//! which keeps the score.

use worker_runtime_core::sabotage::Sabotage;

/// The parts that must catch a fault at [`Size::Catch`](crate::settings::Size::Catch); the first of
/// them that does makes it caught.
pub const fn catchers(sabotage: Sabotage) -> &'static [&'static str] {
    match sabotage {
        Sabotage::AcknowledgeBeforeCommit
        | Sabotage::PublishBeforeCommit
        | Sabotage::ServeBeyondPublished
        | Sabotage::ReadAhead
        | Sabotage::MissWakeUp => &["order"],
        Sabotage::WriteHeadBeforeCommit | Sabotage::SkipSync => &["bare", "crash"],
        Sabotage::TrustFailedFile => &["errors"],
        Sabotage::SkipBallast => &["disk-full"],
        Sabotage::SkipChecksum
        | Sabotage::IgnoreHead
        | Sabotage::HideGap
        | Sabotage::WriteOnRead => &["flips"],
        Sabotage::HoldReadTransaction | Sabotage::IgnoreRetention => &["bounds"],
        Sabotage::TrimTooMuch => &["bounds", "bare"],
        Sabotage::IgnoreTrim => &["model", "crash"],
        Sabotage::AcceptForeignCursor
        | Sabotage::AcceptLateMessage
        | Sabotage::FreeScopeEarly
        | Sabotage::GrantOverlap
        | Sabotage::MissDeadline => &["model"],
        Sabotage::SwapEvents
        | Sabotage::LoseCheckpoint
        | Sabotage::ForgetReceipt
        | Sabotage::DropOutcomeAtOpen
        | Sabotage::RunTwiceAfterRestart
        | Sabotage::ReuseFence => &["model", "crash"],
        Sabotage::LeaveChild => &["syncs", "soak"],
        Sabotage::LeakPath | Sabotage::SkipDirectorySync => &["syncs"],
    }
}

#[cfg(test)]
mod tests;
