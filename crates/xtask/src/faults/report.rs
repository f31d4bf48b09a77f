//! What was found: as text while it runs, as JSON and Markdown below `target/faults`, and as the table in
//! `RELIABILITY.md`. Results are worded as what was observed, never as what is so.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use serde::Serialize;
use worker_runtime_fault::{
    parts::Part,
    report::{Outcome, Violation},
};

use super::{
    Took,
    score::{Scored, Seen},
};
use crate::{Doing, TaskError, Verdict};

/// Between these lines `RELIABILITY.md` is written by this program.
const BEGIN: &str = "<!-- faults: begin, written by `cargo xtask faults --write` -->";
const END: &str = "<!-- faults: end -->";

/// A line of progress.
pub(crate) fn say(line: &str) {
    // Nobody may be reading; that ends nothing.
    let _ = writeln!(io::stderr(), "{line}");
}

/// What a part found.
pub(crate) fn tell(outcome: &Outcome) {
    say(&format!(
        "faults: {}: {} violations in {} ({} s)",
        outcome.part,
        outcome.violations,
        figures(outcome),
        outcome.took_ms.div_ceil(1000),
    ));
    for violation in &outcome.kept {
        say(&format!("faults:   {violation}"));
    }
}

/// What each part saw of it.
fn words(scored: &Scored) -> String {
    let seen = scored.seen.iter().map(|seen| match seen.caught {
        true => format!("{}: {}", seen.part, seen.what),
        false => format!("{} did not: {}", seen.part, seen.what),
    });
    seen.collect::<Vec<_>>().join("; ")
}

/// What became of a fault.
pub(crate) fn tell_scored(scored: &Scored, count: usize) {
    let seconds = scored.took_ms.div_ceil(1000);
    let of_all = format!("faults: {} ({count} in all)", scored.fault);
    let is_caught = if scored.is_caught() {
        "caught"
    } else {
        "NOT CAUGHT"
    };
    say(&format!(
        "{of_all}: {is_caught} in {seconds} s: {}",
        words(scored)
    ));
}

/// All that was found, and what replays it.
#[derive(Serialize)]
pub(crate) struct Report {
    command: String,
    commit: String,
    seed: u64,
    machine: String,
    took_ms: u64,
    /// Of that, until what is run was built.
    built_ms: u64,
    parts: Vec<Outcome>,
    faults: Vec<Scored>,
}

