//! `lock release`: what a Worker holds is given up (`take`), or a lease is. By force a lease ends at once:
//! nothing of its holder's is known that could be waited for.

use clap::Args;
use serde_json::json;
use worker_runtime_core::{Code, Dispatch, Fence, LeaseId, view::Holder, view::LeaseReleased};
use worker_runtime_http::wire::ReleaseLease;

use super::{
    lease,
    take::{self, Found, TakeArgs, What},
};
use crate::{
    args::{Format, Global},
    error::{CliError, Failure},
    exit::Exit,
    here::Here,
    output::Printer,
    rehearsal,
    suggest::Suggestion,
    target::{self, About, Server, Writing},
};

#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    take: TakeArgs,
    /// Of a lease: the fence that was printed last for it
    #[arg(long, value_name = "NUMBER", conflicts_with = "force")]
    fence: Option<u64>,
}

pub(crate) fn run(
    args: &ReleaseArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let take = &args.take;
    take.refuse_silence(What::Own)?;
    let target = target::open(global, printer)?;
    let lease_id = match lease::find_holder(&target, &take.worker)? {
        Holder::Worker(_) if args.fence.is_some() => {
            let message = "--fence is of a lease; what a Worker holds is released without";
            return Err(CliError::usage(message, &["lock", "release"]).into());
        }
        Holder::Worker(worker_id) => {
            let found = Found { target, worker_id };
            return take::run(What::Own, found, take, global, printer);
        }
        Holder::Lease(lease_id) => lease_id,
    };
    args.check(lease_id, &target)?;
    // A store is closed before it is opened for writing, which waits for readers.
    let server = target.into_server();
    if take.dry_run {
        args.would_end(lease_id, server.as_ref(), global)?;
        return would(lease_id, printer);
    }
    let released = args.end(lease_id, server.as_ref(), global, printer)?;
    print(&released, printer)
}

impl ReleaseArgs {
    /// That whoever asks is its holder, or says that it is taken by force.
    fn check(&self, lease_id: LeaseId, target: &target::Target) -> Result<(), CliError> {
        let held = match target.lease(lease_id) {
            Ok(held) => held,
            Err(_) if self.take.force => return Ok(()),
            Err(error) => return Err(error),
        };
        match self.fence {
            _ if self.take.force => Ok(()),
            // Whether it is the right one, the Runtime says.
            Some(_) => Ok(()),
            None => {
                let message = format!(
                    "{} holds lease {lease_id}: show that it is yours with --fence, or take it with --force and say why with --reason",
                    held.holder
                );
                Err(CliError::usage(&message, &["lock", "release"]))
            }
        }
    }

    /// Whether it would be ended, by what ends it.
    fn would_end(
        &self,
        lease_id: LeaseId,
        server: Option<&Server>,
        global: &Global,
    ) -> Result<(), CliError> {
        let about = About::RUNTIME.of(&["lock", "release"]).lease(lease_id);
        let would = match server {
            Some(server) => {
                let release = self.release();
                let client = &server.remote.client;
                let asked = server.ask(about, client.would_release_lease(lease_id, &release));
                asked.map(drop)
            }
            None => rehearsal::ask(global, &Here::current()?, async |runtime| {
                let ReleaseLease { fence, reason, .. } = self.release();
                let allocations = runtime.allocations();
                allocations
                    .would_release_lease(lease_id, fence, reason)
                    .await
            }),
        };
        would.map_err(held_no_more)
    }

    fn release(&self) -> ReleaseLease {
        ReleaseLease {
            fence: self.fence.map(Fence),
            reason: self.take.reason.clone(),
            force: self.take.force,
        }
    }

    fn end(
        &self,
        lease_id: LeaseId,
        server: Option<&Server>,
        global: &Global,
        printer: &Printer,
    ) -> Result<LeaseReleased, CliError> {
        let take = &self.take;
        if take.force {
            let what = format_args!(
                "lease {lease_id} is taken from its holder, which may still write if it does not ask"
            );
            printer.warn(what);
        }
        let (fence, reason) = (self.fence.map(Fence), take.reason.clone());
        let Some(server) = server else {
            let writing = Writing::new(global, Dispatch::None, Here::current()?)?;
            return target::change(global, false, writing, printer, async |runtime| {
                let allocations = runtime.allocations();
                let released = match fence {
                    Some(fence) => allocations.release_lease(lease_id, fence, reason).await,
                    None => {
                        let reason = reason.unwrap_or_default();
                        allocations.release_lease_by_force(lease_id, reason).await
                    }
                };
                Ok(released?)
            });
        };
        let release = self.release();
        let about = About::RUNTIME.of(&["lock", "release"]).lease(lease_id);
        let call = async || server.remote.client.release_lease(lease_id, &release).await;
        let released = server.insist(about, call);
        released
            .map(|answered| answered.answer)
            .map_err(held_no_more)
    }
}

/// What is asked for is so, whoever did it.
fn held_no_more(mut error: CliError) -> CliError {
    if error.code == Code::LeaseUnknown {
        error.message.push_str("; what it held is free");
    }
    error
}

fn would(lease_id: LeaseId, printer: &mut Printer) -> Result<Exit, Failure> {
    if printer.format().is_json() {
        let told =
            json!({ "dry_run": true, "lease_id": lease_id, "would_be": "free", "changes": true });
        printer.json(&told)?;
    } else {
        printer.words(format_args!("what lease {lease_id} holds would be free"));
    }
    Ok(Exit::WouldChange)
}

fn print(released: &LeaseReleased, printer: &mut Printer) -> Result<Exit, Failure> {
    let lease_id = released.lease_id;
    match printer.format() {
        Format::Json | Format::Jsonl => printer.json(released)?,
        Format::Name => printer.line(lease_id)?,
        Format::Table | Format::Wide => {
            printer.words(format_args!("what lease {lease_id} held is free"));
            printer.hint(&Suggestion::lock_ls());
        }
    }
    Ok(Exit::Done)
}
