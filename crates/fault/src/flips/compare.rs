//! A reading of a damaged store beside the truth: the same, or missing and told.

use std::fmt::Debug;

use super::reading::{Reading, StreamRead};
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
    // Whose record it is may be what is damaged: then it is said of one that never was.
    let is_known = |whose: &Option<_>| whose.is_some_and(|id| truth.views.contains_key(&id));
    if !read.damaged.iter().all(is_known) {
        return;
    }
    let differing = truth.views.iter().filter(|(worker_id, view)| {
        read.views.get(worker_id) != Some(view) && !read.damaged.contains(&Some(**worker_id))
    });
    for (worker_id, view) in differing.take(KEPT_MAX) {
        let shown = read.views.get(worker_id);
        let detail = format!("{worker_id} is shown as {shown:?}, and is {view:?}");
        found.push(Violation::new("I7 a damaged record is told", detail));
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
