//! `token create|ls|revoke`: who may ask the server for what.
//!
//! A running server is asked; else the file is changed under the store's lock, so that no server reads
//! it meanwhile. A secret is printed once, to stdout and nowhere else.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use worker_runtime_core::{Code, SystemClock, SystemEntropy};
use worker_runtime_http::{
    server::Tokens,
    wire::{AccessScope, CreateToken, TokenCreated, TokenView},
};
use worker_runtime_persist::ClosedStore;

use crate::{
    args::{Format, Global},
    error::{CliError, Failure},
    exit::Exit,
    output::{Printer, Table},
    suggest::Suggestion,
    target::{self, About, Target, is_unknown},
    timeout,
};

/// How long readers of the stopped store are waited for.
const READERS_WAIT_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make an access token; its secret is printed this once
    Create(CreateArgs),
    /// List access tokens, without their secrets
    Ls,
    /// End an access token, and with it whatever waits with it
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// For whom
    #[arg(long)]
    name: String,
    /// What it allows; each includes the ones before it
    #[arg(long, value_name = "SCOPE")]
    scope: Scope,
    /// When it stops being good, such as in 30d or 12h; without it, never
    #[arg(long, value_name = "TIME", value_parser = timeout::parse_seconds)]
    expires: Option<u64>,
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scope {
    /// To read
    Observe,
    /// To make Workers, send them input and end them
    Operate,
    /// To run free command lines, stop the Runtime, make tokens, purge
    Admin,
}

impl From<Scope> for AccessScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Observe => Self::Observe,
            Scope::Operate => Self::Operate,
            Scope::Admin => Self::Admin,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The token's id
    #[arg(value_name = "TOKEN_ID")]
    token_id: String,
}

pub(crate) fn run(
    command: &TokenCommand,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    match command {
        TokenCommand::Create(args) => create(args, global, printer),
        TokenCommand::Ls => ls(global, printer),
        TokenCommand::Revoke(args) => revoke(args, global, printer),
    }
}

fn create(args: &CreateArgs, global: &Global, printer: &mut Printer) -> Result<Exit, Failure> {
    let request = CreateToken {
        name: args.name.clone(),
        scope: args.scope.into(),
        expires_in_seconds: args.expires,
    };
    let created = match target::server(global, printer)? {
        Some(server) => {
            let call = server.remote.client.create_token(&request);
            let created = server.ask(About::RUNTIME.of(&["token", "create"]), call);
            // Not asked again: its secret is told once, and there would be two.
            created.map_err(|mut error| {
                if is_unknown(&error) {
                    error
                        .message
                        .push_str("; a token may have been made whose secret nobody knows");
                    error.hints.insert(0, Suggestion::token_ls());
                }
                error
            })?
        }
        None => change(global, |tokens| {
            Ok(tokens.create(&request, &mut SystemEntropy)?)
        })?,
    };
    let TokenCreated { token, view } = &created;
    match printer.format() {
        Format::Json | Format::Jsonl => printer.json(&created)?,
        Format::Table | Format::Wide | Format::Name => {
            printer.line(token)?;
            let until = match view.expires_at {
                Some(at) => format!("good until {at}"),
                None => "good until it is revoked".to_owned(),
            };
            let (id, scope) = (&view.token_id, view.scope);
            printer.good(
                "made:",
                format_args!("access token {id} of scope {scope}, {until}"),
            );
            printer.words("its secret is on stdout, and is told this once");
            printer.next("to end it", &[Suggestion::token_revoke(id)]);
        }
    }
    Ok(Exit::Done)
}

fn ls(global: &Global, printer: &mut Printer) -> Result<Exit, Failure> {
    let target = target::open(global, printer)?;
    let tokens = match &target {
        // Open, so that nobody changes them meanwhile.
        Target::Store(store) => Tokens::kept(&store.path)?,
        Target::Server(server) => server.ask(About::RUNTIME, server.remote.client.tokens())?,
    };
    match printer.format() {
        Format::Json => {
            let document = json!({ "tokens": tokens });
            printer.json(&target.sourced(&document))?;
        }
        Format::Jsonl => tokens.iter().try_for_each(|token| printer.json(token))?,
        Format::Name => tokens
            .iter()
            .try_for_each(|token| printer.line(&token.token_id))?,
        Format::Table | Format::Wide => {
            let mut table = Table::new(&["ID", "SCOPE", "CREATED", "EXPIRES", "NAME"]);
            for token in &tokens {
                table.row(row(token, printer));
            }
            printer.table(&table)?;
        }
    }
    Ok(Exit::Done)
}

fn row(token: &TokenView, printer: &Printer) -> [String; 5] {
    let time = printer.time();
    [
        token.token_id.clone(),
        token.scope.to_string(),
        time.text(token.created_at),
        token.expires_at.map(|at| time.text(at)).unwrap_or_default(),
        token.name.clone(),
    ]
}

fn revoke(args: &RevokeArgs, global: &Global, printer: &mut Printer) -> Result<Exit, Failure> {
    let token_id = &args.token_id;
    match target::server(global, printer)? {
        Some(server) => {
            let call = async || server.remote.client.revoke_token(token_id).await;
            // Then there is none by this id now, which is what was asked for.
            let done = async |code| (code == Code::TokenUnknown).then_some(());
            let insisting = server.remote.insist_or(About::RUNTIME, call, done);
            server.wait_for(insisting).map_err(with_list)?;
        }
        None => change(global, |tokens| match tokens.revoke(token_id)? {
            true => Ok(()),
            false => {
                let message =
                    "there is no such access token, or it is the one of the state directory";
                Err(with_list(CliError::new(Code::TokenUnknown, message)))
            }
        })?,
    }
    match printer.format() {
        Format::Json | Format::Jsonl => printer.json(&json!({ "token_id": token_id }))?,
        Format::Name => printer.line(token_id)?,
        Format::Table | Format::Wide => {
            printer.good("revoked:", format_args!("access token {token_id}"));
        }
    }
    Ok(Exit::Done)
}

/// What there is, where something was named that there is not.
fn with_list(mut error: CliError) -> CliError {
    if error.code == Code::TokenUnknown {
        error.hints = vec![Suggestion::token_ls()];
    }
    error
}

/// Changes the tokens of a store that nobody runs.
fn change<T>(
    global: &Global,
    change: impl FnOnce(&Tokens) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let path = target::path(global)?;
    let _held = ClosedStore::hold(&path, READERS_WAIT_MAX)?;
    let clock = std::sync::Arc::new(SystemClock::default());
    let tokens = Tokens::open(&path, clock, &mut SystemEntropy)?;
    change(&tokens)
}
