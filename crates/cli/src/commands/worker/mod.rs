//! `worker`: which Workers there are, and their lives.

mod answer;
mod attach;
pub(crate) mod backend;
pub(crate) mod create;
mod deleted;
mod drain;
mod end;
mod lifecycle;
mod ls;
mod rm;
mod send;
mod show;
pub(crate) mod spec;
mod tree;

use clap::Subcommand;

pub(crate) use ls::rules_text;

use crate::{args::Global, error::Failure, exit::Exit, output::Printer};

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// List Workers
    Ls(ls::LsArgs),
    /// Print one Worker
    Show(show::ShowArgs),
    /// Print Workers below those that they were made by
    Tree(tree::TreeArgs),
    /// Make a Worker without sending it anything
    Create(Box<create::CreateArgs>),
    /// Send a Worker an input, and follow it to its outcome
    Send(send::SendArgs),
    /// Run what waits for a Worker, in order, and follow it to its outcomes
    Run(drain::DrainArgs),
    /// Follow what a Worker's run says until it ends; Ctrl-C only looks away
    Attach(attach::AttachArgs),
    /// Answer what a Worker's run asks for
    Answer(answer::AnswerArgs),
    /// End a Worker and free its scope; it can be restored
    Stop(end::StopArgs),
    /// End a Worker for good
    Cancel(end::CancelArgs),
    /// Keep a Worker's inputs waiting
    Pause(lifecycle::LifecycleArgs),
    /// Let a paused Worker's inputs run again
    Resume(lifecycle::LifecycleArgs),
    /// Put an ended Worker away
    Archive(lifecycle::LifecycleArgs),
    /// Start a stopped Worker again, with the scope that it had
    Restore(lifecycle::LifecycleArgs),
    /// Delete an ended Worker
    Rm(rm::RmArgs),
}

pub(crate) fn run(
    command: WorkerCommand,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    use lifecycle::Verb;
    match command {
        WorkerCommand::Ls(args) => ls::run(&args, global, printer),
        WorkerCommand::Show(args) => show::run(&args, global, printer),
        WorkerCommand::Tree(args) => tree::run(&args, global, printer),
        WorkerCommand::Attach(args) => attach::run(&args, global, printer),
        WorkerCommand::Answer(args) => answer::run(&args, global, printer),
        WorkerCommand::Create(args) => create::run(&args, global, printer),
        WorkerCommand::Send(args) => send::run(&args, global, printer),
        WorkerCommand::Run(args) => drain::run(&args, global, printer),
        WorkerCommand::Stop(args) => end::stop(&args, global, printer),
        WorkerCommand::Cancel(args) => end::cancel(&args, global, printer),
        WorkerCommand::Pause(args) => lifecycle::run(Verb::Pause, &args, global, printer),
        WorkerCommand::Resume(args) => lifecycle::run(Verb::Resume, &args, global, printer),
        WorkerCommand::Archive(args) => lifecycle::run(Verb::Archive, &args, global, printer),
        WorkerCommand::Restore(args) => lifecycle::run(Verb::Restore, &args, global, printer),
        WorkerCommand::Rm(args) => rm::run(&args, global, printer),
    }
}
