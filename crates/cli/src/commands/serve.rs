//! `serve`: the Runtime of a state directory as a process that others ask over HTTP.
//!
//! In this order: the address is taken, the store is locked, the Runtime recovers and opens, the program
//! listens, and only then the address is written into the lock's file. At the end the address is taken
//! back before the port is free. Clients on this machine send the access token to the address that
//! stands there: nobody else may ever listen at it (I11). One that comes too early finds the store
//! locked, and is never left waiting.

mod address;
mod room;
mod voice;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    pin::pin,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::oneshot,
};
use worker_runtime_core::{
    Code, Runtime, RuntimeOptions, SystemClock, SystemEntropy, store::Store,
};
use worker_runtime_execution::exec::open_files;
use worker_runtime_http::server::{Server, ServerOptions, Tokens, TokensError};
use worker_runtime_persist::{FileStore, OpenError, ReadStore};

use crate::{
    args::Global,
    config::{BIND_VARIABLE, Config},
    error::{CliError, Failure},
    exit::Exit,
    foreground::{Asked, Signals},
    here::Here,
    logging::LogFormat,
    output::Printer,
    suggest::Suggestion,
    target,
};
use address::{Told, take, url_of};
use voice::Voice;

/// Where it listens unless asked otherwise.
pub(crate) const BIND_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7621);
/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1_024;
/// How long an address may be taken yet by what a killed server was starting.
const FREED_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 lets the system choose; without it, 127.0.0.1:7621
    #[arg(
        long,
        value_name = "ADDRESS",
        env = BIND_VARIABLE,
        hide_env_values = true,
        value_parser = parse_bind
    )]
    bind: Option<SocketAddr>,
    /// A further name that clients may call the server by; may be repeated
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// An origin whose web pages may ask; may be repeated; without it, none may
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// How to print what the server says of itself
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(crate) log_format: LogFormat,
}

/// Reads an address with a port.
///
/// # Errors
/// When it is something else.
pub(crate) fn parse_bind(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| match text.rsplit_once(':') {
        // What a name means may change between two starts, and it may mean two addresses at once.
        Some(("localhost", port)) => {
            format!(
                "{text:?} is a name with a port; give an address: 127.0.0.1:{port} or [::1]:{port}"
            )
        }
        _ => format!("{text:?} is no address with a port, such as 127.0.0.1:7621"),
    })
}

pub(crate) fn run(
    args: ServeArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    if global.is_typed_server() {
        let message = "--server names a server to ask; what is served is the state directory";
        return Err(CliError::usage(message, &["serve"]).into());
    }
    let here = Here::current()?;
    let path = target::path(global)?;
    let mut config = Config::load(global)?;
    let bind = args.bind.or(config.bind).unwrap_or(BIND_DEFAULT);
    // What is typed takes the place of what is written.
    if !args.hosts.is_empty() {
        config.hosts = args.hosts;
    }
    if !args.origins.is_empty() {
        config.origins = args.origins;
    }
    let socket = take_soon(bind, &path)?;
    let is_new = !target::has_store(&path);
    let mut store = target::open_files(global, true)?;
    let voice = Voice {
        format: args.log_format,
        printer,
    };
    let room = room::within(
        open_files::raise(),
        config.limits.processes_max,
        config.http,
    );
    config.http = room.limits;
    if let Some(cut) = &room.cut {
        voice.warn(cut);
    }
    if is_new {
        voice.good("made", &format!("a store in {}", path.display()));
    }
    target::block_on(async {
        let signals = Signals::listen().map_err(|error| target::no_signals(&error))?;
        let clock = Arc::new(SystemClock::default());
        let prepared = prepare(&mut store, &path, &here, &config, &clock);
        let (tokens, options) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                // Nothing was changed, and why is what is told.
                let _ = Box::new(store).close();
                return Err(error.into());
            }
        };
        let public = store.public_address();
        let runtime = Runtime::open(Box::new(store), options).await?;
        target::warn_if_went_back(&runtime, printer);
        let listening = socket.listen(BACKLOG).and_then(|listener| {
            let told = Told::new(public, &listener)?;
            let server = listen(listener, runtime.clone(), tokens, config, clock)?;
            Ok((server, told))
        });
        let (server, told) = match listening {
            Ok(listening) => listening,
            Err(error) => {
                let error = bind_error(bind, &error);
                return Err(target::closed_after(&runtime, error).await);
            }
        };
        if let Err(error) = told.publish(server.address()) {
            return Err(target::closed_after(&runtime, error).await);
        }
        say_ready(&voice, &server, &runtime, &path);
        until_asked(server, told, runtime, signals, &voice).await
    })
}

/// Takes the address. For a moment after a server was killed, a command that it was about to start may
/// still hold the port with it: whoever starts the next one at once must not fail by that.
fn take_soon(bind: SocketAddr, path: &Path) -> Result<TcpSocket, CliError> {
    let began = Instant::now();
    loop {
        let error = match take(bind) {
            Ok(socket) => return Ok(socket),
            Err(error) => error,
        };
        let may_pass = error.kind() == io::ErrorKind::AddrInUse && began.elapsed() < FREED_WITHIN;
        let told = not_bound(bind, &error, path);
        if !may_pass || told.code == Code::StateLocked {
            return Err(told);
        }
        thread::sleep(FREED_WITHIN / 20);
    }
}

