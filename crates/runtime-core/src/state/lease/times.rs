//! How much of a lease's time is left. It is no record: it is counted in memory, in ten looks, so that a
//! stop of the process (or whatever else keeps the writer from its ticks) uses up at most one of them, as
//! in [`patience`](crate::patience).
//!
//! Called by the commands of leases, and with every tick of the writer.

use std::{collections::HashMap, time::Duration};

use serde_json::json;

use super::super::{State, draft};
use crate::{
    EventType, Fence, LeaseId, Timestamp,
    error::Unavailable,
    record::LeaseRecord,
    sabotage::{self, Sabotage},
};

/// Of how many looks the time of a lease is made.
const LOOKS: u32 = 10;

/// Looks are taken together that lie this close: each wakes the writer, which then looks after all that
/// could be due.
const GRID: Duration = Duration::from_millis(50);

/// How late a look may be and be no stop: what waiting for the others and a timer cost.
const LATE_MAX: Duration = Duration::from_millis(75);

/// When the writer is woken for a look: never before it is due.
fn wake_for(look: Timestamp) -> Timestamp {
    let grid = u64::try_from(GRID.as_millis()).unwrap_or(u64::MAX);
    let up = look.unix_ms().checked_next_multiple_of(grid);
    up.map_or(look, Timestamp::from_unix_ms)
}

/// What is left of a lease's time.
#[derive(Debug, Clone, Copy)]
struct Left {
    look: Duration,
    looks: u32,
    next_look: Timestamp,
}

impl Left {
    fn whole(ttl_ms: u64, now: Timestamp) -> Self {
        let look = Duration::from_millis(ttl_ms.div_ceil(LOOKS.into()));
        Self {
            look,
            looks: LOOKS,
            next_look: now.plus(look),
        }
    }

    /// One look, when it is due, however long that has been so. One that is hardly late delays no other.
    fn look(&mut self, now: Timestamp) {
        if self.next_look > now || self.looks == 0 {
            return;
        }
        let kept = u32::from(sabotage::is(Sabotage::KeepLease));
        self.looks = self.looks.saturating_sub(1).max(kept);
        let from = match now.since(self.next_look) <= LATE_MAX {
            true => self.next_look,
            false => now,
        };
        self.next_look = from.plus(self.look);
    }

    fn expires_at(self) -> Timestamp {
        let more = self.look.saturating_mul(self.looks.saturating_sub(1));
        self.next_look.plus(more)
    }
}

/// What is known of leases and is no record. It outlives a state that is made anew after a failed commit.
#[derive(Debug, Default)]
pub(crate) struct Leasing {
    /// What is left of the time of each.
    times: HashMap<LeaseId, Left>,
    /// The last fence that was granted before this opening. It is void, as is every one before it.
    pub(super) void_to: Fence,
}

impl Leasing {
    pub(in crate::state) fn after(void_to: Fence) -> Self {
        let times = HashMap::new();
        let void_to = void_at_opening(void_to);
        Self { times, void_to }
    }
}

/// Up to which fence all are void for an opening that finds this one as the last.
pub(crate) fn void_at_opening(last: Fence) -> Fence {
    match sabotage::is(Sabotage::TrustVoidFence) {
        true => Fence::default(),
        false => last,
    }
}

impl State {
    /// Looks after every lease's time, and ends those whose time is over.
    pub(in crate::state) fn expire_leases(&mut self) -> Result<(), Unavailable> {
        let now = self.now();
        let (holdings, touched) = (&self.holdings, &mut self.touched.leases);
        // What is left of those that ended is kept until here: their end may not have become durable.
        let times = &mut self.leasing.times;
        times.retain(|lease_id, _| holdings.lease(*lease_id).is_some());
        let mut over = Vec::new();
        for (lease_id, left) in times {
            let before = left.expires_at();
            left.look(now);
            if left.looks == 0 {
                over.push(*lease_id);
            } else if left.expires_at() != before {
                touched.insert(*lease_id);
            }
        }
        // Their order is part of the log, and that of a map is chance.
        over.sort_unstable();
        for lease_id in over {
            let held = self.lease(lease_id).ok();
            let data = json!({
                "lease_id": lease_id,
                "holder": held.as_ref().map(|held| &held.holder),
                "fence": held.as_ref().map(|held| held.fence),
            });
            self.emit_runtime(draft(EventType::LEASE_EXPIRED, None, &data)?);
            self.let_go(lease_id);
        }
        Ok(())
    }

    /// When [`expire_leases`](Self::expire_leases) is to look again.
    pub(in crate::state) fn next_lease_look(&self) -> Option<Timestamp> {
        let held = |lease_id: &LeaseId| self.holdings.lease(*lease_id).is_some();
        let times = self.leasing.times.iter();
        let left = times.filter(|(lease_id, _)| held(lease_id));
        left.map(|(_, left)| wake_for(left.next_look)).min()
    }

    /// Lets every lease of which that is not known have its whole time from now on.
    pub(crate) fn begin_leases(&mut self) {
        let held: Vec<_> = self.holdings.leases().cloned().collect();
        for held in held {
            if !self.leasing.times.contains_key(&held.lease_id) {
                self.begin_lease(&held);
            }
        }
    }

    pub(super) fn begin_lease(&mut self, held: &LeaseRecord) {
        let left = Left::whole(held.ttl_ms, self.now());
        self.leasing.times.insert(held.lease_id, left);
        self.touched.leases.insert(held.lease_id);
        self.wake_at(Some(wake_for(left.next_look)));
    }

    /// When a lease's time is over, as far as is known now.
    pub(crate) fn lease_expires_at(&self, lease_id: LeaseId) -> Option<Timestamp> {
        let left = self.leasing.times.get(&lease_id);
        left.map(|left| left.expires_at())
    }
}
