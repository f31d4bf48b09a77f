//! What a Worker needs from its user, and why: shared by `status`, `worker show` and whatever leaves
//! inputs waiting.

use worker_runtime_core::view::{Phase, WorkerView};

use crate::suggest::Suggestion;

/// Something to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    /// Why.
    pub(crate) why: String,
    /// What to type; the first one does least harm.
    pub(crate) suggestions: Vec<Suggestion>,
}

/// What this Worker needs, if it needs anything; `live` when somebody runs its store.
pub(crate) fn for_worker(worker: &WorkerView, live: bool) -> Option<Advice> {
    let worker_id = worker.worker_id;
    let waiting = worker.activity.queued;
    let inputs = match waiting {
        1 => "1 input waits".to_owned(),
        count => format!("{count} inputs wait"),
    };
    let (why, suggestions) = match worker.activity.phase? {
        Phase::Unproven => (
            "its processes can't be shown to be dead, so it keeps its scope and runs nothing; look for them, end what is left, and only then say so".to_owned(),
            vec![
                Suggestion::event_ls(Some(worker_id)),
                Suggestion::worker_assume_dead(worker_id),
            ],
        ),
        Phase::RequiresAction if live => {
            let action = worker.activity.actions.first()?;
            let name = action.action_id.as_str();
            let answer = |option: &String| Suggestion::worker_answer(worker_id, name, option);
            let mut answers: Vec<_> = action.options.iter().map(answer).collect();
            if answers.is_empty() {
                answers.push(Suggestion::worker_answer(worker_id, name, "ANSWER"));
            }
            ("its run waits for one of these answers".to_owned(), answers)
        }
        Phase::Running | Phase::Cancelling if live => return None,
        // Of a store that nobody runs: whatever ran was lost.
        Phase::Running | Phase::RequiresAction | Phase::Cancelling | Phase::Lost => (
            "its run was lost with its Runtime: processes of it may still run, and its scope is held; the next change of the store ends them and records the outcome".to_owned(),
            vec![
                Suggestion::worker_run(worker_id),
                Suggestion::worker_stop(worker_id),
            ],
        ),
        Phase::Queued if worker.paused => (
            format!("{inputs}, as the Worker is paused"),
            vec![Suggestion::worker_resume(worker_id)],
        ),
        Phase::Queued if live => return None,
        Phase::Queued => (
            format!("{inputs}, and nobody runs a stopped store"),
            vec![Suggestion::worker_run(worker_id)],
        ),
    };
    Some(Advice { why, suggestions })
}
