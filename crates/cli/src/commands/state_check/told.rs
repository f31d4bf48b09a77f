//! Findings as they are made, one line each, and the account at the end.

use std::{fmt, path::Path, time::Duration};

use serde::Serialize;
use serde_json::json;
use worker_runtime_core::{Code, LeaseId, Position, Seq, WorkerId};
use worker_runtime_persist::{CheckWatcher, Checked, Cost, Finding, Structure};

use super::progress::Progress;
use crate::{
    args::Format,
    error::Failure,
    exit::Exit,
    output::{Printer, duration_text, shown},
    suggest::Suggestion,
};

/// The most findings that a JSON document holds (I9); the lines of the other formats are not kept.
const FINDINGS_MAX: usize = 10_000;
/// The most commands that are suggested at the end.
const NEXT_MAX: usize = 4;

/// What mending something costs, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Severity {
    Repairable,
    CostsData,
    WentBack,
    Unfinished,
}

impl Severity {
    fn of(finding: &Finding) -> Self {
        match (finding.code, finding.cost) {
            (Code::StateWentBack, _) => Self::WentBack,
            (_, Cost::Nothing) => Self::Repairable,
            (_, Cost::Data) => Self::CostsData,
            (_, Cost::Unknown) => Self::Unfinished,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Repairable => "repairable",
            Self::CostsData => "costs data",
            Self::WentBack => "went back",
            Self::Unfinished => "unfinished",
        }
    }
}

#[derive(Serialize)]
struct Range<T> {
    from: T,
    to: T,
}

impl<T> Range<T> {
    fn of((from, to): (T, T)) -> Self {
        Self { from, to }
    }
}

/// A finding, as a document has it.
#[derive(Serialize)]
struct Told {
    code: Code,
    severity: Severity,
    table: &'static str,
    worker_id: Option<WorkerId>,
    lease_id: Option<LeaseId>,
    seqs: Option<Range<Seq>>,
    positions: Option<Range<Position>>,
    detail: String,
    next: String,
}

/// A finding in a line.
struct Line<'a>(&'a Finding);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(finding) = self;
        let severity = Severity::of(finding).words();
        write!(f, "{severity}  {}  {}", finding.code, finding.table)?;
        if let Some(worker_id) = finding.worker_id {
            write!(f, ", Worker {worker_id}")?;
        }
        if let Some(lease_id) = finding.lease_id {
            write!(f, ", lease {lease_id}")?;
        }
        if let Some((from, to)) = finding.seqs {
            write!(f, ", seqs {from} to {to}")?;
        }
        if let Some((from, to)) = finding.positions {
            write!(f, ", positions {from} to {to}")?;
        }
        write!(f, ": {}", shown(&finding.detail))
    }
}

/// What was looked at.
pub(super) struct Account<'a> {
    pub(super) path: &'a Path,
    pub(super) depth: &'static str,
    pub(super) checked: Checked,
    /// What was found of the file's pages; `None` when nobody looked.
    pub(super) structure: Option<&'static str>,
    pub(super) elapsed: Duration,
}

/// Tells findings, and counts them.
pub(super) struct Telling<'p> {
    printer: &'p mut Printer,
    progress: Progress,
    /// Why nothing more is printed.
    failure: Option<Failure>,
    kept: Vec<Told>,
    next: Vec<Suggestion>,
    /// How many of each severity.
    counts: [usize; 4],
    is_file_damaged: bool,
}

impl<'p> Telling<'p> {
    pub(super) fn new(printer: &'p mut Printer) -> Self {
        Self {
            progress: Progress::new(!printer.format().is_json()),
            printer,
            failure: None,
            kept: Vec::new(),
            next: Vec::new(),
            counts: [0; 4],
            is_file_damaged: false,
        }
    }

    const fn count(&self, severity: Severity) -> usize {
        let [repairable, costs_data, went_back, unfinished] = self.counts;
        match severity {
            Severity::Repairable => repairable,
            Severity::CostsData => costs_data,
            Severity::WentBack => went_back,
            Severity::Unfinished => unfinished,
        }
    }

    fn total(&self) -> usize {
        self.counts.iter().sum()
    }

    /// What was found of the file's pages. Where no row is lost, they can be written anew.
    pub(super) fn structure(&mut self, structure: &Structure) {
        let no_row_is_lost = self.count(Severity::CostsData) == 0
            && self.count(Severity::WentBack) == 0
            && self.count(Severity::Unfinished) == 0;
        let (code, cost, detail) = match structure {
            Structure::Whole => return,
            // It is told already.
            Structure::Damaged(_) if self.is_file_damaged => return,
            Structure::Damaged(detail) if no_row_is_lost => (
                Code::CheckStructure,
                Cost::Nothing,
                format!("{detail}; no row is lost"),
            ),
            Structure::Damaged(detail) => (Code::CheckStructure, Cost::Data, detail.clone()),
            Structure::Unread(detail) => (Code::CheckUnfinished, Cost::Unknown, detail.clone()),
        };
        self.found(Finding {
            code,
            cost,
            table: "file",
            worker_id: None,
            lease_id: None,
            seqs: None,
            positions: None,
            detail,
        });
    }

