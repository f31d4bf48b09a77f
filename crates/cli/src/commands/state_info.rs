//! `state info`: what the state directory holds. Of a live one, what its server can tell; where a
//! process holds it that serves nobody, only what can be told from outside.

use std::{fs, io, path::Path};

use serde::Serialize;
use serde_json::json;
use worker_runtime_core::{Code, RuntimeId, Timestamp, record::Lifecycle, view::RuntimeStatus};

use crate::{
    args::Global,
    error::{CliError, Failure},
    exit::Exit,
    output::{Printer, Table},
    suggest::Suggestion,
    target::{self, ReadTarget, Target},
};

/// What a store says of itself.
#[derive(Serialize)]
struct Info {
    runtime_id: RuntimeId,
    created_at: Timestamp,
    /// Who runs it.
    held_by: Option<String>,
    /// The last opening for writing: `number.id`.
    incarnation: Option<String>,
    position: u64,
    workers: usize,
    deleted: usize,
    allocations: usize,
    leases: usize,
    inputs_without_outcome: usize,
    damaged: usize,
    went_back: bool,
    #[serde(flatten)]
    stopped: Option<Stopped>,
}

/// What only a stopped one tells.
#[derive(Serialize)]
struct Stopped {
    format_version: u32,
    /// The next opening for writing reads no log.
    settled: bool,
    log_bytes: u64,
    history_bytes: u64,
    opened_at: Option<Timestamp>,
    openings: usize,
    newest_at: Timestamp,
}

/// A file or directory below the state directory.
#[derive(Serialize)]
struct Entry {
    name: String,
    bytes: u64,
}

pub(crate) fn run(global: &Global, printer: &mut Printer) -> Result<Exit, Failure> {
    let opened = target::open(global, printer);
    let path = match &opened {
        Ok(target) => target.path().map(Path::to_owned),
        Err(_) => Some(target::path(global)?),
    };
    let entries = match &path {
        Some(path) if target::has_store(path) => entries(path).map_err(|error| {
            let message = format!("can't read {}: {error}", path.display());
            CliError::new(Code::StateIo, message)
        })?,
        Some(_) => {
            // The error says which directory, and what makes a store.
            opened?;
            return Ok(Exit::Done);
        }
        // Only its server knows where it is.
        None => Vec::new(),
    };
    let told = match &opened {
        Ok(target) => Some((target, target.runtime()?)),
        Err(_) => None,
    };
    let info = told
        .as_ref()
        .map(|(target, status)| Info::of(target, status));
    if printer.format().is_json() {
        let source = told.as_ref().map(|(target, _)| target.source());
        printer
            .json(&json!({ "source": source, "state": path, "files": entries, "info": info }))?;
    } else {
        print(path.as_deref(), info.as_ref(), &entries, printer)?;
    }
    printer.flush()?;
    if let Some((_, status)) = &told {
        tell_trouble(status, printer);
    }
    let exit = told.map_or(Exit::Done, |(_, status)| {
        suggest(path.as_deref(), &status, printer)
    });
    // This is the command that it would suggest.
    opened.map_err(|mut error| {
        error.hints.retain(|hint| *hint != Suggestion::state_info());
        error
    })?;
    Ok(exit)
}

fn suggest(path: Option<&Path>, status: &RuntimeStatus, printer: &Printer) -> Exit {
    let copy = |suffix| path.map(|path| Suggestion::copy(path, suffix));
    if !status.damaged.is_empty() {
        let then = [Suggestion::state_check()];
        let suggestions: Vec<_> = copy("damaged").into_iter().chain(then).collect();
        printer.next(
            "something is damaged and is not used; keep a copy, then see what it is",
            &suggestions,
        );
    }
    if status.went_back.is_some() {
        let then = [
            Suggestion::explain(Code::StateWentBack),
            Suggestion::accept_older(),
        ];
        let suggestions: Vec<_> = copy("went-back").into_iter().chain(then).collect();
        printer.next(
            "keep a copy before anything else, then look for the newer state, or accept this one",
            &suggestions,
        );
    }
    match (status.went_back.is_some(), status.damaged.is_empty()) {
        (true, _) => Exit::WentBack,
        (false, true) => Exit::Done,
        (false, false) => Exit::Damaged,
    }
}

fn tell_trouble(status: &RuntimeStatus, printer: &Printer) {
    if let Some(went) = status.went_back {
        printer.warn_code(
            Code::StateWentBack,
            format_args!(
                "acknowledged state is gone: position {} was acknowledged, {} is the newest that is left",
                went.witnessed, went.found
            ),
        );
    }
    for record in &status.damaged {
        let of = record
            .worker_id
            .map(|worker_id| format!(" of Worker {worker_id}"));
        printer.warn_code(
            match record.table.as_str() {
                "worker" => Code::WorkerDamaged,
                "history" => Code::EventDamaged,
                _ => Code::RecordDamaged,
            },
            format_args!(
                "a record of table {}{} is damaged: {}",
                record.table,
                of.unwrap_or_default(),
                record.detail
            ),
        );
    }
}

