//! `lock acquire PATH...`: a scope for somebody who is no Worker, for a time.

use clap::Args;
use serde_json::json;
use worker_runtime_core::{
    Clock, Code, LeaseId, Mounts, Permission, Scope, ScopeRule, SystemClock, SystemEntropy,
    lease::AcquireLease, view::LeaseReceipt, worker::MountRef,
};

use super::lease;
use crate::{
    args::{Format, Global},
    config::Config,
    error::{CliError, Failure},
    exit::Exit,
    here::Here,
    output::Printer,
    place_arg,
    suggest::Suggestion,
    target::{self, About, is_unknown},
    timeout,
};

#[derive(Debug, Args)]
pub(crate) struct AcquireArgs {
    /// What is to be held, with all that lies below it: a path of the file system, from this directory; or
    /// MOUNT:PATH, below a place that has a name
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// It is only to look there, which is in nobody's way
    #[arg(long)]
    read: bool,
    /// How long it is held when it is not renewed, from 1s to 24h, such as 10m
    #[arg(long, value_name = "TIME", value_parser = timeout::parse_ms)]
    ttl: u64,
    /// Who holds it, for those who meet it
    #[arg(long, value_name = "NAME")]
    holder: String,
    /// What for
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The lease's id, so that the same call again does nothing twice
    ///
    /// It then ends with 0 as well: `repeated` of the JSON output tells the two apart. So an id is one
    /// caller's own; those who are to exclude each other have one each, or leave it out.
    #[arg(long, value_name = "UUID")]
    lease_id: Option<LeaseId>,
    /// Only say whether it would be held; exit 23 if so
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(
    args: &AcquireArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let server = target::server(global, printer)?.ok_or_else(nobody_runs)?;
    let request = args.request(global)?;
    let about = About::RUNTIME.of(&["lock", "acquire"]);
    let about = request.lease_id.map_or(about, |id| about.lease(id));
    let client = &server.remote.client;
    if args.dry_run {
        let would = server.ask(about, client.would_acquire_lease(&request));
        return would_be(would.map_err(elsewhere)?, printer);
    }
    let call = async || client.acquire_lease(&request).await;
    let acquired = server.insist(about, call).map_err(|mut error| {
        if let (true, Some(lease_id)) = (is_unknown(&error), request.lease_id) {
            error.hints.insert(0, Suggestion::lock_show(lease_id));
        }
        elsewhere(error)
    })?;
    let mut receipt = acquired.answer;
    // An id that was minted here is nobody's: the first answer was lost.
    receipt.repeated &= args.lease_id.is_some();
    if receipt.repeated {
        printer.words("it was held already, and asked for in the same way");
    }
    print(&receipt, printer)
}

/// Why a lease is neither taken nor renewed: it lasts by the clock of a Runtime, and its fence no longer.
pub(super) fn nobody_runs() -> CliError {
    let message = "a lease is held at a server, and there is none: where nobody runs the state directory, no time passes and no fence is good";
    CliError::new(Code::ServerUnreachable, message).hint(Suggestion::serve_here())
}

/// A place that the server has no name for is told with those that it has.
fn elsewhere(mut error: CliError) -> CliError {
    if error.code == Code::ScopeInvalid {
        error.message.push_str(
            "; a server knows the directory it was started in, those of its configuration, and those in which something is held",
        );
    }
    error
}

/// What is held, under which fence, and until when.
pub(super) fn print(receipt: &LeaseReceipt, printer: &mut Printer) -> Result<Exit, Failure> {
    let held = &receipt.lease;
    match printer.format() {
        Format::Json | Format::Jsonl => printer.json(receipt)?,
        Format::Name => printer.line(held.lease_id)?,
        Format::Table | Format::Wide => {
            lease::print(held, printer)?;
            printer.flush()?;
            printer.hint(&Suggestion::lock_renew(held.lease_id, held.fence));
        }
    }
    Ok(Exit::Done)
}

fn would_be(changes: bool, printer: &mut Printer) -> Result<Exit, Failure> {
    if printer.format().is_json() {
        let told = json!({ "dry_run": true, "would_be": "held", "changes": changes });
        printer.json(&told)?;
    } else if changes {
        printer.words("it would be held");
    } else {
        printer.words("nothing would change: it is held, and was asked for in the same way");
    }
    Ok(match changes {
        true => Exit::WouldChange,
        false => Exit::Done,
    })
}

impl AcquireArgs {
    fn request(&self, global: &Global) -> Result<AcquireLease, CliError> {
        let permission = match self.read {
            true => Permission::Read,
            false => Permission::Write,
        };
        let operators = Config::load(global)?.options(Mounts::default())?.mounts;
        let here = Here::current()?;
        let rule = |text: &String| {
            let MountRef { mount, path } = named(text, &operators, &here)?;
            Ok(ScopeRule {
                mount,
                path,
                permission,
                recursive: true,
            })
        };
        let allow: Result<Vec<_>, CliError> = self.paths.iter().map(rule).collect();
        let minted = || LeaseId::mint(SystemClock::default().now(), &mut SystemEntropy);
        Ok(AcquireLease {
            lease_id: Some(self.lease_id.unwrap_or_else(minted)),
            holder: self.holder.clone(),
            scope: Scope {
                allow: allow?,
                deny: Vec::new(),
            },
            ttl_ms: self.ttl,
            reason: self.reason.clone(),
        })
    }
}

/// A place by the operator's name for it, or by that of this directory: no absolute path is on the wire.
fn named(text: &str, operators: &Mounts, here: &Here) -> Result<MountRef, CliError> {
    let place = place_arg::place(text, &["lock", "acquire"])?;
    let named = match place.mount {
        Some(mount) => Some(MountRef {
            mount,
            path: place.path,
        }),
        None => place_arg::below_mount(&place.path, operators, |mount| mount == here.mount()),
    };
    named.ok_or_else(|| {
        let message = format!(
            "{text:?} lies neither below this directory nor below a place of the configuration"
        );
        CliError::new(Code::ScopeInvalid, message).hint(Suggestion::help(&["lock", "acquire"]))
    })
}
