//! Every limit of the Runtime, in one place (I9).

use std::time::Duration;

/// A name, a label's key or value, unless a host says otherwise.
pub const TEXT_BYTES_MAX: usize = 256;
/// Labels of one Worker.
pub const LABELS_MAX: usize = 64;
/// An objective, a purpose, a role.
pub const INTENT_BYTES_MAX: usize = 64 << 10;
/// Capabilities that one Worker asks for.
pub const CAPABILITIES_MAX: usize = 64;
/// Further places that one Worker is told about.
pub const MOUNTS_MAX: usize = 64;
/// Workers that one Worker may know of.
pub const PEERS_MAX: usize = 256;
/// Why somebody asked for an end, in their words.
pub const REASON_BYTES_MAX: usize = 4 << 10;
/// An answer to an action that offers no options.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What the Runtime takes and keeps at most.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Workers, tombstones of deleted ones included.
    pub workers_max: usize,
    /// Leases that are held at a time.
    pub leases_max: usize,
    /// Operations that are kept; the oldest go when there are more.
    pub operations_max: usize,
    /// About how many bytes of operations are kept.
    pub operations_bytes_max: usize,
    /// One input's segments, as JSON.
    pub input_bytes_max: usize,
    /// Inputs of one Worker that wait or run.
    pub inputs_unfinished_max: usize,
    /// Inputs that one Worker ever accepts: each keeps its receipt as long as the Worker.
    pub inputs_per_worker_max: u64,
    /// One event's data.
    pub event_bytes_max: usize,
    /// One block of output; a backend that has more starts another block.
    pub block_bytes_max: usize,
    /// Blocks of one run that have not ended.
    pub blocks_open_max: usize,
    /// New bytes of a block after which it is checkpointed at once.
    pub checkpoint_bytes: usize,
    /// The longest that new bytes of a block wait for a checkpoint.
    pub checkpoint_every: Duration,
    /// Actions of one run that have no answer.
    pub actions_open_max: usize,
    /// Processes of one Worker that live at a time.
    pub processes_max: usize,
    /// Latest-wins fields of one Worker.
    pub status_fields_max: usize,
    /// A name, a label's key or value.
    pub text_bytes_max: usize,
    /// Labels of one Worker.
    pub labels_max: usize,
    /// An objective, a purpose, a role.
    pub intent_bytes_max: usize,
    /// Capabilities that one Worker asks for.
    pub capabilities_max: usize,
    /// Further places that one Worker is told about.
    pub mounts_max: usize,
    /// Workers that one Worker may know of.
    pub peers_max: usize,
    /// Why somebody asked for an end, in their words.
    pub reason_bytes_max: usize,
    /// An answer to an action that offers no options.
    pub answer_bytes_max: usize,
    /// A backend's configuration, as JSON.
    pub config_bytes_max: usize,
    /// A backend's resume reference.
    pub resume_bytes_max: usize,
    /// Commands that wait for the writer; whoever sends one more waits.
    pub queue_len_max: usize,
    /// Events of one commit.
    pub batch_events_max: usize,
    /// Bytes of event data of one commit, after which no further command joins it.
    pub batch_bytes_max: usize,
    /// Events of one page.
    pub page_events_max: usize,
    /// Bytes of event data of one page.
    pub page_bytes_max: usize,
    /// Live previews that one observer may lag behind before they are replaced by a whole one.
    pub deltas_lag_max: usize,
    /// How long nothing must happen before the store is made quick to open.
    pub idle_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            workers_max: 100_000,
            leases_max: 1_000,
            operations_max: 10_000,
            operations_bytes_max: 4 << 20,
            input_bytes_max: 1 << 20,
            inputs_unfinished_max: 64,
            inputs_per_worker_max: 1_000_000,
            event_bytes_max: 8 << 20,
            block_bytes_max: 1 << 20,
            blocks_open_max: 64,
            checkpoint_bytes: 16 << 10,
            checkpoint_every: Duration::from_secs(1),
            actions_open_max: 32,
            processes_max: 16,
            status_fields_max: 32,
            text_bytes_max: TEXT_BYTES_MAX,
            labels_max: LABELS_MAX,
            intent_bytes_max: INTENT_BYTES_MAX,
            capabilities_max: CAPABILITIES_MAX,
            mounts_max: MOUNTS_MAX,
            peers_max: PEERS_MAX,
            reason_bytes_max: REASON_BYTES_MAX,
            answer_bytes_max: ANSWER_BYTES_MAX,
            config_bytes_max: 256 << 10,
            resume_bytes_max: 64 << 10,
            queue_len_max: 8_192,
            batch_events_max: 4_096,
            batch_bytes_max: 1 << 20,
            page_events_max: 1_000,
            page_bytes_max: 1 << 20,
            deltas_lag_max: 256,
            idle_after: Duration::from_secs(2),
        }
    }
}