impl Info {
    fn of(target: &Target, status: &RuntimeStatus) -> Self {
        let count = |lifecycle| status.workers.get(&lifecycle).copied().unwrap_or_default();
        let deleted = count(Lifecycle::Deleted);
        Self {
            runtime_id: status.runtime_id,
            created_at: status.created_at,
            held_by: match target {
                Target::Store(_) => None,
                Target::Server(server) => Some(server.holder()),
            },
            incarnation: match target {
                Target::Store(store) => {
                    let last = store.loaded.incarnations.last();
                    last.map(|record| record.incarnation.to_string())
                }
                Target::Server(_) => status.incarnation.clone(),
            },
            position: status.position.0,
            workers: status.workers.values().sum::<usize>() - deleted,
            deleted,
            allocations: match target {
                // Also what is held for a Worker that is damaged.
                Target::Store(store) => store.loaded.allocations.len(),
                Target::Server(_) => status.allocations,
            },
            leases: status.leases,
            inputs_without_outcome: status.dispatched + status.queued,
            damaged: status.damaged.len(),
            went_back: status.went_back.is_some(),
            stopped: match target {
                Target::Store(store) => Some(Stopped::of(store)),
                Target::Server(_) => None,
            },
        }
    }
}

impl Stopped {
    fn of(store: &ReadTarget) -> Self {
        let (loaded, account) = (&store.loaded, store.store.account());
        Self {
            format_version: account.format_version,
            settled: account.settled,
            log_bytes: account.log_bytes,
            history_bytes: account.history_bytes,
            opened_at: loaded.incarnations.last().map(|record| record.at),
            openings: loaded.incarnations.len(),
            newest_at: loaded.at,
        }
    }
}

fn entries(path: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let is_directory = entry.file_type()?.is_dir();
        let name = entry.file_name().to_string_lossy().into_owned();
        entries.push(Entry {
            name: if is_directory {
                format!("{name}/")
            } else {
                name
            },
            bytes: if is_directory {
                size_below(&entry.path())?
            } else {
                entry.metadata()?.len()
            },
        });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// The bytes of the files in a directory. Ours are flat.
fn size_below(path: &Path) -> io::Result<u64> {
    let sizes = fs::read_dir(path)?.map(|entry| entry?.metadata().map(|found| found.len()));
    sizes.sum()
}

fn print(
    path: Option<&Path>,
    info: Option<&Info>,
    entries: &[Entry],
    printer: &mut Printer,
) -> Result<(), Failure> {
    if let Some(path) = path {
        printer.line(format_args!("directory    {}", path.display()))?;
    }
    for (name, value) in info.map(|info| lines(info, printer)).unwrap_or_default() {
        printer.line(format_args!("{name:<11}  {value}"))?;
    }
    if path.is_none() {
        return Ok(());
    }
    printer.line("")?;
    let mut table = Table::new(&["FILE", "BYTES"]);
    entries
        .iter()
        .for_each(|entry| table.row([entry.name.clone(), entry.bytes.to_string()]));
    printer.table(&table)
}

fn lines(info: &Info, printer: &Printer) -> Vec<(&'static str, String)> {
    let time = |at| printer.time().text(at);
    let stopped = info.stopped.as_ref();
    let incarnation = info.incarnation.clone();
    let opened = incarnation.map_or("none".to_owned(), |incarnation| match stopped {
        Some(Stopped {
            opened_at: Some(at),
            openings,
            ..
        }) => format!("{incarnation}, opened {}, opening {openings}", time(*at)),
        _ => incarnation,
    });
    let mut lines = vec![("runtime", info.runtime_id.to_string())];
    if let Some(stopped) = stopped {
        let closed = match stopped.settled {
            true => "clean: the next opening reads no log",
            false => "not clean: the next opening reads the newest part of the log once",
        };
        lines.push(("format", format!("version {}", stopped.format_version)));
        lines.push(("closed", closed.to_owned()));
    }
    let written = stopped.map(|stopped| format!(", written {}", time(stopped.newest_at)));
    let held_by = info.held_by.clone();
    lines.extend([
        ("created", time(info.created_at)),
        ("incarnation", opened),
        ("held by", held_by.unwrap_or_else(|| "nobody".to_owned())),
        (
            "position",
            format!("{}{}", info.position, written.unwrap_or_default()),
        ),
        (
            "workers",
            format!("{}, and {} deleted", info.workers, info.deleted),
        ),
        ("scopes held", (info.allocations + info.leases).to_string()),
        (
            "inputs",
            format!("{} without an outcome", info.inputs_without_outcome),
        ),
    ]);
    if let Some(stopped) = stopped {
        let (histories, log) = (stopped.history_bytes, stopped.log_bytes);
        let events = format!("{histories} bytes of histories, {log} of the log");
        lines.push(("events", events));
    }
    lines.push(("damaged", format!("{} records", info.damaged)));
    lines
}
