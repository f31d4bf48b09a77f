//! `lock verify PATH`: for whoever writes on behalf of a run, or under a lease. It says nothing when that may go on, so
//! that a tool can put it before each write.

use clap::Args;
use worker_runtime_core::{
    Code, Fence, Mounts, Permission, Scope,
    error::FenceError,
    view::{Holder, VerifyFence},
    worker::MountRef,
};

use super::lease;
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
        hide_env_values = true,
        required_unless_present = "lease"
    )]
    worker: Option<String>,
    /// The lease, in place of a Worker: its id, or the first digits of it
    #[arg(long, value_name = "LEASE")]
    lease: Option<String>,
    /// The fence that was granted to the run, or printed last for the lease
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
    let place = place_arg::place(&args.path, &["lock", "verify"])?;
    let target = target::open(global, printer)?;
    let holder: Holder = match (&args.lease, &args.worker) {
        (Some(lease), _) => lease::find(&target, lease)?.into(),
        (None, worker) => {
            let worker = worker.as_deref().unwrap_or_default();
            worker_name::find_id(&target, worker)?.into()
        }
    };
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
            let held = held(&target, holder, fence)?;
            match named(&place.path, &held, global)? {
                Some(place) => place,
                None => {
                    let outside = outside(&target, holder, &held, fence, &args.path, global);
                    return Err(outside);
                }
            }
        }
    };
    let asked = asked(place);
    let json = printer.format().is_json();
    match holder {
        Holder::Worker(worker_id) => {
            let verified = target.verify(worker_id, &asked, global)?;
            if json {
                printer.json(&target.sourced(&verified))?;
            }
        }
        Holder::Lease(lease_id) => {
            let verified = target.verify_lease(lease_id, &asked, global)?;
            if json {
                printer.json(&target.sourced(&verified))?;
            }
        }
    }
    if printer.format() == Format::Name {
        printer.line(worker_name::holder_id(holder))?;
    }
    Ok(Exit::Done)
}

/// What is held; a fence of a Worker that holds nothing is none.
fn held(target: &Target, holder: Holder, fence: Fence) -> Result<Scope, CliError> {
    let worker_id = match holder {
        Holder::Worker(worker_id) => worker_id,
        Holder::Lease(lease_id) => return Ok(target.lease(lease_id)?.scope),
    };
    let held = target.allocation(worker_id);
    held.map(|held| held.scope)
        .map_err(|error| match error.code {
            Code::ScopeNotHeld => FenceError::Stale { holder, fence }.into(),
            _ => error,
        })
}

/// The path by a name that one of the rules has, or the operator's for a place: no absolute
/// path is on the wire, and the narrowest access token is enough.
fn named(path: &str, held: &Scope, global: &Global) -> Result<Option<MountRef>, CliError> {
    let operators = Config::load(global)?.options(Mounts::default())?.mounts;
    let is_known = |mount: &str| held.allow.iter().any(|rule| rule.mount == mount);
    Ok(place_arg::below_mount(path, &operators, is_known))
}

/// Why a place is refused that lies below nothing that is held: its fence counts first.
fn outside(
    target: &Target,
    holder: Holder,
    held: &Scope,
    fence: Fence,
    path: &str,
    global: &Global,
) -> Failure {
    if let Some(rule) = held.allow.first() {
        let own = VerifyFence {
            fence,
            place: MountRef {
                mount: rule.mount.clone(),
                path: rule.path.clone(),
            },
            permission: Permission::Read,
        };
        let verified = match holder {
            Holder::Worker(worker_id) => target.verify(worker_id, &own, global).map(drop),
            Holder::Lease(lease_id) => target.verify_lease(lease_id, &own, global).map(drop),
        };
        match verified {
            Err(error) if error.code != Code::ScopeDenied => return error.into(),
            _ => {}
        }
    }
    let message = format!("{holder} may not touch {path}: it holds nothing there");
    CliError::new(Code::ScopeDenied, message)
        .hint(crate::suggest::Suggestion::lock_show(holder))
        .into()
}
