//! Who runs this command, for the record of what it changes: whom the system takes its process for. The
//! environment can say anything, so it is not asked.

use std::{fs, process};

use worker_runtime_core::operation::Operator;

const PASSWD: &str = "/etc/passwd";
/// The longest name that is kept; the system's own limit is lower.
const NAME_CHARS_MAX: usize = 64;

/// The user of this process, and the process.
pub(crate) fn operator() -> Operator {
    let uid = rustix::process::geteuid().as_raw();
    let known = fs::read_to_string(PASSWD).unwrap_or_default();
    Operator::User {
        name: name_of(uid, &known),
        pid: process::id(),
    }
}

/// The name of a user in the text of the system's list of them, or the number for one that has none there.
fn name_of(uid: u32, known: &str) -> String {
    let mut entries = known.lines().map(|line| line.split(':'));
    let name = entries.find_map(|mut fields| {
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == uid).then_some(name)
    });
    let is_kept = |c: &char| !c.is_control();
    let name: Option<String> =
        name.map(|name| name.chars().filter(is_kept).take(NAME_CHARS_MAX).collect());
    match name {
        Some(name) if !name.trim().is_empty() => name,
        _ => format!("uid {uid}"),
    }
}

#[cfg(test)]
mod tests;