    /// The account, and what the program ends with.
    pub(super) fn end(mut self, account: &Account<'_>) -> Result<Exit, Failure> {
        self.progress.clear();
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let exit = self.exit();
        if self.printer.format().is_json() {
            self.document(account)?;
        } else {
            self.printer.line(Summary(account, self.total()))?;
        }
        self.printer.flush()?;
        if exit != Exit::Done {
            self.suggest(account);
        }
        Ok(exit)
    }

    fn exit(&self) -> Exit {
        let has = |severity| self.count(severity) > 0;
        match () {
            () if has(Severity::WentBack) => Exit::WentBack,
            () if has(Severity::CostsData) => Exit::Damaged,
            () if has(Severity::Unfinished) => Exit::CheckUnfinished,
            () if has(Severity::Repairable) => Exit::Repairable,
            () => Exit::Done,
        }
    }

    fn document(&mut self, account: &Account<'_>) -> Result<(), Failure> {
        let checked = &account.checked;
        let looked_at = json!({
            "workers": checked.workers,
            "events": checked.events,
            "rows": checked.rows,
            "bytes": checked.bytes,
            "recorded_gaps": checked.recorded_gaps,
            "position": checked.position,
            "pages": account.structure,
            "duration_ms": u64::try_from(account.elapsed.as_millis()).unwrap_or(u64::MAX),
        });
        let total = self.total();
        if self.printer.format() == Format::Jsonl {
            return self.printer.json(&json!({
                "type": "checked", "source": "store", "state": account.path, "depth": account.depth,
                "findings": total, "checked": looked_at,
            }));
        }
        self.printer.json(&json!({
            "source": "store", "state": account.path, "depth": account.depth,
            "findings": self.kept, "more_findings": total.saturating_sub(self.kept.len()),
            "checked": looked_at,
        }))
    }

    fn suggest(&self, account: &Account<'_>) {
        let suffix = match self.count(Severity::WentBack) {
            0 => "damaged",
            _ => "went-back",
        };
        let mut suggestions = vec![Suggestion::copy(account.path, suffix)];
        suggestions.extend(self.next.iter().cloned());
        self.printer.next(
            "keep a copy before anything else; then see what is concerned",
            &suggestions,
        );
    }

    fn print(&mut self, finding: &Finding, next: &Suggestion) -> Result<(), Failure> {
        if !self.printer.format().is_json() {
            return self.printer.line(Line(finding));
        }
        let told = Told {
            code: finding.code,
            severity: Severity::of(finding),
            table: finding.table,
            worker_id: finding.worker_id,
            lease_id: finding.lease_id,
            seqs: finding.seqs.map(Range::of),
            positions: finding.positions.map(Range::of),
            detail: finding.detail.clone(),
            next: self.printer.command(next),
        };
        if self.printer.format() == Format::Jsonl {
            return self
                .printer
                .json(&json!({ "type": "finding", "finding": told }));
        }
        if self.kept.len() < FINDINGS_MAX {
            self.kept.push(told);
        }
        Ok(())
    }
}

impl CheckWatcher for Telling<'_> {
    fn found(&mut self, finding: Finding) {
        self.progress.clear();
        let [repairable, costs_data, went_back, unfinished] = &mut self.counts;
        let count = match Severity::of(&finding) {
            Severity::Repairable => repairable,
            Severity::CostsData => costs_data,
            Severity::WentBack => went_back,
            Severity::Unfinished => unfinished,
        };
        *count += 1;
        self.is_file_damaged |= finding.table == "file" && finding.code == Code::StateDamaged;
        let next = next(&finding);
        if self.next.len() < NEXT_MAX && !self.next.contains(&next) {
            self.next.push(next.clone());
        }
        if self.failure.is_none() {
            self.failure = self.print(&finding, &next).err();
        }
    }

    fn progress(&mut self, done_bytes: u64, all_bytes: u64) {
        self.progress.show(done_bytes, all_bytes);
    }
}

/// What to type after a finding.
fn next(finding: &Finding) -> Suggestion {
    match (finding.code, finding.worker_id, finding.lease_id) {
        (Code::StateWentBack, _, _) => Suggestion::accept_older(),
        (Code::CheckHolding, Some(worker_id), _) => Suggestion::lock_show(worker_id),
        (_, _, Some(lease_id)) => Suggestion::lock_show(lease_id),
        (Code::EventDamaged | Code::WorkerDamaged, Some(worker_id), _) => {
            Suggestion::event_ls(Some(worker_id))
        }
        (Code::EventDamaged, None, _) => Suggestion::event_ls(None),
        (code, _, _) => Suggestion::explain(code),
    }
}

/// The account in a line.
struct Summary<'a>(&'a Account<'a>, usize);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(account, findings) = self;
        let checked = &account.checked;
        let verdict = match findings {
            0 => "clean".to_owned(),
            1 => "1 finding".to_owned(),
            more => format!("{more} findings"),
        };
        write!(
            f,
            "{verdict}: {} check of {} Workers, {} events, {} rows of {} bytes, up to position {}",
            account.depth,
            checked.workers,
            checked.events,
            checked.rows,
            checked.bytes,
            checked.position
        )?;
        match account.structure {
            Some(structure) => write!(f, "; the file's pages are {structure}")?,
            None => write!(f, "; the file's pages were not looked at")?,
        }
        if checked.recorded_gaps > 0 {
            write!(f, "; {} gaps are on record", checked.recorded_gaps)?;
        }
        write!(f, "; done after {}", duration_text(account.elapsed))
    }
}
