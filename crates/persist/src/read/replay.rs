//! Pages of a stream. A page holds at most one gap, and it stands before the page's events.

use std::ops::ControlFlow;

use worker_runtime_core::{
    Position,
    store::{ReplayPage, ReplayRequest, StoreError},
};

use super::{
    Snapshot,
    walk::{Found, Walk},
};
use crate::engine::Rows;

pub(super) fn page(
    rows: &mut impl Rows,
    request: &ReplayRequest,
    snapshot: Snapshot,
) -> Result<ReplayPage, StoreError> {
    let until = request.until.min(snapshot.committed);
    let mut page = ReplayPage::default();
    if request.after >= until {
        page.scanned_to = request.after;
        page.up_to_date = true;
        return Ok(page);
    }
    let mut bytes = 0;
    let mut reached = request.after;
    let mut walk = Walk::new(rows, request.stream, request.after, until)?;
    page.up_to_date = walk.run(&snapshot, &mut |found| match found {
        Found::Event(event) => {
            let is_full = page.events.len() >= request.events_max.max(1)
                || bytes + event.data.len() > request.bytes_max;
            if is_full && !page.events.is_empty() {
                return ControlFlow::Break(());
            }
            bytes += event.data.len();
            reached = event.position;
            page.events.push(event);
            ControlFlow::Continue(())
        }
        Found::Missing(gap) => {
            if page.gap.is_some() || !page.events.is_empty() {
                return ControlFlow::Break(());
            }
            reached = gap.to;
            page.gap = Some(gap);
            ControlFlow::Continue(())
        }
    })?;
    page.scanned_to = if page.up_to_date { until } else { reached };
    Ok(page)
}

/// Everything at or before this may be read.
pub(super) fn readable_until(asked: Position, snapshot: &Snapshot) -> Position {
    asked.min(snapshot.committed)
}
