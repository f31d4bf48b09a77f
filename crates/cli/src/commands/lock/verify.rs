//! `lock verify PATH`: for whoever writes on behalf of a run. It says nothing when that may go on, so
//! that a tool can put it before each write.

use clap::Args;
use worker_runtime_core::{
    Code, Fence, Mounts, Permission, WorkerId,
    error::FenceError,
    view::{AllocationView, VerifyFence},
    worker::MountRef,
};

use crate::{
    args::{Format, Global},
    config::Config,
    error::{CliError, Failure},
    exit::Exit,
    output::Printer,
    place_arg,
    target::{self, Target},
    worker_name,
};

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Where it is to write: a path of the file system, from this directory; or MOUNT:PATH
    path: String,
    /// The Worker: its id, the first digits of it, or its name
    #[arg(
        long,
        value_name = "WORKER",
        env = "WORKER_RUNTIME_WORKER_ID",
        hide_env_values = true
    )]
    worker: String,
    /// The fence that was granted to the run
    #[arg(
        long,
        value_name = "NUMBER",
        env = "WORKER_RUNTIME_FENCE",
        hide_env_values = true
    )]
    fence: u64,
    /// It is only to look there
    #[arg(long)]
    read: bool,
}

pub(crate) fn run(
    args: &VerifyArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let place = place_arg::place(&args.path)?;
    let target = target::open(global, printer)?;
    let worker_id = worker_name::find_id(&target, &args.worker)?;
    let (fence, permission) = (
        Fence(args.fence),
        match args.read {
            true => Permission::Read,
            false => Permission::Write,
        },
    );
    let asked = |place: MountRef| VerifyFence {
        fence,
        place,
        permission,
    };
    let place = match place.mount {
        Some(mount) => MountRef {
            mount,
            path: place.path,
        },
        None => {
            let held = held(&target, worker_id, fence)?;
            match named(&place.path, &held, global)? {
                Some(place) => place,
                None => return Err(outside(&target, &held, fence, &args.path, global)),
            }
        }
    };
    let verified = target.verify(worker_id, &asked(place), global)?;
    if printer.format().is_json() {
        printer.json(&target.sourced(&verified))?;
    } else if printer.format() == Format::Name {
        printer.line(verified.worker_id)?;
    }
    Ok(Exit::Done)
}

/// What the Worker holds; a fence of one that holds nothing is none.
fn held(target: &Target, worker_id: WorkerId, fence: Fence) -> Result<AllocationView, CliError> {
    target
        .allocation(worker_id)
        .map_err(|error| match error.code {
            Code::ScopeNotHeld => {
                let holder = worker_id.into();
                FenceError::Stale { holder, fence }.into()
            }
            _ => error,
        })
}

/// The path by a name that one of the Worker's rules has, or the operator's for a place: no absolute
/// path is on the wire, and the narrowest access token is enough.
fn named(path: &str, held: &AllocationView, global: &Global) -> Result<Option<MountRef>, CliError> {
    let operators = Config::load(global)?.options(Mounts::default())?.mounts;
    let is_known = |mount: &str| held.scope.allow.iter().any(|rule| rule.mount == mount);
    Ok(place_arg::below_mount(path, &operators, is_known))
}

/// Why a place is refused that lies below nothing that the Worker holds: its fence counts first.
fn outside(
    target: &Target,
    held: &AllocationView,
    fence: Fence,
    path: &str,
    global: &Global,
) -> Failure {
    let worker_id = held.worker_id;
    if let Some(rule) = held.scope.allow.first() {
        let own = VerifyFence {
            fence,
            place: MountRef {
                mount: rule.mount.clone(),
                path: rule.path.clone(),
            },
            permission: Permission::Read,
        };
        match target.verify(worker_id, &own, global) {
            Err(error) if error.code != Code::ScopeDenied => return error.into(),
            _ => {}
        }
    }
    let message = format!("Worker {worker_id} may not touch {path}: it holds nothing there");
    CliError::new(Code::ScopeDenied, message)
        .hint(crate::suggest::Suggestion::lock_show(worker_id))
        .into()
}
