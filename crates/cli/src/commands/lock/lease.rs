//! Leases at the terminal: which one is meant, and how it is printed.

use std::time::Duration;

use worker_runtime_core::{
    Code, LeaseId,
    view::{DamagedView, Holder, LeaseView},
};

use crate::{
    commands::worker::rules_text,
    error::{CliError, Failure},
    output::{Printer, duration_text, one_line},
    suggest::Suggestion,
    target::Target,
    worker_name,
};

/// The lease that is meant: by its id, or the beginning of it when only one has it.
///
/// # Errors
/// When none is meant, or more than one.
pub(super) fn find(target: &Target, text: &str) -> Result<LeaseId, CliError> {
    if let Ok(lease_id) = text.parse() {
        return Ok(lease_id);
    }
    if text.is_empty() || worker_name::is_nil(text) {
        let message = format!("{text:?} names no lease; give an id, or its first digits");
        return Err(CliError::new(Code::FieldInvalid, message).hint(Suggestion::lock_ls()));
    }
    match beginning_with(target, text)?.as_slice() {
        [lease_id] => Ok(*lease_id),
        [] => Err(unknown(text)),
        several => Err(ambiguous(text, several.len())),
    }
}

/// Who is meant: a Worker as everywhere, or a lease by its id or the beginning of it.
///
/// # Errors
/// When nobody is meant, or more than one.
pub(super) fn find_holder(target: &Target, text: &str) -> Result<Holder, CliError> {
    if let Ok(lease_id) = text.parse::<LeaseId>() {
        return match target.lease(lease_id) {
            Err(error) if error.code == Code::LeaseUnknown => {
                let worker_id = worker_name::find_id(target, text)?;
                match target.worker(worker_id) {
                    Err(unknown) if unknown.code == Code::WorkerUnknown => Err(neither(lease_id)),
                    // Whatever is the matter with it is told by whoever needs it.
                    _ => Ok(worker_id.into()),
                }
            }
            Ok(_) => Ok(lease_id.into()),
            Err(error) if error.code == Code::RecordDamaged => Ok(lease_id.into()),
            Err(error) => Err(error),
        };
    }
    // As a whole id it is none of either kind.
    if text.is_empty() || worker_name::is_nil(text) {
        return Err(nobody(text));
    }
    let leases = beginning_with(target, text)?;
    match (worker_name::find_id(target, text), leases.as_slice()) {
        (Ok(worker_id), []) => Ok(worker_id.into()),
        (Ok(_), several) => Err(ambiguous(text, several.len() + 1)),
        (Err(error), [lease_id]) if error.code == Code::WorkerUnknown => Ok((*lease_id).into()),
        (Err(error), [_, _, ..]) if error.code == Code::WorkerUnknown => {
            Err(ambiguous(text, leases.len()))
        }
        (Err(error), _) => Err(error),
    }
}

fn beginning_with(target: &Target, text: &str) -> Result<Vec<LeaseId>, CliError> {
    if !worker_name::may_begin_an_id(text) {
        return Ok(Vec::new());
    }
    let leases = target.leases(0, usize::MAX)?.leases.into_iter();
    let ids = leases.map(|lease| lease.lease_id);
    let means = |lease_id: &LeaseId| worker_name::begins_with(&lease_id.to_string(), text);
    Ok(ids.filter(means).collect())
}

fn unknown(text: &str) -> CliError {
    let text: String = text.chars().take(64).collect();
    let message = format!("there is no lease {text:?}; give an id, or its first digits");
    CliError::new(Code::LeaseUnknown, message).hint(Suggestion::lock_ls())
}

/// No Worker and no lease is called so.
fn nobody(text: &str) -> CliError {
    let message = format!("{text:?} names no Worker and no lease; give an id, or a Worker's name");
    CliError::new(Code::FieldInvalid, message).hint(Suggestion::lock_ls())
}

/// Most often a lease that has ended: of a Worker something is always left.
fn neither(lease_id: LeaseId) -> CliError {
    let message = format!(
        "there is no lease {lease_id}, and no Worker: a lease ends when it is released, or when its time is over"
    );
    CliError::new(Code::LeaseUnknown, message).hint(Suggestion::lock_ls())
}

fn ambiguous(text: &str, count: usize) -> CliError {
    let message = format!("{text:?} means {count} that hold something; give more of the id");
    CliError::new(Code::WorkerAmbiguous, message).hint(Suggestion::lock_ls())
}

/// Leases whose records can't be used: what they held nobody knows, and anybody may be granted it. Told
/// beside every answer that says who holds what.
///
/// # Errors
/// When the server can't be asked.
pub(super) fn damaged(target: &Target) -> Result<Vec<DamagedView>, CliError> {
    let mut damaged = target.runtime()?.damaged;
    damaged.retain(|record| record.lease_id.is_some());
    Ok(damaged)
}

/// Warns of them, with what clears each away.
pub(super) fn warn_damaged(damaged: &[DamagedView], printer: &Printer) {
    for DamagedView {
        lease_id, detail, ..
    } in damaged
    {
        let Some(lease_id) = *lease_id else { continue };
        printer.warn_code(
            Code::RecordDamaged,
            format_args!(
                "the record of lease {lease_id} is damaged, and what it held is anybody's: {detail}"
            ),
        );
        printer.hint(&Suggestion::lock_release_by_force(lease_id));
    }
}

/// Until when it is held. While nobody runs the store no time passes.
fn until_text(lease: &LeaseView, printer: &Printer) -> String {
    match lease.expires_at {
        Some(at) => printer.time().text(at),
        None => {
            let ttl = duration_text(Duration::from_millis(lease.ttl_ms));
            format!("{ttl} after it is run again")
        }
    }
}

/// What goes on with it, in a few words.
pub(super) fn use_text(lease: &LeaseView, printer: &Printer) -> String {
    let until = until_text(lease, printer);
    match lease.is_current || lease.expires_at.is_none() {
        true => format!("lease until {until}"),
        false => format!("lease until {until}, to be renewed"),
    }
}

pub(super) fn print(lease: &LeaseView, printer: &mut Printer) -> Result<(), Failure> {
    let void = match lease.expires_at {
        Some(_) => "; void since the Runtime was opened, until its holder renews with it",
        // Nobody could renew it now.
        None => "; void while nobody runs the store; its holder renews with it at the next server",
    };
    let fence = match lease.is_current {
        true => lease.fence.to_string(),
        false => format!("{}{void}", lease.fence),
    };
    let lines = [
        ("lease", lease.lease_id.to_string()),
        ("holder", lease.holder.clone()),
        ("holds", rules_text(&lease.scope)),
        ("fence", fence),
        ("until", until_text(lease, printer)),
        ("reason", lease.reason.clone().unwrap_or_default()),
        ("since", printer.time().text(lease.granted_at)),
    ];
    for (name, value) in lines {
        if !value.is_empty() {
            printer.line(format_args!("{name:<9}  {}", one_line(&value, usize::MAX)))?;
        }
    }
    Ok(())
}
