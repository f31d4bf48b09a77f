//! `cargo xtask faults`: builds the harness and the command, runs all parts, then the list of faults
//! put in on purpose, and writes what was found.
//!
//! - `build`: the programs, as they are shipped and with the switch of the faults
//! - `part`: one run of one part, in a process of its own
//! - `score`: the faults put in on purpose
//! - `report`: JSON, Markdown, and the table in `RELIABILITY.md`

mod build;
mod part;
mod report;
mod score;

use std::{
    io::{self, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use worker_runtime_fault::{
    parts::PARTS,
    report::{Outcome, Violation},
    settings::Size,
};

use self::{
    build::Programs,
    part::{Ran, Run},
    report::Report,
};
use crate::{Doing, TaskError, Verdict};

/// Parts that mostly wait: they run beside the others, one after the other.
const WAITING: &[&str] = &["soak", "stopped", "disk-full"];

/// Break the Runtime's world in every way that RELIABILITY.md names, and audit what is left.
///
/// Builds harness and command in release and runs every part; then builds them once more with the switch
/// of the faults put in on purpose, and has the parts catch each of them. The report is written to
/// target/faults.
///
/// Exit code: 0 all promises held and all faults were caught; 1 otherwise; 70 the harness could not do
/// its work; 130 somebody ended it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What every change must pass: ten minutes (the default)
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// At length, before a release: hours
    #[arg(long)]
    full: bool,
    /// What every choice is made from; the same seed makes the same choices
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Only these parts, without the faults put in on purpose
    #[arg(long, num_args = 1.., value_name = "PART")]
    only: Vec<String>,
    /// Leave out the faults put in on purpose
    #[arg(long)]
    no_sabotage: bool,
    /// Only these faults put in on purpose, without the parts
    #[arg(long, num_args = 1.., value_name = "FAULT", conflicts_with_all = ["only", "no_sabotage"])]
    sabotage: Vec<String>,
    /// Put the table into RELIABILITY.md; needs all parts and all faults
    #[arg(long, conflicts_with_all = ["only", "no_sabotage", "sabotage"])]
    write: bool,
}

impl Arguments {
    fn size(&self) -> Size {
        match self.full {
            true => Size::Full,
            false => Size::Quick,
        }
    }

    /// The command that does the same.
    fn command(&self) -> String {
        let size = if self.full { "--full" } else { "--quick" };
        let mut command = format!("cargo xtask faults {size} --seed {}", self.seed);
        for (option, names) in [("--only", &self.only), ("--sabotage", &self.sabotage)] {
            if !names.is_empty() {
                command.push_str(&format!(" {option} {}", names.join(" ")));
            }
        }
        if self.no_sabotage {
            command.push_str(" --no-sabotage");
        }
        command
    }

    fn parts(&self) -> Result<Vec<&'static str>, TaskError> {
        let known: Vec<&'static str> = PARTS.iter().map(|part| part.name).collect();
        if let Some(unknown) = self
            .only
            .iter()
            .find(|name| !known.contains(&name.as_str()))
        {
            let known = known.join(", ");
            return Err(TaskError::new(
                format!("run {unknown:?}"),
                format!("the parts are {known}"),
            ));
        }
        let wanted = |name: &&str| match (self.only.is_empty(), self.sabotage.is_empty()) {
            (true, true) => true,
            (true, false) => false,
            (false, _) => self.only.iter().any(|only| only == name),
        };
        Ok(known.into_iter().filter(wanted).collect())
    }
}

/// Where broken promises leave what they were seen on, below the reports.
const KEPT: &str = "kept";

/// What takes longer than any part of this size hangs.
const QUICK_WITHIN: Duration = Duration::from_secs(900);
const FULL_WITHIN: Duration = Duration::from_secs(8 * 3_600);

