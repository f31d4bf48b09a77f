//! Arguments, the scratch directory, and how a bench ends.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use tempfile::TempDir;

/// Why there is no figure: something failed, or what was received is not what was acknowledged.
pub struct Failure(String);

impl Failure {
    /// A failure in words.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self(message)
    }
}

/// One bench as it was called.
#[derive(Debug)]
pub struct Bench {
    /// Which one.
    pub name: &'static str,
    /// Small and short: to see that it runs and that its checks hold, not for its figures.
    pub quick: bool,
    /// How often everything is measured in turn.
    pub rounds: usize,
    /// Where a process that the bench started itself does its part.
    pub child: Option<PathBuf>,
    /// Whether this is such a process, and what the bench measures itself beside.
    pub peer: bool,
    scratch: PathBuf,
}

impl Bench {
    /// A fresh directory on the disk that is measured; gone when it is dropped.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn fresh_dir(&self) -> Result<TempDir, Failure> {
        let prefix = format!("bench-{}-", self.name);
        Ok(tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(&self.scratch)?)
    }

    /// `full`, or `quick` when only the checks count.
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// Runs a bench: `main` of every bench target.
///
/// `scratch` is where it writes unless `--dir` names another place.
pub fn run(
    name: &'static str,
    scratch: &str,
    bench: impl FnOnce(&Bench) -> Result<(), Failure>,
) -> ExitCode {
    let result = parse(name, Path::new(scratch)).and_then(|parsed| bench(&parsed));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(name, &failure);
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr, reason = "a bench is a program")]
fn report(name: &str, failure: &Failure) {
    eprintln!("{name}: no figures: {}", failure.0);
}

fn parse(name: &'static str, scratch: &Path) -> Result<Bench, Failure> {
    let mut bench = Bench {
        name,
        quick: false,
        rounds: 0,
        child: None,
        peer: false,
        scratch: scratch.to_path_buf(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let missing = || Failure::new(format!("{argument} needs a value"));
            arguments.next().ok_or_else(missing)
        };
        match argument.as_str() {
            // Cargo adds it.
            "--bench" => {}
            "--quick" => bench.quick = true,
            "--dir" => bench.scratch = value()?.into(),
            "--rounds" => bench.rounds = value()?.parse()?,
            "--peer" => bench.peer = true,
            "--child" => bench.child = Some(value()?.into()),
            other => {
                return Err(Failure::new(format!(
                    "{other} is unknown: [--quick] [--dir DIR] [--rounds N]"
                )));
            }
        }
    }
    if bench.rounds == 0 {
        bench.rounds = bench.pick(9, 2);
    }
    std::fs::create_dir_all(&bench.scratch)?;
    Ok(bench)
}
