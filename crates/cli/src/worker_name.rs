//! Which Worker a user means: its id, the beginning of its id, or its name when only one has it.
//! Names are for people; from here on only the id counts.

use std::collections::BTreeMap;

use worker_runtime_core::{
    Code, ListOrder, WorkerFilter, WorkerId,
    view::{Holder, WorkerView},
};

use crate::{error::CliError, suggest::Suggestion, target::Target};

/// The shortest beginning of an id that is taken for one, in hexadecimal digits.
const PREFIX_DIGITS_MIN: usize = 8;
/// How many candidates a message names.
const CANDIDATES_MAX: usize = 5;

/// Every Worker that is not deleted, archived ones too, oldest first.
///
/// # Errors
/// When the server can't be asked.
pub(crate) fn all(target: &Target) -> Result<Vec<WorkerView>, CliError> {
    let filter = WorkerFilter {
        archived: true,
        ..WorkerFilter::default()
    };
    let list = target.workers(&filter, ListOrder::Created, 0, usize::MAX)?;
    Ok(list.workers)
}

/// Workers whose own records can't be used, each once. Only their ids are known.
///
/// # Errors
/// When the server can't be asked.
pub(crate) fn damaged(target: &Target) -> Result<BTreeMap<WorkerId, String>, CliError> {
    let mut damaged = BTreeMap::new();
    for record in target.runtime()?.damaged {
        let Some(worker_id) = record.worker_id else {
            continue;
        };
        // A damaged record of another table leaves its Worker as it is.
        if target
            .worker(worker_id)
            .is_err_and(|error| error.code == Code::WorkerDamaged)
        {
            damaged.insert(worker_id, record.detail);
        }
    }
    Ok(damaged)
}

/// The Worker that is meant.
///
/// # Errors
/// When none is meant, or more than one: the message names them; or when its record is damaged.
pub(crate) fn find(target: &Target, text: &str) -> Result<WorkerView, CliError> {
    target.worker(find_id(target, text)?)
}

/// The id of the Worker that is meant, whatever is the matter with it: a Worker that was deleted or
/// whose record is damaged still has events.
///
/// # Errors
/// When none is meant, or more than one: the message names them.
pub(crate) fn find_id(target: &Target, text: &str) -> Result<WorkerId, CliError> {
    match text.parse::<WorkerId>() {
        Ok(worker_id) => return Ok(worker_id),
        // A whole id that is none is no beginning and no name either.
        Err(error) if is_nil(text) => return Err(error.into()),
        Err(_) => {}
    }
    let mut whole = all(target)?;
    whole.retain(|worker| means(text, worker.worker_id, worker.display_name.as_deref()));
    let mut damaged = damaged(target)?;
    damaged.retain(|worker_id, _| means(text, *worker_id, None));
    let mut found: Vec<WorkerId> = whole.iter().map(|worker| worker.worker_id).collect();
    found.extend(damaged.keys());
    match found.as_slice() {
        [worker_id] => Ok(*worker_id),
        [] => Err(unknown(text)),
        _ => Err(ambiguous(text, &whole, &damaged)),
    }
}

/// Whether it is the UUID that names nothing.
pub(crate) fn is_nil(text: &str) -> bool {
    let digits: Vec<char> = text.chars().filter(|c| *c != '-').collect();
    digits.len() == 32 && digits.iter().all(|digit| *digit == '0')
}

fn means(text: &str, worker_id: WorkerId, name: Option<&str>) -> bool {
    name == Some(text) || begins_with(&worker_id.to_string(), text)
}

/// Whether a text can be the beginning of an id.
pub(crate) fn may_begin_an_id(text: &str) -> bool {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    digits.len() >= PREFIX_DIGITS_MIN && digits.chars().all(|c| c.is_ascii_hexdigit())
}

/// Whether an id begins with a text.
pub(crate) fn begins_with(id: &str, text: &str) -> bool {
    let plain = |text: &str| text.replace('-', "").to_ascii_lowercase();
    may_begin_an_id(text) && plain(id).starts_with(&plain(text))
}

fn unknown(text: &str) -> CliError {
    let text: String = text.chars().take(64).collect();
    let message = format!(
        "there is no Worker {text:?}; give an id, its first {PREFIX_DIGITS_MIN} digits or more, or a name"
    );
    CliError::new(Code::WorkerUnknown, message).hint(Suggestion::worker_ls())
}

fn ambiguous(text: &str, whole: &[WorkerView], damaged: &BTreeMap<WorkerId, String>) -> CliError {
    let count = whole.len() + damaged.len();
    let whole = whole.iter().map(|worker| {
        let name = worker.display_name.as_deref().unwrap_or("unnamed");
        format!("{} ({name}, {})", worker.worker_id, worker.lifecycle)
    });
    let damaged = damaged.keys().map(|id| format!("{id} (damaged)"));
    let mut named: Vec<String> = whole.chain(damaged).take(CANDIDATES_MAX).collect();
    if count > CANDIDATES_MAX {
        named.push(format!("and {} more", count - CANDIDATES_MAX));
    }
    let message = format!("{text:?} means {count} Workers: {}", named.join("; "));
    CliError::new(Code::WorkerAmbiguous, message).hint(Suggestion::worker_ls())
}

/// The shortest beginnings of these ids that tell them apart from each other, for a table.
pub(crate) fn short_ids(all: impl Iterator<Item = WorkerId>) -> impl Fn(WorkerId) -> String {
    let short = short_holders(all.map(Holder::Worker));
    move |worker_id| short(worker_id.into())
}

/// The same where others than Workers hold something too.
pub(crate) fn short_holders(all: impl Iterator<Item = Holder>) -> impl Fn(Holder) -> String {
    let mut sorted: Vec<String> = all.map(holder_id).collect();
    sorted.sort_unstable();
    // Where two neighbours first differ; ids sort by time, so neighbours are the closest.
    let shared = sorted.windows(2).map(|pair| match pair {
        [a, b] => a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count(),
        _ => 0,
    });
    let length = shared.max().map_or(0, |shared| shared + 1).max(13);
    move |holder| holder_id(holder).chars().take(length).collect()
}

/// The id of whoever holds something, as it is typed.
pub(crate) fn holder_id(holder: Holder) -> String {
    match holder {
        Holder::Worker(worker_id) => worker_id.to_string(),
        Holder::Lease(lease_id) => lease_id.to_string(),
    }
}

#[cfg(test)]
mod tests;
