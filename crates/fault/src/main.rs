//! Runs parts of the harness and prints what they found. `cargo xtask faults` builds it, runs all
//! parts, and then the list of faults put in on purpose.

use std::{
    fs,
    io::{self, Write},
    panic,
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use clap::Parser;
use worker_runtime_fault::{
    parts::{PARTS, Part},
    report::{Doing, HarnessError, Outcome},
    settings::{Settings, Size},
};

/// Breaks the Runtime's world on purpose, and audits what is left.
#[derive(Parser)]
struct Arguments {
    /// The parts to run; all when none is named
    parts: Vec<String>,
    /// How much to do
    #[arg(long, value_enum, default_value_t = Size::Quick)]
    size: Size,
    /// What every choice is made from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many threads may be kept busy; the machine's cores when left out
    #[arg(long)]
    threads: Option<usize>,
    /// End a part at the first broken promise
    #[arg(long)]
    until_violation: bool,
    /// Also write what was found as JSON lines
    #[arg(long)]
    json: Option<PathBuf>,
    /// Name the parts, and what each does
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    quieten_held_panics();
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let _ = writeln!(io::stderr(), "faults: {error}");
            ExitCode::from(70)
        }
    }
}

/// A file is damaged on purpose here: what the store holds and tells as an error is no news.
fn quieten_held_panics() {
    let standard = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !worker_runtime_persist::holds_panics() {
            standard(panic);
        }
    }));
}

/// Whether every promise held.
fn run(arguments: &Arguments) -> Result<bool, HarnessError> {
    let mut out = io::stdout().lock();
    if arguments.list {
        for part in PARTS {
            writeln!(out, "{:<10} {}", part.name, part.about).doing("print")?;
        }
        return Ok(true);
    }
    let settings = Settings {
        size: arguments.size,
        seed: arguments.seed,
        threads: arguments
            .threads
            .or_else(|| std::thread::available_parallelism().ok().map(Into::into))
            .unwrap_or(1),
        until_violation: arguments.until_violation,
    };
    let mut json = match &arguments.json {
        Some(path) => Some(fs::File::create(path).doing("create the JSON file")?),
        None => None,
    };
    let mut violations = 0;
    for part in chosen(&arguments.parts)? {
        let started = Instant::now();
        let mut outcome = part.run(&settings)?;
        outcome.took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        violations += outcome.violations;
        print(&mut out, &outcome).doing("print")?;
        if let Some(json) = &mut json {
            let line = serde_json::to_string(&outcome).doing("write JSON")?;
            writeln!(json, "{line}").doing("write the JSON file")?;
        }
    }
    Ok(violations == 0)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Part>, HarnessError> {
    if names.is_empty() {
        return Ok(PARTS.iter().collect());
    }
    let find = |name: &String| {
        Part::named(name)
            .ok_or_else(|| HarnessError::new(format!("run {name:?}"), "--list names the parts"))
    };
    names.iter().map(find).collect()
}

fn print(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    let figures: Vec<String> = outcome
        .figures
        .iter()
        .map(|(name, value)| format!("{value} {name}"))
        .collect();
    writeln!(
        out,
        "{}: {} violations in {} ({} ms, seed {})",
        outcome.part,
        outcome.violations,
        figures.join(", "),
        outcome.took_ms,
        outcome.seed,
    )?;
    for violation in &outcome.kept {
        writeln!(out, "  {violation}")?;
    }
    Ok(())
}
