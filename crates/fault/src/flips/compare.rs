//! A reading of a damaged store beside the truth: the same, or missing and told.

mod leases;

use std::{collections::BTreeSet, fmt::Debug};

use worker_runtime_core::{
    WorkerId,
    view::{DamagedView, WorkerView},
};

use super::reading::{Reading, Shown, StreamRead};
use crate::report::Violation;

/// How many of one kind are told of one reading.
const KEPT_MAX: usize = 3;

pub(super) fn compare(truth: &Reading, read: &Reading) -> Vec<Violation> {
    let mut found = Vec::new();
    let end = read.position.0;
    stream("the log", &truth.log, &read.log, end, &mut found);
    for (worker_id, expected) in &truth.events {
        if let Some(read) = read.events.get(worker_id) {
            stream(
                &format!("events of {worker_id}"),
                expected,
                read,
                end,
                &mut found,
            );
        }
    }
    for (worker_id, expected) in &truth.transcripts {
        if let Some(read) = read.transcripts.get(worker_id) {
            stream(
                &format!("transcript of {worker_id}"),
                expected,
                read,
                end,
                &mut found,
            );
        }
    }
    if !read.went_back {
        views(truth, read, &mut found);
        phantoms(truth, read, &mut found);
        leases::leases(truth, read, &mut found);
    }
    // A lost record of the Runtime's own, or of a Worker whose newest events are lost with it.
    if read.damaged.is_empty() && !read.went_back && truth.position != read.position {
        let detail = format!("the store ends at {end}, not at {}", truth.position);
        found.push(Violation::new("I7 lost events are told", detail));
    }
    found
}

/// What is said to be damaged may change what is shown of its Worker, and of nobody else.
fn views(truth: &Reading, read: &Reading, found: &mut Vec<Violation>) {
    let named: BTreeSet<WorkerId> = read.damaged.iter().filter_map(|it| it.worker_id).collect();
    let strange = Strange::of(truth, read);
    let differing = truth.views.iter().filter(|(worker_id, view)| {
        let shown = read.views.get(worker_id);
        let is_same = match (shown, strange.has_incarnations) {
            // Which one wrote the newest of its events is what was lost.
            (Some(shown), true) => {
                let cursor = shown.cursor;
                cursor.position() == view.cursor.position()
                    && *shown
                        == WorkerView {
                            cursor,
                            ..WorkerView::clone(view)
                        }
            }
            (shown, _) => shown == Some(view),
        };
        !is_same && !named.contains(worker_id)
    });
    let (wrong, missing): (Vec<_>, Vec<_>) =
        differing.partition(|(worker_id, _)| read.views.contains_key(worker_id));
    let wrong = wrong.into_iter().skip(strange.parts);
    let missing = missing.into_iter().skip(strange.workers);
    for (worker_id, view) in wrong.chain(missing).take(KEPT_MAX) {
        let shown = read.views.get(worker_id);
        let detail = format!("{worker_id} is shown as {shown:?}, and is {view:?}");
        found.push(Violation::new("I7 a damaged record is told", detail));
    }
}

/// Damaged records of which nobody knows whose they are: a key may be what is damaged, and is then of
/// one that never was. Each excuses one Worker; one that was deleted is known, and excuses nobody.
struct Strange {
    /// Of Workers: as many may be missing.
    workers: usize,
    /// Of what a Worker was sent: as many may be shown without it.
    parts: usize,
    /// Of openings: cursors may name another one.
    has_incarnations: bool,
}

impl Strange {
    fn of(truth: &Reading, read: &Reading) -> Self {
        let count = |tables: &[&str]| {
            let records = read.damaged.iter().filter(|record| {
                let is_strange = record.worker_id.is_none_or(|worker_id| {
                    !truth.views.contains_key(&worker_id) && !truth.deleted.contains(&worker_id)
                });
                is_strange && tables.contains(&record.table.as_str())
            });
            records.map(lacking).sum::<usize>()
        };
        Self {
            workers: count(&["worker"]),
            parts: count(&["unfinished"]),
            has_incarnations: count(&["incarnation"]) > 0,
        }
    }
}

/// Workers that never were, or were deleted, are not shown, and nothing is served of them; but what the
/// log tells of a deletion itself may be.
fn phantoms(truth: &Reading, read: &Reading, found: &mut Vec<Violation>) {
    let is_hidden = |read: &StreamRead<Shown>| {
        let mut served = read.found.iter();
        served.any(|(position, shown)| truth.log.found.get(position) != Some(shown))
    };
    let views = read.views.keys().map(|worker_id| (worker_id, "a view"));
    let events = read.events.iter().filter(|(_, read)| is_hidden(read));
    let events = events.map(|(worker_id, _)| (worker_id, "an event"));
    let transcripts = read.transcripts.iter();
    let transcripts = transcripts.filter(|(_, read)| !read.found.is_empty());
    let transcripts = transcripts.map(|(worker_id, _)| (worker_id, "a transcript"));
    let all = views.chain(events).chain(transcripts);
    let phantoms = all.filter(|(worker_id, _)| !truth.views.contains_key(worker_id));
    for (worker_id, what) in phantoms.take(KEPT_MAX) {
        let was = match truth.deleted.contains(worker_id) {
            true => "was deleted",
            false => "never was",
        };
        let served = read.events.get(worker_id).map(|read| &read.found);
        let detail = format!("{worker_id} {was}, and {what} of it is served: {served:?}");
        found.push(Violation::new("I7 damaged is never served", detail));
    }
}

/// How many rows a table is said to lack: of a whole table that is told with the rows that were written
/// and those that are there, of a row alone.
fn lacking(record: &DamagedView) -> usize {
    let words = record.detail.split_whitespace();
    let mut counts = words.filter_map(|word| word.parse::<usize>().ok());
    let is_of_one = record.worker_id.is_some() || record.lease_id.is_some();
    match (is_of_one, counts.next(), counts.next()) {
        (false, Some(written), Some(there)) => written.abs_diff(there).max(1),
        _ => 1,
    }
}

fn stream<T: PartialEq + Debug>(
    name: &str,
    truth: &StreamRead<T>,
    read: &StreamRead<T>,
    end: u64,
    found: &mut Vec<Violation>,
) {
    let wrong = read
        .found
        .iter()
        .filter(|(position, one)| truth.found.get(position) != Some(one));
    for (position, one) in wrong.take(KEPT_MAX) {
        let detail = format!(
            "{name} has {one:?} at {position}, and it was {:?}",
            truth.found.get(position)
        );
        found.push(Violation::new("I7 damaged is never served", detail));
    }
    let missing = truth.found.keys().filter(|position| {
        // Beyond its end a store that lost its newest part tells of it as a whole.
        **position <= end && !read.found.contains_key(position) && !read.tells_of(**position)
    });
    for position in missing.take(KEPT_MAX) {
        let detail = format!(
            "{name} has nothing at {position}, and no gap tells of it: {:?}",
            read.gaps
        );
        found.push(Violation::new("I10 a gap is told", detail));
    }
}

#[cfg(test)]
mod tests;
