//! `lock renew LEASE`: it is held on, for its whole time from now on.

use clap::Args;
use worker_runtime_core::{Fence, lease::RenewLease};

use super::{acquire, lease};
use crate::{
    args::Global,
    error::Failure,
    exit::Exit,
    output::Printer,
    target::{self, About, Target},
    timeout,
};

#[derive(Debug, Args)]
pub(crate) struct RenewArgs {
    /// The lease: its id, or the first digits of it
    lease: String,
    /// The fence that was printed last for it
    #[arg(long, value_name = "NUMBER")]
    fence: u64,
    /// How long it is held from now on, from 1s to 24h; without it, as long as before
    #[arg(long, value_name = "TIME", value_parser = timeout::parse_ms)]
    ttl: Option<u64>,
}

pub(crate) fn run(
    args: &RenewArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let target = target::open(global, printer)?;
    let Target::Server(server) = &target else {
        return Err(acquire::nobody_runs().into());
    };
    let lease_id = lease::find(&target, &args.lease)?;
    let renewal = RenewLease {
        fence: Fence(args.fence),
        ttl_ms: args.ttl,
    };
    let client = &server.remote.client;
    let about = About::RUNTIME.of(&["lock", "renew"]).lease(lease_id);
    let call = async || client.renew_lease(lease_id, &renewal).await;
    let receipt = server.insist(about, call)?.answer;
    if receipt.lease.fence != renewal.fence {
        printer.words(format_args!(
            "the Runtime was opened anew since then: show fence {} from now on",
            receipt.lease.fence
        ));
    }
    acquire::print(&receipt, printer)
}
