//! Builds the harness and the command: as they are shipped, and with the switch of the faults put in on
//! purpose, in a directory of its own so that neither build undoes the other.

use std::{
    env,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::report;
use crate::{
    Doing, TaskError,
    process::{self, Ended},
};

/// What makes the switch of the faults be looked at.
const SABOTAGE_FLAG: &str = "--cfg worker_runtime_sabotage";

/// The harness, with the command's program beside it.
pub(crate) struct Programs {
    pub(crate) harness: PathBuf,
}

impl Programs {
    pub(crate) async fn shipped() -> Result<Self, TaskError> {
        build(&target()?, "release", None).await
    }

    pub(crate) async fn sabotaged() -> Result<Self, TaskError> {
        let flags = match env::var("RUSTFLAGS") {
            Ok(flags) if !flags.is_empty() => format!("{flags} {SABOTAGE_FLAG}"),
            _ => SABOTAGE_FLAG.to_owned(),
        };
        build(&target()?.join("sabotage"), "sabotage", Some(&flags)).await
    }
}

async fn build(target: &Path, profile: &str, flags: Option<&str>) -> Result<Programs, TaskError> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--locked", "--profile", profile])
        .args(["--bins", "--package", "worker-runtime"])
        .args(["--package", "worker-runtime-fault"])
        .arg("--target-dir")
        .arg(target);
    if let Some(flags) = flags {
        command.env("RUSTFLAGS", flags);
    }
    report::say(&format!("building the harness, profile {profile}"));
    let ended = process::run(&mut command, None, report::say).await?;
    match ended {
        Ended::With(status) if status.success() => Ok(Programs {
            harness: target.join(profile).join("worker-runtime-fault"),
        }),
        _ => Err(TaskError::new("build the harness", "cargo failed")),
    }
}

/// The target directory: this program is in `release` of it.
pub(crate) fn target() -> Result<PathBuf, TaskError> {
    let own = env::current_exe().doing("find its own program")?;
    let target = own.parent().and_then(Path::parent);
    target.map(Path::to_owned).ok_or_else(|| {
        TaskError::new(
            "find the target directory",
            format!("{} is in none", own.display()),
        )
    })
}
