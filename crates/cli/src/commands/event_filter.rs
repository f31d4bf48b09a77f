//! Which events are printed, for `event ls` and `event tail`.

use clap::Args;
use worker_runtime_core::{
    EventFilter, RunId,
    event::{FILTER_TYPES_MAX, TypePattern},
};

use crate::{error::CliError, suggest::Suggestion};

#[derive(Debug, Args)]
pub(super) struct FilterArgs {
    /// Only events of this type, as `run.finished`, or of all below a word, as `run.*`; may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<TypePattern>,
    /// Only events of this run
    #[arg(long = "run", value_name = "RUN")]
    run_id: Option<RunId>,
}

impl FilterArgs {
    /// # Errors
    /// When it names more types than may be.
    pub(super) fn filter(&self, command: &[&str]) -> Result<EventFilter, CliError> {
        let count = self.types.len();
        if count > FILTER_TYPES_MAX {
            let message = format!(
                "--type is given {count} times, and {FILTER_TYPES_MAX} may be: name what is above them, as `run.*`"
            );
            return Err(CliError::usage(message, command));
        }
        Ok(EventFilter {
            types: self.types.clone(),
            run_id: self.run_id,
        })
    }

    /// The same for a command that goes on.
    pub(super) fn said_in(&self, suggestion: Suggestion) -> Suggestion {
        let types = self
            .types
            .iter()
            .map(|pattern| ("--type", pattern.to_string()));
        let run = self.run_id.map(|run_id| ("--run", run_id.to_string()));
        types
            .chain(run)
            .fold(suggestion, |suggestion, (option, value)| {
                suggestion.with_option(option, value)
            })
    }
}
