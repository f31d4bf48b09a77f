//! Asking: every command is entered in the journal before it leaves, and its answer as it comes. What
//! nobody knows the outcome of is asked again (I5).

use std::time::{Duration, Instant};

use tokio::{task::JoinSet, time::timeout};
use worker_runtime_core::{Clock, Code, PageSize, RunId, Stream, cursor::From as Start};

use super::{
    asked::{Answer, Asked, SinkCall},
    client::Client,
    journal::{BlockText, Entry, KeptText},
    limits::{CHECKPOINT_BYTES, CHECKPOINT_EVERY},
};
use crate::report::Violation;

/// How often what nobody knows is asked again before it is put off.
const AGAIN_MAX: usize = 3;

/// How late the alarm of a checkpoint may come, by the machine.
const CHECKPOINT_LATE: Duration = Duration::from_millis(20);

/// How long what is shown is looked at all the time: longer than a commit takes.
const WATCHED_CLOSELY: Duration = Duration::from_millis(3);

/// And how long where calls of the disk fail: there is no slow disk below it.
const WATCHED_CLOSELY_WITH_FAULTS: Duration = Duration::from_micros(400);

/// And how often after that.
const WATCHED_EVERY: Duration = Duration::from_millis(1);

impl Client {
    /// Asks several things at once, and waits for all answers.
    pub async fn ask_all(&mut self, asks: Vec<Asked>) {
        let numbers: Vec<usize> = asks.into_iter().map(|asked| self.enter(asked)).collect();
        self.carry_out(numbers).await;
        for _ in 0..AGAIN_MAX {
            if !self.is_patient() || self.unsettled.is_empty() {
                break;
            }
            self.ask_again().await;
        }
    }

    /// Asks everything once more of which nobody knows what became; one by one, in order.
    pub async fn ask_again(&mut self) {
        for number in std::mem::take(&mut self.unsettled) {
            let again = self.journal.entries.get(number).and_then(|entry| {
                let repeatable = !matches!(entry.asked, Asked::Sink(..));
                repeatable.then(|| entry.asked.clone())
            });
            if let Some(asked) = again {
                let number = self.enter(asked);
                self.carry_out(vec![number]).await;
            }
        }
    }

    /// Asks again until everything has an answer, a few times at most, and waits until all is quiet.
    pub async fn settle(&mut self) {
        for _ in 0..AGAIN_MAX {
            self.catch_up().await;
            if self.unsettled.is_empty() {
                return;
            }
            self.ask_again().await;
        }
        if !self.unsettled.is_empty() && !self.meets_faults {
            let detail = format!("{} commands have no answer", self.unsettled.len());
            self.violated("I5 who asks again learns the truth", detail);
        }
    }

    fn enter(&mut self, asked: Asked) -> usize {
        let asked_at = (self.options.meter)();
        if let Asked::Sink(_, run_id, call) = &asked {
            self.enter_text(*run_id, call, asked_at);
        }
        self.journal.entries.push(Entry {
            asked,
            asked_at,
            answered_at: None,
            answer: Answer::Pending,
        });
        self.journal.entries.len() - 1
    }

    fn enter_text(&mut self, run_id: RunId, call: &SinkCall, asked_at: u64) {
        let (block, more, replaced) = match call {
            SinkCall::Append(block, more) => (block, more, false),
            SinkCall::Replace(block, text) => (block, text, true),
            _ => return,
        };
        let Some(block) = self.journal.blocks.get_mut(&(run_id, *block)) else {
            return;
        };
        let before = block.texts.last().filter(|_| !replaced);
        let before = before.map_or("", |last| last.text.as_str());
        let text = format!("{before}{more}");
        block.dirty_bytes = if replaced {
            text.len().max(1)
        } else {
            block.dirty_bytes + more.len()
        };
        block.texts.push(BlockText {
            asked_at,
            text,
            replaced,
        });
    }

