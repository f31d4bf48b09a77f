//! What is told, where the core has no type for it.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use worker_runtime_core::{
    Cursor, EventType, ItemIndex, Position, RunId, RuntimeId, Seq, Timestamp, WorkerId,
    backend::BackendCapabilities,
    store::Gap,
    view::{
        AllocationReceipt, CreateReceipt, DamagedView, LeaseReceipt, LeaseReleased,
        LifecycleReceipt, WorkerView,
    },
};

/// A page of the list of Workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkersBody {
    /// The Workers.
    pub workers: Vec<WorkerView>,
    /// How many there are in all that the filter takes.
    pub total: usize,
    /// The offset to go on from.
    pub next: Option<usize>,
    /// Workers that can't be shown because what is stored of them is damaged.
    pub damaged: Vec<DamagedView>,
    /// Where this is true, in the Runtime's stream.
    pub cursor: Cursor,
}

/// An event, with the cursor after it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventBody {
    /// The cursor after this event, in the stream that was asked for.
    pub cursor: Cursor,
    /// Its Runtime.
    pub runtime_id: RuntimeId,
    /// Its Worker; absent for a fact about the Runtime itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<WorkerId>,
    /// Its number within its Worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<Seq>,
    /// Its number in the Worker's transcript, when it bears transcript.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<ItemIndex>,
    /// Its number within the Runtime.
    pub position: Position,
    /// When it was written.
    pub at: Timestamp,
    /// What kind of fact.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The run it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// The fact.
    #[schemars(schema_with = "object")]
    pub data: Value,
}

fn object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object" })
}

/// What is missing of a stream, and where it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GapBody {
    /// What is missing, and why.
    #[serde(flatten)]
    pub gap: Gap,
    /// The cursor after it.
    pub cursor: Cursor,
}

/// A page of a stream. With nothing new it has the same shape and no events.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventsBody {
    /// The Runtime.
    pub runtime_id: RuntimeId,
    /// Where the page begins: a relative start, resolved.
    pub start: Cursor,
    /// What is missing before the first event.
    pub gap: Option<GapBody>,
    /// The events, in order.
    #[schemars(with = "Vec<EventBody>")]
    pub events: Vec<Box<RawValue>>,
    /// The cursor to go on from.
    pub next: Cursor,
    /// Whether there is nothing more now.
    pub up_to_date: bool,
}

/// What would become of a creation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WouldCreate {
    /// Whether a Worker would be made; it was made before by the same request otherwise.
    pub would_create: bool,
}

/// What is told of a creation that made nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum NotCreated {
    /// The same request made it before.
    Before(CreateReceipt),
    /// It was only asked what would be.
    Tried(WouldCreate),
}

/// What would become of an acquisition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WouldAcquire {
    /// Whether a lease would be granted; it is held already by the same request otherwise.
    pub would_acquire: bool,
}

/// What is told of an acquisition that granted nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum NotAcquired {
    /// It is held already by the same request.
    Before(LeaseReceipt),
    /// It was only asked what would be.
    Tried(WouldAcquire),
}

/// What would become of a change of what a Worker holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WouldChange {
    /// Whether it would hold anything else than it does.
    pub would_change: bool,
}

/// What is told of a change of what a Worker holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum AllocationChange {
    /// It was made.
    Changed(AllocationReceipt),
    /// It was only asked what would be.
    Tried(WouldChange),
}

/// What would become of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WouldRelease {
    /// Whether something would be given up; else it was taken by force before, and is only waited for.
    pub would_release: bool,
}

/// What is told of a release of what a Worker holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum AllocationRelease {
    /// It was made.
    Released(AllocationReceipt),
    /// It was only asked what would be.
    Tried(WouldRelease),
}

/// What would become of a reclaim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WouldReclaim {
    /// From whom something would be taken.
    pub would_reclaim_from: Vec<WorkerId>,
}

/// What is told of a reclaim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum AllocationReclaim {
    /// It was made.
    Reclaimed(AllocationReceipt),
    /// It was only asked what would be.
    Tried(WouldReclaim),
}

/// What would become of a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WouldRestore {
    /// Whether it would be restored; else it is active already.
    pub would_restore: bool,
}

/// What is told of a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum WorkerRestore {
    /// It was made.
    Restored(LifecycleReceipt),
    /// It was only asked what would be.
    Tried(WouldRestore),
}

/// What is told of the release of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum LeaseRelease {
    /// It was made.
    Released(LeaseReleased),
    /// It was only asked what would be.
    Tried(WouldRelease),
}

/// Where something was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PositionBody {
    /// The position of the event.
    pub position: Position,
}

/// An execution backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackendView {
    /// The name under which Workers choose it.
    pub name: String,
    /// What it can do.
    pub capabilities: BackendCapabilities,
}

/// Whether the server takes work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadyBody {
    /// Whether it does.
    pub ready: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
