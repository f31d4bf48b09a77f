//! A lease, as the contract has it: what was asked for, its fence, and how much of its time is left.
//!
//! Its time is ten looks. A look that comes late begins the next one anew: a stop uses up one. Looks lie on
//! a grid, so that those of several leases are taken together, and what that costs delays nothing.

use worker_runtime_core::{Fence, LeaseId, Timestamp, lease::AcquireLease};

const LOOKS: u64 = 10;
const GRID_MS: u64 = 50;
/// A look that is later comes after a stop.
const LATE_MS_MAX: u64 = 75;

/// What is left of a lease's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    look_ms: u64,
    looks: u64,
    /// When the next look is due.
    next_ms: u64,
}

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It was not due.
    Nothing,
    InTime,
    /// The Runtime stood still.
    Late,
}

impl Left {
    pub(super) fn whole(ttl_ms: u64, now: Timestamp) -> Self {
        let look_ms = ttl_ms.div_ceil(LOOKS);
        Self {
            look_ms,
            looks: LOOKS,
            next_ms: now.unix_ms().saturating_add(look_ms),
        }
    }

    /// When the Runtime looks by itself.
    fn wakes_ms(self) -> u64 {
        self.next_ms.div_ceil(GRID_MS).saturating_mul(GRID_MS)
    }

    /// How long until it does.
    pub(super) fn ms_until_look(self, now: Timestamp) -> u64 {
        self.wakes_ms().saturating_sub(now.unix_ms())
    }

    /// Whether nobody can say that a look was taken: it is due, and only another one would bring it about.
    pub(super) fn is_unsure_at(self, at_ms: u64) -> bool {
        (self.next_ms..self.wakes_ms()).contains(&at_ms)
    }

    pub(super) fn look(&mut self, now: Timestamp) -> Found {
        let Some(late_ms) = now.unix_ms().checked_sub(self.next_ms) else {
            return Found::Nothing;
        };
        self.looks = self.looks.saturating_sub(1);
        let (from_ms, found) = match late_ms <= LATE_MS_MAX {
            true => (self.next_ms, Found::InTime),
            false => (now.unix_ms(), Found::Late),
        };
        self.next_ms = from_ms.saturating_add(self.look_ms);
        found
    }

    pub(super) fn is_over(self) -> bool {
        self.looks == 0
    }

    pub(super) fn ends_at(self) -> Timestamp {
        let more = self.look_ms.saturating_mul(self.looks.saturating_sub(1));
        Timestamp::from_unix_ms(self.next_ms.saturating_add(more))
    }
}

/// What somebody who is no Worker holds.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    pub(super) id: LeaseId,
    /// As it was asked for first.
    pub(super) request: AcquireLease,
    /// What it was renewed for last.
    pub(super) ttl_ms: u64,
    pub(super) fence: Fence,
    /// The fence of an earlier opening that gave this one.
    pub(super) shown: Option<Fence>,
    /// The opening that its fence is good in.
    pub(super) opening: u64,
    pub(super) granted_at: Timestamp,
    pub(super) left: Left,
}

impl Lease {
    /// Whether this asks for what is held.
    pub(super) fn is_asked_by(&self, request: &AcquireLease) -> bool {
        let of = |request: &AcquireLease| AcquireLease {
            lease_id: None,
            ..request.clone()
        };
        of(&self.request) == of(request)
    }

    /// Whether whoever shows this is its holder.
    pub(super) fn is_held_with(&self, fence: Fence) -> bool {
        fence == self.fence || Some(fence) == self.shown
    }
}

#[cfg(test)]
mod tests;