impl Report {
    pub(crate) fn new(
        command: String,
        seed: u64,
        took: Took,
        parts: Vec<Outcome>,
        faults: Vec<Scored>,
    ) -> Self {
        Self {
            command,
            commit: commit(),
            seed,
            machine: machine(),
            took_ms: u64::try_from(took.whole.as_millis()).unwrap_or(u64::MAX),
            built_ms: u64::try_from(took.built.as_millis()).unwrap_or(u64::MAX),
            parts,
            faults,
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let held = self.parts.iter().all(|outcome| outcome.violations == 0);
        match held && self.caught() == self.faults.len() {
            true => Verdict::Held,
            false => Verdict::Broken,
        }
    }

    fn caught(&self) -> usize {
        let caught = |scored: &&Scored| scored.is_caught();
        self.faults.iter().filter(caught).count()
    }

    fn score(&self) -> String {
        format!("caught {} of {}", self.caught(), self.faults.len())
    }

    fn took(&self) -> String {
        let (whole, built) = (self.took_ms.div_ceil(1000), self.built_ms.div_ceil(1000));
        format!(
            "{} s, and {built} s of building",
            whole.saturating_sub(built)
        )
    }

    /// For a terminal.
    pub(crate) fn as_text(&self) -> String {
        let mut text = String::new();
        for outcome in &self.parts {
            let _ = writeln!(
                text,
                "{:<10} {:>3} violations, {:>4} s: {}",
                outcome.part,
                outcome.violations,
                outcome.took_ms.div_ceil(1000),
                figures(outcome),
            );
            for violation in &outcome.kept {
                let _ = writeln!(text, "  {violation}");
            }
        }
        for scored in self.faults.iter().filter(|one| !one.is_caught()) {
            let _ = writeln!(text, "{} was not caught: {}", scored.fault, words(scored));
        }
        if !self.faults.is_empty() {
            let _ = writeln!(text, "{}", self.score());
        }
        let _ = write!(
            text,
            "{} at {}, {} on {}",
            self.command,
            self.commit,
            self.took(),
            self.machine
        );
        text
    }

    /// The section of `RELIABILITY.md`.
    fn as_markdown(&self) -> String {
        let mut text = format!(
            "`{}` at commit {}, on {}, in {}:\n\n",
            self.command,
            self.commit,
            self.machine,
            self.took()
        );
        if !self.parts.is_empty() {
            text.push_str("| part | broken promises observed | in |\n|---|---|---|\n");
        }
        for outcome in &self.parts {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} |",
                outcome.part,
                match outcome.violations {
                    0 => "none".to_owned(),
                    some => format!("**{some}**"),
                },
                figures(outcome)
            );
        }
        if !self.faults.is_empty() {
            let _ = write!(
                text,
                "\nOf the faults put in on purpose, with the same seed: **{}**.\n\n\
                 | fault | caught by | as |\n|---|---|---|\n",
                self.score()
            );
        }
        for scored in &self.faults {
            let column = |of: fn(&Seen) -> String| {
                let cells: Vec<String> = scored.seen.iter().map(of).collect();
                cells.join("<br>")
            };
            let by = column(|seen| match seen.caught {
                true => format!("`{}`", seen.part),
                false => format!("**not** `{}`", seen.part),
            });
            let what = column(|seen| cell(&seen.what));
            let _ = writeln!(text, "| {} | {by} | {what} |", scored.about);
        }
        text
    }

    /// Writes the files; tells which.
    pub(crate) fn write(
        &self,
        reports: &Path,
        into_reliability: bool,
    ) -> Result<String, TaskError> {
        let json = serde_json::to_string_pretty(self).doing("write JSON")?;
        let markdown = self.as_markdown();
        let violations: Vec<&Violation> = self.parts.iter().flat_map(|part| &part.kept).collect();
        let mut whole = markdown.clone();
        if !violations.is_empty() {
            whole.push_str("\nBroken promises, each with what replays it:\n\n");
        }
        for violation in violations {
            let _ = writeln!(whole, "- {violation}");
        }
        let mut written = Vec::new();
        for (name, text) in [("report.json", json), ("report.md", whole)] {
            let path = reports.join(name);
            fs::write(&path, text).doing(format!("write {}", path.display()))?;
            written.push(path);
        }
        if into_reliability {
            written.push(put_into_reliability(&markdown)?);
        }
        let names: Vec<String> = written.iter().map(|at| at.display().to_string()).collect();
        Ok(format!("written: {}", names.join(", ")))
    }
}

fn put_into_reliability(markdown: &str) -> Result<PathBuf, TaskError> {
    let path = repository().join("RELIABILITY.md");
    let doing = format!("put the table into {}", path.display());
    let text = fs::read_to_string(&path).doing(&doing)?;
    let parts = text
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else {
        let why = format!("it has no lines {BEGIN:?} and {END:?}");
        return Err(TaskError::new(doing, why));
    };
    let text = format!("{before}{BEGIN}\n{markdown}{END}{after}");
    fs::write(&path, text).doing(doing)?;
    Ok(path)
}

/// The figures that a part is told by; all of them are in the JSON.
fn figures(outcome: &Outcome) -> String {
    let told_by = Part::named(&outcome.part).map_or(&[][..], |part| part.told_by);
    let figures = told_by.iter().map(|(name, _)| {
        let value = outcome.figures.get(*name).copied().unwrap_or_default();
        format!("{} {name}", grouped(value))
    });
    figures.collect::<Vec<_>>().join(", ")
}

/// `1234567` as `1,234,567`.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Text that can't end a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The commit, and whether the tree differs from it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(repository())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changed) if changed.is_empty() => commit,
        _ => format!("{commit} with changes"),
    }
}

/// What it ran on.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory_kib: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_default();
    format!(
        "{cores} cores, {} GiB, Linux {}",
        memory_kib >> 20,
        kernel.trim()
    )
}

#[cfg(test)]
mod tests;
