//! Which Worker a user means: its id, the beginning of its id, or its name when only one has it.
//! Names are for people; from here on only the id counts.

use worker_runtime_core::{Code, ListOrder, Observation, WorkerFilter, WorkerId, view::WorkerView};

use crate::{error::CliError, suggest::Suggestion};

/// The shortest beginning of an id that is taken for one, in hexadecimal digits.
const PREFIX_DIGITS_MIN: usize = 8;
/// How many candidates a message names.
const CANDIDATES_MAX: usize = 5;

/// Every Worker that is not deleted, archived ones too, oldest first.
pub(crate) fn all(observation: &Observation) -> Vec<WorkerView> {
    let filter = WorkerFilter {
        archived: true,
        ..WorkerFilter::default()
    };
    observation
        .workers(&filter, ListOrder::Created, 0, usize::MAX)
        .workers
}

/// The Worker that is meant.
///
/// # Errors
/// When none is meant, or more than one: the message names them.
pub(crate) fn find(observation: &Observation, text: &str) -> Result<WorkerView, CliError> {
    if let Ok(worker_id) = text.parse::<WorkerId>() {
        return Ok(observation.worker(worker_id)?);
    }
    let mut found = all(observation);
    found.retain(|worker| means(text, worker.worker_id, worker.display_name.as_deref()));
    match found.len() {
        1 => found.pop().ok_or_else(|| unknown(text)),
        0 => Err(unknown(text)),
        _ => Err(ambiguous(text, &found)),
    }
}

fn means(text: &str, worker_id: WorkerId, name: Option<&str>) -> bool {
    if name == Some(text) {
        return true;
    }
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    digits.len() >= PREFIX_DIGITS_MIN
        && digits.chars().all(|c| c.is_ascii_hexdigit())
        && plain(worker_id).starts_with(&digits.to_ascii_lowercase())
}

fn plain(worker_id: WorkerId) -> String {
    worker_id.to_string().replace('-', "")
}

fn unknown(text: &str) -> CliError {
    let text: String = text.chars().take(64).collect();
    let message = format!(
        "there is no Worker {text:?}; give an id, its first {PREFIX_DIGITS_MIN} digits or more, or a name"
    );
    CliError::new(Code::WorkerUnknown, message).hint(Suggestion::worker_ls())
}

fn ambiguous(text: &str, found: &[WorkerView]) -> CliError {
    let named = found.iter().take(CANDIDATES_MAX).map(|worker| {
        let name = worker.display_name.as_deref().unwrap_or("unnamed");
        format!("{} ({name}, {})", worker.worker_id, worker.lifecycle)
    });
    let mut named: Vec<String> = named.collect();
    if found.len() > CANDIDATES_MAX {
        named.push(format!("and {} more", found.len() - CANDIDATES_MAX));
    }
    let message = format!(
        "{text:?} means {} Workers: {}",
        found.len(),
        named.join("; ")
    );
    CliError::new(Code::WorkerAmbiguous, message).hint(Suggestion::worker_ls())
}

/// The shortest beginnings of these ids that tell them apart from each other, for a table.
pub(crate) fn short_ids(all: &[WorkerView]) -> impl Fn(WorkerId) -> String {
    let mut sorted: Vec<String> = all
        .iter()
        .map(|worker| worker.worker_id.to_string())
        .collect();
    sorted.sort_unstable();
    // Where two neighbours first differ; ids sort by time, so neighbours are the closest.
    let shared = sorted.windows(2).map(|pair| match pair {
        [a, b] => a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count(),
        _ => 0,
    });
    let length = shared.max().map_or(0, |shared| shared + 1).max(13);
    move |worker_id| worker_id.to_string().chars().take(length).collect()
}

#[cfg(test)]
mod tests;
