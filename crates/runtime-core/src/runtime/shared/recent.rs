//! The newest published events, in memory: whoever keeps up reads them here, and hundreds of observers of
//! one event cost the store nothing (I10). Whoever lags reads the store, where everything is.

use std::collections::VecDeque;

use crate::{
    Event, Position,
    sabotage::{self, Sabotage},
    store::{ReplayPage, ReplayRequest},
    sync::{PoisonError, RwLock},
};

/// How many events are kept.
const EVENTS_MAX: usize = 1_024;
/// How many bytes of data they may have, all together.
const BYTES_MAX: usize = 1 << 20;

/// The newest published events, without a position left out.
#[derive(Default)]
pub(super) struct Recent(RwLock<Kept>);

#[derive(Default)]
struct Kept {
    events: VecDeque<Event>,
    bytes: usize,
}

impl Recent {
    /// Takes over what was committed, before it is published.
    pub(super) fn add(&self, committed: Vec<Event>) {
        let Some(first) = committed.first() else {
            return;
        };
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let newest = kept.events.back().map(|event| event.position.next());
        // After a commit of which nobody could tell whether it happened, some are known to the store alone.
        if newest != Some(first.position) && !sabotage::is(Sabotage::KeepPastHole) {
            *kept = Kept::default();
        }
        let passed_over = committed.len().saturating_sub(EVENTS_MAX);
        if passed_over > 0 {
            *kept = Kept::default();
        }
        for event in committed.into_iter().skip(passed_over) {
            kept.bytes = kept.bytes.saturating_add(event.data.len());
            kept.events.push_back(event);
        }
        while kept.events.len() > EVENTS_MAX || kept.bytes > BYTES_MAX {
            let Some(oldest) = kept.events.pop_front() else {
                break;
            };
            kept.bytes = kept.bytes.saturating_sub(oldest.data.len());
        }
    }

    /// What a store would give, if all of it is here.
    pub(super) fn replay(&self, request: &ReplayRequest) -> Option<ReplayPage> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (first, last) = (kept.events.front()?, kept.events.back()?);
        if first.position > request.after.next() || last.position < request.until {
            return None;
        }
        let index = |position: Position| {
            let index = position.0.saturating_sub(first.position.0);
            usize::try_from(index).unwrap_or(usize::MAX)
        };
        let (from, to) = (index(request.after.next()), index(request.until.next()));
        let mut page = ReplayPage {
            scanned_to: request.after,
            ..ReplayPage::default()
        };
        let mut bytes = 0_usize;
        for event in kept.events.iter().skip(from).take(to.saturating_sub(from)) {
            if event.is_in(request.stream) {
                bytes = bytes.saturating_add(event.data.len());
                let is_full = page.events.len() >= request.events_max || bytes > request.bytes_max;
                if is_full && !page.events.is_empty() {
                    return Some(page);
                }
                page.scanned_to = event.position;
                page.events.push(event.clone());
            }
        }
        page.scanned_to = request.until.max(request.after);
        page.up_to_date = true;
        Some(page)
    }
}

#[cfg(test)]
mod tests;
