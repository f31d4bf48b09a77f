//! Listening: the client follows the Runtime's stream, and waits by it until all is quiet (I2, I10).

use std::time::Duration;

use tokio::time::timeout;
use tokio_stream::StreamExt;
use worker_runtime_core::{
    Event, EventType, ListOrder, ObserveOptions, Observed, Stream, WorkerFilter,
    cursor::From as Start,
    error::ReadError,
    record::Lifecycle,
    view::{Phase, WorkerView},
};

use super::{
    client::Client,
    journal::{Beginning, Given, Told},
    limits::RETENTION,
    turn::{Turn, redacted_of},
};
use crate::{audit::trims::check_trims, backend::News, report::Violation};

impl Client {
    /// Listens until everything that is published was told and nothing is under way any more.
    pub async fn catch_up(&mut self) {
        let settled = timeout(self.patience, self.until_settled()).await.is_ok();
        if !settled {
            self.lose_patience(&format!("that all is told and quiet, {}", self.unrest()));
        }
        self.look_at_beginning();
    }

    async fn until_settled(&mut self) {
        loop {
            self.take_news();
            if self.is_settled() {
                return;
            }
            self.listen().await;
        }
    }

    /// One item of the stream, or news of the stage.
    pub(super) async fn listen(&mut self) {
        if self.observer.is_none() {
            self.observe();
        }
        let stage = self.stage.clone();
        let Some(observer) = &mut self.observer else {
            return tokio::time::sleep(Duration::from_millis(1)).await;
        };
        tokio::select! {
            observed = observer.next() => match observed {
                Some(Ok(observed)) => self.note(observed),
                Some(Err(_)) | None => {
                    self.observer = None;
                    // It may be at its end for good.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            },
            () = stage.changed() => {}
        }
    }

    fn observe(&mut self) {
        let Some(observation) = self.observation() else {
            return;
        };
        let start = self.cursor.map_or(Start::Beginning, Start::After);
        match observation.observe(Stream::Runtime, start, ObserveOptions::default()) {
            Ok(observer) => self.observer = Some(observer),
            Err(ReadError::Unavailable(_)) => {}
            Err(error) => {
                let detail = format!("its own cursor can't be followed: {error}");
                self.journal
                    .violations
                    .push(Violation::new("I2 cursors stay valid", detail));
                self.cursor = None;
            }
        }
    }

    fn note(&mut self, observed: Observed) {
        let next = self.journal.told_to().next();
        let told_at = (self.options.meter)();
        let (cursor, from) = match &observed {
            Observed::Started(cursor) | Observed::UpToDate(cursor) | Observed::Reached(cursor) => {
                self.cursor = Some(*cursor);
                return;
            }
            Observed::Delta(_) => return,
            Observed::Gap(cursor, gap) => {
                self.journal.gaps.push((gap.from, gap.to));
                (*cursor, gap.from)
            }
            Observed::Event(cursor, event) if event.kind == EventType::REDACTED => {
                let (from, worker_id) = redacted_of(event);
                self.journal
                    .redacted
                    .push((from, event.position, worker_id));
                (*cursor, from)
            }
            Observed::Event(cursor, event) => (*cursor, event.position),
        };
        self.cursor = Some(cursor);
        if from != next {
            let detail = format!("{from} was told where {next} is next");
            self.journal
                .violations
                .push(Violation::new("I2 a stream tells all, once", detail));
        }
        if let Observed::Event(_, event) = &observed
            && [EventType::WORKER_STOPPED, EventType::WORKER_CANCELLED].contains(&event.kind)
            && let Some(place) = event.worker
            && self.stage.is_running(place.worker_id)
        {
            let detail = format!(
                "{} has ended, and its backend is not quiet",
                place.worker_id
            );
            let promise = "I6 a scope is held until all is quiet";
            self.journal
                .violations
                .push(Violation::new(promise, detail));
        }
        if let Observed::Event(cursor, event) = observed
            && event.kind != EventType::REDACTED
        {
            self.journal.told.insert(
                event.position,
                Told {
                    told_at,
                    cursor,
                    event,
                },
            );
        }
    }

    fn take_news(&mut self) {
        let at = (self.options.meter)();
        for news in self.stage.take_news() {
            match news {
                News::Taken(taken) => {
                    let turn = Turn::new(*taken);
                    self.journal.given.push(Given {
                        run_id: turn.run_id,
                        worker_id: turn.worker_id,
                        input_id: turn.input_id.clone(),
                        at,
                    });
                    self.runs.insert(turn.run_id, turn);
                }
                News::Ended(run_id, action_id, _) => {
                    if let Some(turn) = self.runs.get_mut(&run_id) {
                        turn.actions.retain(|(open, _)| *open != action_id);
                    }
                }
                News::Cancelled(run_id) => self.end_run(run_id),
            }
        }
    }

    pub(super) fn views(&self) -> Vec<WorkerView> {
        let filter = WorkerFilter {
            archived: true,
            ..WorkerFilter::default()
        };
        let observation = self.observation();
        observation.map_or_else(Vec::new, |observation| {
            let list = observation.workers(&filter, ListOrder::Created, 0, usize::MAX);
            list.workers
        })
    }

    fn is_settled(&self) -> bool {
        let Some(observation) = self.observation() else {
            return true;
        };
        if observation.runtime().position > self.journal.told_to() {
            return false;
        }
        self.views().iter().all(|view| {
            let ends =
                view.ending.is_some() && view.lifecycle == Lifecycle::Active && !view.unproven;
            let is_known = match (view.activity.phase, view.activity.run_id) {
                (Some(Phase::Cancelling), _) => false,
                (Some(phase), Some(run_id)) if phase.is_running() => {
                    self.runs.contains_key(&run_id)
                }
                _ => true,
            };
            !ends && is_known
        })
    }

    /// What is not settled, for whoever waited for it.
    pub fn unrest(&self) -> String {
        let published = self.observation().map(|it| it.runtime().position);
        let views = self.views().into_iter().filter(|view| {
            view.activity.phase.is_some()
                || (view.ending.is_some() && view.lifecycle == Lifecycle::Active)
        });
        let views: Vec<_> = views
            .map(|view| (view.worker_id, view.activity.phase, view.ending))
            .collect();
        format!(
            "told to {} of {published:?}, at work: {views:?}",
            self.journal.told_to()
        )
    }

    fn look_at_beginning(&mut self) {
        let Some(observation) = self.observation() else {
            return;
        };
        let seen_at = (self.options.meter)();
        if let Ok(cursor) = observation.resolve(Stream::Runtime, Start::Beginning) {
            self.journal.beginnings.push(Beginning {
                seen_at,
                position: observation.runtime().position,
                trimmed_to: cursor.position(),
            });
        }
        self.look_at_trims();
    }

    /// Whether what was trimmed since the last look was over a limit.
    fn look_at_trims(&mut self) {
        let Some(observation) = self.observation() else {
            return;
        };
        let workers = self
            .views()
            .into_iter()
            .map(|view| Stream::Worker(view.worker_id));
        let mut begins = self.began.clone();
        for stream in workers.chain([Stream::Runtime]) {
            if let Ok(cursor) = observation.resolve(stream, Start::Beginning) {
                begins.insert(stream, cursor.position());
            }
        }
        let told: Vec<&Event> = self.journal.told.values().map(|told| &told.event).collect();
        // All that may have been trimmed by then was told, and took room that is known.
        let position = observation.runtime().position;
        let is_known = self.journal.told_to() >= position && told.len() as u64 >= position.0;
        if begins == self.began || !is_known {
            return;
        }
        let broken = check_trims(told, &self.began, &begins, &RETENTION);
        self.journal.violations.extend(broken);
        self.began = begins;
    }

    pub(super) async fn hear_the_end(&mut self) {
        let Some(mut observer) = self.observer.take() else {
            return;
        };
        loop {
            match timeout(self.patience, observer.next()).await {
                Ok(Some(Ok(observed))) => self.note(observed),
                Ok(_) => return,
                Err(_) => return self.lose_patience("the end of the stream"),
            }
        }
    }
}