    async fn carry_out(&mut self, numbers: Vec<usize>) {
        let Some(runtime) = self.runtime.clone() else {
            return;
        };
        let mut under_way = JoinSet::new();
        for number in numbers {
            let Some(asked) = self.journal.entries.get(number).map(|it| it.asked.clone()) else {
                continue;
            };
            let sink = match &asked {
                Asked::Sink(_, run_id, _) => self.sink_of(*run_id),
                _ => None,
            };
            let (runtime, meter) = (runtime.clone(), self.options.meter.clone());
            let patience = self.patience;
            under_way.spawn(async move {
                let asking = asked.carry_out(&runtime, sink.as_ref());
                let answer = timeout(patience, asking).await;
                // Before anything else happens: what is not on the disk now was not durable.
                let answered_at = meter();
                (number, answer.ok(), answered_at)
            });
        }
        let since = Instant::now();
        loop {
            let joined = tokio::select! {
                biased;
                joined = under_way.join_next() => joined,
                () = self.watch(since) => continue,
            };
            match joined {
                Some(Ok((number, answer, answered_at))) => {
                    self.note_answer(number, answer, answered_at);
                }
                Some(Err(error)) => self.violated("nothing panics", error.to_string()),
                None => return,
            }
        }
    }

    /// Looks at what is shown while commands are under way: nothing may be that is not durable. All the
    /// time at first, and then now and then: an answer that takes long waits for something.
    async fn watch(&mut self, since: Instant) {
        let closely = match self.meets_faults {
            true => WATCHED_CLOSELY_WITH_FAULTS,
            false => WATCHED_CLOSELY,
        };
        match since.elapsed() < closely {
            true => tokio::task::yield_now().await,
            false => tokio::time::sleep(WATCHED_EVERY).await,
        }
        let Some(observation) = self.observation() else {
            return;
        };
        let shown = observation.runtime().position;
        // Read after what was shown, and so no earlier than that.
        let seen_at = (self.options.meter)();
        if self
            .journal
            .shown
            .last()
            .is_none_or(|(_, last)| *last < shown)
        {
            self.journal.shown.push((seen_at, shown));
        }
        let Some(cursor) = self.cursor else {
            return;
        };
        let page = observation.events(Stream::Runtime, Start::After(cursor), PageSize::default());
        let newest = page
            .ok()
            .and_then(|page| page.events.last().map(|(_, event)| event.position));
        let published = observation.runtime().position;
        if newest.is_some_and(|newest| newest > published) {
            let detail = format!("{newest:?} was given where {published} was the newest");
            let promise = "I1 nothing beyond what is published is shown";
            self.journal
                .violations
                .push(Violation::new(promise, detail));
        }
    }

    /// Notes an answer; `None` is one that did not come.
    fn note_answer(&mut self, number: usize, answer: Option<Answer>, answered_at: u64) {
        let Some(entry) = self.journal.entries.get(number) else {
            return;
        };
        let word = entry.asked.word();
        match &answer {
            None => self.lose_patience(&format!("the answer to {word}")),
            Some(Answer::Unknown) if !self.meets_faults => {
                let detail = format!("{word} was answered so, and no call of the disk failed");
                self.violated("I1 an outcome is unknown only after a failure", detail);
            }
            Some(_) => {}
        }
        let answer = answer.unwrap_or(Answer::Unknown);
        let Some(entry) = self.journal.entries.get_mut(number) else {
            return;
        };
        entry.answered_at = Some(answered_at);
        entry.answer = answer.clone();
        let asked = entry.asked.clone();
        match &answer {
            Answer::Unknown => {
                self.unsettled.push(number);
                self.doubt_checkpoints();
            }
            Answer::Refused(code) if *code == Code::Bug => {
                let detail = format!("{} was answered with a bug", asked.word());
                self.journal
                    .violations
                    .push(Violation::new("no contradiction inside", detail));
            }
            _ => {}
        }
        if let Asked::Sink(_, run_id, call) = &asked {
            let is_done = matches!(answer, Answer::Done(_));
            self.note_told(*run_id, call, is_done, answered_at);
        }
    }

