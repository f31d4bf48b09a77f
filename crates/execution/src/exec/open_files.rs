//! How many files this process may have open, and how many a command may.
//!
//! A server has a descriptor for each connection, so it wants the most that the system lets it have. A
//! command gets what this program was started with: one that waits with `select` breaks with more.
//!
//! [`raise`] is called by the embedding program; `of_commands` by whoever starts a monitor, and
//! `set` by the monitor, from which the command inherits it.

use std::io;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What this process might have open before it asked for more.
static BEFORE: OnceLock<u64> = OnceLock::new();

/// Raises the limit of open files to the most that the system allows this process, for everything but
/// the commands that it starts. Returns what the limit is from now on; `None` when there is none. A
/// system that refuses leaves it as it is.
pub fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let before = current?;
    if maximum.is_some_and(|maximum| maximum <= before) {
        return Some(before);
    }
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // First, so that no command is ever started with more and without a word.
    let before = *BEFORE.get_or_init(|| before);
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => Some(before),
    }
}

/// What a command may have open, where that is not what this process may.
pub(super) fn of_commands() -> Option<u64> {
    BEFORE.get().copied()
}

/// Lowers this process's own limit, and that of whatever it starts.
pub(super) fn set(open_files: u64) -> io::Result<()> {
    let limit = Rlimit {
        current: Some(open_files),
        ..getrlimit(Resource::Nofile)
    };
    Ok(setrlimit(Resource::Nofile, limit)?)
}