/// Why the address can't be had, before the store is held. Where it is served already, that is what a
/// user must know.
fn not_bound(bind: SocketAddr, error: &io::Error, path: &Path) -> CliError {
    if let Err(locked @ OpenError::Locked { .. }) = ReadStore::open(path) {
        return locked.into();
    }
    bind_error(bind, error)
}

fn bind_error(bind: SocketAddr, error: &io::Error) -> CliError {
    let told = CliError::new(Code::ServerBind, format!("can't listen at {bind}: {error}"));
    match error.kind() {
        io::ErrorKind::AddrInUse => told.hint(Suggestion::listeners(bind.port())),
        _ => told,
    }
    .hint(Suggestion::serve_anywhere())
}

/// Everything between the lock and the opening of the Runtime.
fn prepare(
    store: &mut FileStore,
    path: &Path,
    here: &Here,
    config: &Config,
    clock: &Arc<SystemClock>,
) -> Result<(Tokens, RuntimeOptions), CliError> {
    let tokens = Tokens::open(path, clock.clone(), &mut SystemEntropy)?;
    let mounts = here.mounts(&store.load()?)?;
    let options = RuntimeOptions {
        clock: clock.clone(),
        ..config.options(mounts)?
    };
    Ok((tokens, options))
}

fn listen(
    listener: TcpListener,
    runtime: Runtime,
    tokens: Tokens,
    config: Config,
    clock: Arc<SystemClock>,
) -> io::Result<Server> {
    let options = ServerOptions {
        hosts: config.hosts,
        origins: config.origins,
        limits: config.http,
        clock,
        ..ServerOptions::default()
    };
    Server::on(listener, runtime, Arc::new(tokens), options)
}

/// Says once that it is ready.
fn say_ready(voice: &Voice<'_>, server: &Server, runtime: &Runtime, path: &Path) {
    let address = server.address();
    if !address.ip().is_loopback() {
        voice.warn(
            "other machines reach this address, and it speaks plain HTTP: put what encrypts in front",
        );
    }
    if address.ip().is_unspecified() {
        voice.warn(
            "it is called by no other name than localhost: add those of this machine with --host",
        );
    }
    let runtime_id = runtime.observation().runtime_id().to_string();
    let token_file = Tokens::local_file(path).display().to_string();
    voice.ready(&url_of(address), &runtime_id, &token_file);
}

/// Serves until a signal asks for the end; then ends in order, or at once on a further Ctrl-C.
async fn until_asked(
    server: Server,
    told: Told,
    runtime: Runtime,
    mut signals: Signals,
    voice: &Voice<'_>,
) -> Result<Exit, Failure> {
    let (end, asked_to_end) = oneshot::channel::<()>();
    let mut served = pin!(server.run(async {
        let _ = asked_to_end.await;
        told.withdraw();
    }));
    tokio::select! {
        () = &mut served => {}
        () = runtime.closed() => {
            // Whoever asks is told so until now; then it is better not to be there than to refuse for ever.
            let _ = end.send(());
            tokio::select! {
                () = served => {}
                () = signals.insisted() => {}
            }
            return Err(ended_by_itself().into());
        }
        asked = signals.next() => {
            let how = match asked {
                Asked::Interrupt => "Ctrl-C once more ends it at once",
                Asked::Terminate => "asked to by a signal",
            };
            voice.good("ending", &format!("requests are answered, runs are ended; {how}"));
        }
    }
    let _ = end.send(());
    let closed = async {
        served.await;
        runtime.close().await
    };
    tokio::select! {
        closed = closed => closed?,
        // Dropped, not closed: what runs ends with this process, and the next opening says so.
        () = signals.insisted() => {
            voice.bad("left", "not everything was ended; the next opening ends it and says so");
            return Ok(Exit::Interrupted);
        }
    }
    voice.good("closed", "the store is closed clean");
    Ok(Exit::Done)
}

/// Nobody closed the Runtime, and it takes nothing any more.
fn ended_by_itself() -> CliError {
    let message = "the Runtime ended by itself: a contradiction inside, which is named above; its server ends too, and what was acknowledged is durable";
    CliError::new(Code::Bug, message).hint(Suggestion::serve_here())
}

impl From<TokensError> for CliError {
    fn from(error: TokensError) -> Self {
        let told = Self::new(Code::StateIo, error.to_string());
        match error {
            TokensError::OpenToOthers { path, .. } => Self {
                code: Code::StateDenied,
                ..told
            }
            .hint(Suggestion::close_to_others(&path)),
            TokensError::NotLocal { path } => Self {
                code: Code::TokenInvalid,
                ..told
            }
            .hint(Suggestion::move_away(&path)),
            TokensError::Io { path, source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Self {
                    code: Code::StateDenied,
                    ..told
                }
                .hint(Suggestion::directory(&path))
            }
            TokensError::Io { path, .. } => told.hint(Suggestion::directory(&path)),
            TokensError::Unreadable { path, .. } => told.hint(Suggestion::move_away(&path)),
            TokensError::Name(_) | TokensError::Expiry(_) => Self {
                code: Code::FieldInvalid,
                ..told
            }
            .hint(Suggestion::help(&["token", "create"])),
            _ => told,
        }
    }
}
