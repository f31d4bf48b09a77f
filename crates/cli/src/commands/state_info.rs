//! `state info`: what the state directory holds. While another process holds the store, only what
//! can be told from outside.

use std::{fs, io, path::Path};

use serde::Serialize;
use serde_json::json;
use worker_runtime_core::{Code, RuntimeId, Timestamp, store::Loaded};

use crate::{
    args::Global,
    error::{CliError, Failure},
    exit::Exit,
    output::{Printer, Table},
    suggest::Suggestion,
    target::{self, ReadTarget},
};

/// What a stopped store says of itself.
#[derive(Serialize)]
struct Info {
    runtime_id: RuntimeId,
    format_version: u32,
    /// The next opening for writing reads no log.
    settled: bool,
    log_bytes: u64,
    history_bytes: u64,
    created_at: Timestamp,
    /// The last opening for writing: `number.id`.
    incarnation: Option<String>,
    opened_at: Option<Timestamp>,
    openings: usize,
    position: u64,
    newest_at: Timestamp,
    workers: usize,
    deleted: usize,
    allocations: usize,
    inputs_without_outcome: usize,
    damaged: usize,
    went_back: bool,
}

/// A file or directory below the state directory.
#[derive(Serialize)]
struct Entry {
    name: String,
    bytes: u64,
}

pub(crate) fn run(global: &Global, printer: &mut Printer) -> Result<Exit, Failure> {
    let path = target::path(global)?;
    let opened = target::open_read(global);
    if !target::has_store(&path) {
        // The error says which directory, and what makes a store.
        opened?;
        return Ok(Exit::Done);
    }
    let entries = entries(&path).map_err(|error| {
        CliError::new(
            Code::StateIo,
            format!("can't read {}: {error}", path.display()),
        )
    })?;
    let info = opened.as_ref().ok().map(Info::of);
    if printer.format().is_json() {
        printer.json(&json!({ "state": path, "files": entries, "info": info }))?;
    } else {
        print(&path, info.as_ref(), &entries, printer)?;
    }
    printer.flush()?;
    if let Ok(target) = &opened {
        tell_trouble(&target.loaded, printer);
    }
    // This is the command that it would suggest.
    opened.map_err(|mut error| {
        error.hints.retain(|hint| *hint != Suggestion::state_info());
        error
    })?;
    let Some(info) = info else {
        return Ok(Exit::Done);
    };
    if info.damaged > 0 {
        printer.next(
            "something is damaged and is not used; keep a copy, then see what it is",
            &[Suggestion::copy(&path, "damaged"), Suggestion::status()],
        );
    }
    if info.went_back {
        printer.next(
            "keep a copy before anything else, then look for the newer state, or accept this one",
            &[
                Suggestion::copy(&path, "went-back"),
                Suggestion::explain(Code::StateWentBack),
                Suggestion::accept_older(),
            ],
        );
    }
    Ok(match (info.went_back, info.damaged) {
        (true, _) => Exit::WentBack,
        (false, 0) => Exit::Done,
        (false, _) => Exit::Damaged,
    })
}

fn tell_trouble(loaded: &Loaded, printer: &Printer) {
    if let Some(went) = loaded.went_back {
        printer.warn_code(
            Code::StateWentBack,
            format_args!(
                "acknowledged state is gone: position {} was acknowledged, {} is the newest that is left",
                went.witnessed, went.found
            ),
        );
    }
    for record in &loaded.damaged {
        let of = record
            .worker_id
            .map(|worker_id| format!(" of Worker {worker_id}"));
        printer.warn_code(
            match record.table {
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
    fn of(target: &ReadTarget) -> Self {
        use worker_runtime_core::record::Lifecycle;
        let loaded = &target.loaded;
        let account = target.store.account();
        let last = loaded.incarnations.last();
        let deleted = loaded
            .workers
            .iter()
            .filter(|worker| worker.lifecycle == Lifecycle::Deleted)
            .count();
        Self {
            runtime_id: loaded.runtime.runtime_id,
            format_version: account.format_version,
            settled: account.settled,
            log_bytes: account.log_bytes,
            history_bytes: account.history_bytes,
            created_at: loaded.runtime.created_at,
            incarnation: last.map(|record| record.incarnation.to_string()),
            opened_at: last.map(|record| record.at),
            openings: loaded.incarnations.len(),
            position: loaded.position.0,
            newest_at: loaded.at,
            workers: loaded.workers.len() - deleted,
            deleted,
            allocations: loaded.allocations.len(),
            inputs_without_outcome: loaded.unfinished.len(),
            damaged: loaded.damaged.len(),
            went_back: loaded.went_back.is_some(),
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
    path: &Path,
    info: Option<&Info>,
    entries: &[Entry],
    printer: &mut Printer,
) -> Result<(), Failure> {
    printer.line(format_args!("directory    {}", path.display()))?;
    if let Some(info) = info {
        let time = |at| printer.time().text(at);
        let opened = match (&info.incarnation, info.opened_at) {
            (Some(incarnation), Some(at)) => {
                format!(
                    "{incarnation}, opened {}, opening {}",
                    time(at),
                    info.openings
                )
            }
            _ => "none".to_owned(),
        };
        let closed = match info.settled {
            true => "clean: the next opening reads no log",
            false => "not clean: the next opening reads the newest part of the log once",
        };
        let lines = [
            ("runtime", info.runtime_id.to_string()),
            ("format", format!("version {}", info.format_version)),
            ("closed", closed.to_owned()),
            ("created", time(info.created_at)),
            ("incarnation", opened),
            ("held by", "nobody".to_owned()),
            (
                "position",
                format!("{}, written {}", info.position, time(info.newest_at)),
            ),
            (
                "workers",
                format!("{}, and {} deleted", info.workers, info.deleted),
            ),
            ("scopes held", info.allocations.to_string()),
            (
                "inputs",
                format!("{} without an outcome", info.inputs_without_outcome),
            ),
            (
                "events",
                format!(
                    "{} bytes of histories, {} of the log",
                    info.history_bytes, info.log_bytes
                ),
            ),
            ("damaged", format!("{} records", info.damaged)),
        ];
        for (name, value) in lines {
            printer.line(format_args!("{name:<11}  {value}"))?;
        }
    }
    printer.line("")?;
    let mut table = Table::new(&["FILE", "BYTES"]);
    entries
        .iter()
        .for_each(|entry| table.row([entry.name.clone(), entry.bytes.to_string()]));
    printer.table(&table)
}
