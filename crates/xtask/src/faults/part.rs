//! One run of one part, in a process of its own: what hangs or dies costs that run alone.

use std::{fs, time::Duration};

use clap::ValueEnum;
use tokio::process::Command;
use worker_runtime_core::sabotage::Sabotage;
use worker_runtime_fault::{
    report::Outcome,
    settings::{KEEP_VARIABLE, SCRATCH_VARIABLE, Size},
};

use super::{Place, build::Programs, report};
use crate::{
    Doing, TaskError,
    process::{self, Ended},
};

/// The switch of the faults put in on purpose.
const SABOTAGE_VARIABLE: &str = "WORKER_RUNTIME_SABOTAGE";

pub(crate) struct Run<'a> {
    pub(crate) part: &'a str,
    pub(crate) size: Size,
    pub(crate) seed: u64,
    pub(crate) threads: usize,
    /// With this fault in it; then it may end at the first broken promise.
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) within: Option<Duration>,
}

/// What came of it.
pub(crate) enum Ran {
    Found(Outcome),
    /// The harness could not do its work, which is never taken for "nothing found".
    Nothing(String),
}

pub(crate) async fn run(
    programs: &Programs,
    place: &Place,
    run: &Run<'_>,
) -> Result<Ran, TaskError> {
    let name = match run.sabotage {
        Some(sabotage) => format!("{}-{}.json", run.part, sabotage.name()),
        None => format!("{}.json", run.part),
    };
    let json = place.disk.path().join(name);
    let size = run.size.to_possible_value();
    let size = size.as_ref().map_or("quick", |size| size.get_name());
    let mut command = Command::new(&programs.harness);
    command
        .arg(run.part)
        .args(["--size", size])
        .args(["--seed", &run.seed.to_string()])
        .args(["--threads", &run.threads.to_string()])
        .arg("--json")
        .arg(&json)
        .env(SCRATCH_VARIABLE, place.memory.path())
        .env("TMPDIR", place.disk.path())
        .env_remove(SABOTAGE_VARIABLE)
        .stdout(std::process::Stdio::null());
    match run.sabotage {
        None => command.env(KEEP_VARIABLE, place.reports.join(super::KEPT)),
        Some(sabotage) => command
            .arg("--until-violation")
            .env(SABOTAGE_VARIABLE, sabotage.name()),
    };
    let mut last = String::new();
    let ended = process::run(&mut command, run.within, |line| {
        if run.sabotage.is_none() {
            report::say(line);
        }
        last = line.to_owned();
    })
    .await?;
    let status = match ended {
        Ended::With(status) => status,
        Ended::TooLate => return Ok(Ran::Nothing("it did not end in time".to_owned())),
    };
    if !matches!(status.code(), Some(0 | 1)) {
        return Ok(Ran::Nothing(format!("{status}: {last}")));
    }
    let text = fs::read_to_string(&json).doing(format!("read what {} found", run.part))?;
    let outcome: Outcome =
        serde_json::from_str(text.trim()).doing(format!("read what {} found", run.part))?;
    // A part that says that it found nothing and ends as if it had is not to be believed.
    let is_consistent = (outcome.violations == 0) == status.success();
    Ok(match is_consistent {
        true => Ran::Found(outcome),
        false => Ran::Nothing(format!("{status} with {} violations", outcome.violations)),
    })
}