pub(crate) async fn run(arguments: &Arguments) -> Result<Verdict, TaskError> {
    let started = Instant::now();
    let parts = arguments.parts()?;
    let faults = match arguments.only.is_empty() && !arguments.no_sabotage {
        true => score::chosen(&arguments.sabotage)?,
        false => Vec::new(),
    };
    let place = Place::make()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);

    let mut outcomes = Vec::new();
    let mut took = Took::default();
    if !parts.is_empty() {
        let programs = took.building(Programs::shipped()).await?;
        outcomes = run_parts(arguments, &programs, &place, &parts, cores).await?;
    }
    let mut scored = Vec::new();
    if !faults.is_empty() {
        let programs = took.building(Programs::sabotaged()).await?;
        scored = score::run(&programs, &place, &faults, arguments.seed, cores).await?;
    }
    took.whole = started.elapsed();
    let report = Report::new(arguments.command(), arguments.seed, took, outcomes, scored);
    let written = report.write(&place.reports, arguments.write)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}\n{written}", report.as_text()).doing("print")?;
    Ok(report.verdict())
}

/// How long it took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Took {
    pub(crate) whole: Duration,
    /// Of that, until what is run was built.
    pub(crate) built: Duration,
}

impl Took {
    async fn building<T>(&mut self, built: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let built = built.await;
        self.built += started.elapsed();
        built
    }
}

/// All parts, those that wait beside the others.
async fn run_parts(
    arguments: &Arguments,
    programs: &Programs,
    place: &Place,
    parts: &[&'static str],
    cores: usize,
) -> Result<Vec<Outcome>, TaskError> {
    let (waiting, busy): (Vec<&str>, Vec<&str>) =
        parts.iter().partition(|name| WAITING.contains(name));
    let lane = async |names: Vec<&str>, threads: usize| {
        let mut outcomes = Vec::new();
        for part in names {
            let run = Run {
                part,
                size: arguments.size(),
                seed: arguments.seed,
                threads,
                sabotage: None,
                within: Some(match arguments.size() {
                    Size::Full => FULL_WITHIN,
                    _ => QUICK_WITHIN,
                }),
            };
            match part::run(programs, place, &run).await? {
                Ran::Found(outcome) => {
                    report::tell(&outcome);
                    outcomes.push(outcome);
                }
                // One part that could not do its work takes nothing from what the others found.
                Ran::Nothing(why) => {
                    report::say(&format!("faults: {part}: NO RESULT: {why}"));
                    let mut outcome = Outcome::new(part, arguments.seed);
                    let promise = "the harness can do its work";
                    outcome.violated("all of it", Violation::new(promise, why));
                    outcomes.push(outcome);
                }
            }
        }
        Ok(outcomes)
    };
    let (busy, waiting) = tokio::try_join!(lane(busy, cores), lane(waiting, 1))?;
    let mut outcomes: Vec<Outcome> = busy.into_iter().chain(waiting).collect();
    outcomes.sort_by_key(|outcome| parts.iter().position(|name| *name == outcome.part));
    Ok(outcomes)
}

/// Where the runs put what they need: gone when we are, also when they could not clean up.
pub(crate) struct Place {
    memory: tempfile::TempDir,
    disk: tempfile::TempDir,
    /// `target/faults`.
    pub(crate) reports: PathBuf,
}

impl Place {
    fn make() -> Result<Self, TaskError> {
        let settings = worker_runtime_fault::settings::Settings {
            size: Size::Catch,
            seed: 0,
            threads: 1,
            until_violation: false,
        };
        let reports = build::target()?.join("faults");
        std::fs::create_dir_all(&reports).doing(format!("make {}", reports.display()))?;
        // What an earlier run saw broken is not this one's.
        match std::fs::remove_dir_all(reports.join(KEPT)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(TaskError::new("clear what was kept", error));
            }
            _ => {}
        }
        Ok(Self {
            memory: settings.scratch().doing("make a place")?,
            disk: settings.disk().doing("make a place")?,
            reports,
        })
    }
}
