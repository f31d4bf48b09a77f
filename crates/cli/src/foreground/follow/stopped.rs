//! What becomes of an input whose server has ended, with nobody to run its store: what its record there
//! says. Everything that was said of it was printed before.

use worker_runtime_core::view::WorkerView;

use super::Follow;
use crate::{
    error::Failure,
    foreground::{Contact, Ended},
};

impl Follow<'_> {
    /// The server has ended, and nobody runs its store.
    pub(super) async fn stopped(&mut self) -> Result<(), Failure> {
        let stopped = self.host.stopped(self.followed.worker_id).await?;
        let Some((worker, unfinished)) = stopped else {
            // Somebody has it again.
            return self.ask_again().await;
        };
        self.contact = Contact::Stopped;
        if self.ended.is_none() {
            self.unfinished(unfinished);
            self.ended = Some(self.left_behind(worker));
        }
        Ok(())
    }

    /// What is known of the input in a stopped store.
    fn left_behind(&self, worker: WorkerView) -> Ended {
        let activity = &worker.activity;
        let is_ours = activity.input_id.as_ref() == Some(&self.followed.input_id);
        let (was_running, paused) = (is_ours && activity.run_id.is_some(), worker.paused);
        match self.last_run(worker, false) {
            Some(ended) => ended,
            None if was_running => Ended::Lost,
            None => Ended::Waits { paused },
        }
    }
}
