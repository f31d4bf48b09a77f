//! How many connections there is room for, within the files that the system lets this process have open
//! (I9): what is taken beyond it fails where it hurts most, in the store and in the start of commands.

use worker_runtime_http::server::HttpLimits;

/// Open files that the store, the listener, the terminal and the program's own machinery take.
const OF_PROGRAM: u64 = 64;
/// Those of one command while it is started and runs: its streams, its monitor's socket, its process.
const OF_COMMAND: u64 = 8;

/// What the server takes at most, and what to say if that is less than was asked for.
pub(super) struct Room {
    pub(super) limits: HttpLimits,
    pub(super) cut: Option<String>,
}

/// Cuts the limits to what is left when program and commands have theirs, but never to less than half.
pub(super) fn within(open_files: Option<u64>, processes_max: usize, limits: HttpLimits) -> Room {
    let Some(open_files) = open_files else {
        return Room { limits, cut: None };
    };
    let of_commands = OF_COMMAND.saturating_mul(processes_max as u64);
    let kept = OF_PROGRAM.saturating_add(of_commands).min(open_files / 2);
    let left = usize::try_from(open_files.saturating_sub(kept)).unwrap_or(usize::MAX);
    let reserved = limits.connections_reserved.min((left / 2).max(1));
    let connections = left.saturating_sub(reserved).max(1);
    if connections >= limits.connections_max && reserved == limits.connections_reserved {
        return Room { limits, cut: None };
    }
    // As by default: those that wait leave half of the connections to others, whatever was asked for.
    let connections_max = limits.connections_max.min(connections);
    let waiting_max = limits.waiting_max.min((connections_max / 2).max(1));
    let cut = format!(
        "the system lets this process have {open_files} files open, so it takes {connections_max} connections at a time instead of {}, of which {waiting_max} wait for events; raise it with `ulimit -n`, or LimitNOFILE= of a service",
        limits.connections_max
    );
    let limits = HttpLimits {
        connections_max,
        connections_reserved: reserved,
        waiting_max,
        waiting_per_token_max: limits.waiting_per_token_max.min((waiting_max / 2).max(1)),
        ..limits
    };
    Room {
        limits,
        cut: Some(cut),
    }
}

#[cfg(test)]
mod tests;
