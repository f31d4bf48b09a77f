//! Checking a stopped store, without changing a byte or an mtime of it (I2, I7, I12).
//!
//! It shares the decoders with reading and trusts no index: rows are counted, digests recomputed, chains
//! walked from their base. It keeps what it knows of each Worker, and never events (I9). Called by the
//! command; whoever asks is told of each finding as it is made.
//!
//! - `finding`: what is told; `look`: whom, and what was counted
//! - `store`: the store, opened again when the engine stopped at what it read
//! - `meta`, `records`, `holdings`, `streams`: the small tables
//! - `log`, `history`, `one_history`, `large`: events and their payloads
//! - `structure`: the engine's own account of its pages

mod finding;
mod history;
mod holdings;
mod large;
mod log;
mod look;
mod meta;
mod one_history;
mod records;
mod store;
mod streams;
mod structure;

use std::path::Path;

pub use finding::{CheckDepth, CheckWatcher, Checked, Cost, Finding};
pub use structure::{Structure, check_structure};

use worker_runtime_core::{Code, store::DamagedRecord};

use crate::{
    OpenError,
    layout::{history as history_table, log as log_table},
    store::{format_of, rebuilt},
};
use look::{Look, Meta};
use records::Known;
use store::StoppedStore;

/// Checks the store of a directory that no process has open for writing.
///
/// # Errors
/// [`OpenError`] when there is no store that could be checked: none is there, a process holds it, the system
/// does not allow it, or its format is newer. A store that is damaged is no error but findings.
pub fn check(
    path: &Path,
    depth: CheckDepth,
    watcher: &mut dyn CheckWatcher,
) -> Result<Checked, OpenError> {
    let mut look = Look::new(watcher);
    let checked = StoppedStore::open(path).and_then(|mut store| {
        let newer = store.part(&mut look, |rows, _| format_of(rows))?;
        match newer.flatten() {
            Some(newer) => Err(newer),
            None => parts(&mut store, depth, &mut look),
        }
    });
    match checked {
        Ok(()) => {}
        Err(OpenError::Damaged { detail, .. }) => look.tell(store::of_table("file", detail)),
        Err(OpenError::Store(error)) => match error {
            worker_runtime_core::store::StoreError::Damaged { table, detail } => {
                look.tell(store::of_table(table, detail));
            }
            worker_runtime_core::store::StoreError::Read { detail } => {
                look.tell(store::unread(detail));
            }
            other => return Err(other.into()),
        },
        Err(error) => return Err(error),
    }
    look.checked.workers = look.workers.len() as u64;
    Ok(look.checked)
}

fn parts(
    store: &mut StoppedStore,
    depth: CheckDepth,
    look: &mut Look<'_>,
) -> Result<(), OpenError> {
    let Some(meta) = store.part(look, meta::read)?.flatten() else {
        return Ok(());
    };
    let state = &meta.state;
    look.checked.position = state.position;
    if depth == CheckDepth::Full {
        look.expect_bytes(state.log_bytes + state.history_bytes);
    }
    meta::compare_with_head(&meta, store.head(), look);
    let known = store.part(look, |rows, look| records::small(rows, &meta, look))?;
    let known = known.flatten();
    if depth == CheckDepth::Full {
        full(store, &meta, known, look)?;
    }
    opening(store, &meta, look)
}

/// Every table that an opening does not read as a whole.
fn full(
    store: &mut StoppedStore,
    meta: &Meta,
    known: Option<Known>,
    look: &mut Look<'_>,
) -> Result<(), OpenError> {
    // Without the Runtime's record nobody knows which Workers there are.
    let mut known = known.unwrap_or_else(Known::of_nobody);
    store.part(look, |rows, look| {
        records::receipts(rows, meta, &mut known, look)
    })?;
    let streams = store.part(look, |rows, look| streams::read(rows, meta, look))?;
    let streams = streams.unwrap_or_default();
    let logged = store.part(look, |rows, look| log::walk(rows, meta, &streams, look))?;
    let is_log_read = logged.is_some();
    let mut logged = logged.unwrap_or_default();
    let walked = store.part(look, |rows, look| {
        history::walk(rows, meta, (&streams, &mut known), &mut logged, look)
    })?;
    logged.tell(look);
    store.part(look, |rows, look| history::ages(rows, meta, look))?;
    let Some((mut referred, bytes)) = walked else {
        return Ok(());
    };
    if !is_log_read {
        referred.is_runtime_unknown = true;
        referred.unknown.extend(look.workers.iter().copied());
    }
    let large = store.part(look, |rows, look| {
        large::pieces(rows, meta, &referred, look)
    })?;
    let table = history_table::TABLE;
    if let Some(large) = large
        && bytes + large != meta.state.history_bytes
        && !look.has_told_of(table)
        && !look.has_told_of(crate::layout::large::TABLE)
    {
        let detail = format!(
            "{} bytes were counted and {} are there",
            meta.state.history_bytes,
            bytes + large
        );
        look.tell(Finding::derived(table, detail));
    }
    Ok(())
}

/// What the next opening for writing would find, where nothing that was told says why.
fn opening(store: &mut StoppedStore, meta: &Meta, look: &mut Look<'_>) -> Result<(), OpenError> {
    let tables = [log_table::TABLE, history_table::TABLE];
    if tables.into_iter().any(|table| look.has_told_of(table)) {
        return Ok(());
    }
    let damaged: Option<Vec<DamagedRecord>> =
        store.part(look, |rows, _| rebuilt(rows, &meta.state))?;
    for damaged in damaged.unwrap_or_default() {
        let code = Code::EventDamaged;
        let mut finding = Finding::new(code, Cost::Data, damaged.table, damaged.detail);
        finding.worker_id = damaged.worker_id;
        look.tell(finding);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