    /// What a run's player has to remember of an answer.
    fn note_told(&mut self, run_id: RunId, call: &SinkCall, is_done: bool, answered_at: u64) {
        match call {
            SinkCall::Append(block, more) | SinkCall::Replace(block, more) => {
                // Until the store is back, what was in a commit that failed is not asked for again: only so
                // much at once waits for a checkpoint then.
                let waits = more.len() >= CHECKPOINT_BYTES || self.failures() == Some(0);
                let Some(block) = self.journal.blocks.get_mut(&(run_id, *block)) else {
                    return;
                };
                if !is_done {
                    block.is_exact = false;
                    return;
                }
                let len = block.texts.last().map_or(0, |last| last.text.len());
                let text = block.texts.len().saturating_sub(1);
                if block.dirty_bytes < CHECKPOINT_BYTES || !waits {
                    return;
                }
                // Short of that many bytes, append waits for no checkpoint.
                let spare = if block.is_exact {
                    0
                } else {
                    CHECKPOINT_BYTES - 1
                };
                let bytes_min = len.saturating_sub(spare);
                if bytes_min > 0 {
                    block.kept.push(KeptText {
                        since: answered_at,
                        text,
                        bytes_min,
                    });
                }
                block.dirty_bytes = block.dirty_bytes.min(spare);
            }
            _ => {
                if let Some(turn) = self.runs.get_mut(&run_id) {
                    turn.told(call, is_done);
                }
                if matches!(call, SinkCall::Finish(..)) {
                    self.end_run(run_id);
                }
            }
        }
    }

    pub(super) fn doubt_checkpoints(&mut self) {
        let blocks = self.journal.blocks.values_mut();
        blocks.for_each(|block| block.is_exact = false);
    }

    /// Moves the Runtime's clock, and lets the machine's go on as long: its alarm waits by that.
    pub(super) async fn let_time_pass(&mut self) {
        let ms = self.rng.u64(4..14);
        let failures = self.failures();
        self.catch_up().await;
        let before = (self.options.meter)();
        self.doubt_checkpoints();
        self.options.clock.advance(Duration::from_millis(ms));
        tokio::time::sleep(Duration::from_millis(ms)).await;
        self.catch_up().await;
        self.check_deadlines().await;
        let now = (self.options.meter)();
        // Nobody asked anything: what was written then was written because it was due.
        let was_due = now > before && Duration::from_millis(ms) > CHECKPOINT_EVERY;
        if !was_due || failures != Some(0) {
            return;
        }
        // It may have been something else that was due: on a crowded machine the alarm of the checkpoint
        // comes a moment later, and nothing tells of it.
        tokio::time::sleep(CHECKPOINT_LATE).await;
        self.ask_all(vec![self.ask_nothing()]).await;
        if self.failures() == Some(0) {
            self.promise_checkpoints();
        }
    }

    /// What is due was noticed, soon after the clock went by.
    pub(super) async fn check_deadlines(&mut self) {
        let noticed = async {
            while let Some(overdue) = self.overdue() {
                if timeout(self.patience, self.listen()).await.is_err() {
                    return Some(overdue);
                }
            }
            None
        };
        let overdue = noticed.await;
        if let Some(overdue) = overdue.filter(|_| self.failures() == Some(0)) {
            let promise = "I4 what is due is ended";
            self.journal
                .violations
                .push(Violation::new(promise, overdue));
        }
    }

    fn overdue(&self) -> Option<String> {
        let now = Clock::now(&self.options.clock);
        self.views().iter().find_map(|view| {
            let actions = view.activity.actions.iter();
            let mut overdue = actions.filter(|action| action.deadline.is_some_and(|it| it < now));
            overdue.next().map(|action| {
                let (worker_id, action_id) = (view.worker_id, &action.action_id);
                format!(
                    "{action_id} of {worker_id} lapses at {:?}, and it is {now}",
                    action.deadline
                )
            })
        })
    }

    /// Everything that was said before a tick is in a checkpoint after it.
    fn promise_checkpoints(&mut self) {
        let since = (self.options.meter)();
        for block in self.journal.blocks.values_mut() {
            let bytes_min = block.texts.last().map_or(0, |last| last.text.len());
            let text = block.texts.len().saturating_sub(1);
            if bytes_min > 0 {
                block.kept.push(KeptText {
                    since,
                    text,
                    bytes_min,
                });
            }
            block.dirty_bytes = 0;
            block.is_exact = true;
        }
    }

    /// Commits that failed since the opening; `None` when nothing is open.
    pub(super) fn failures(&self) -> Option<u64> {
        let status = self.observation()?.runtime();
        self.is_patient().then_some(status.commits_unknown)
    }
}
