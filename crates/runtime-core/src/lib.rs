//! The durable Runtime that agent Workers live in: domain types, and the Runtime itself.
//!
//! # Layout
//! - [`id`], [`time`]: identities and ordinals; clock and randomness as inputs
//! - [`event`], [`cursor`]: durable facts, and the token that says *after this position*
//! - [`worker`], [`profile`], [`input`], [`run`]: what is asked for, and how it ends
//! - [`lease`]: what others than Workers ask to hold, for a time
//! - [`operation`]: who asked for which change
//! - [`record`]: what the store keeps beside events
//! - [`scope`]: what a Worker may touch, and whether two Workers meet
//! - [`backend`]: the trait of what runs a Worker's input
//! - [`store`]: the trait of what keeps it all
//! - [`Runtime`]: the concrete entity: one writer, four planes, readers beside it
//! - `state`: the deterministic core of it, one file per family of commands
//! - [`view`], [`error`], [`limits`]: what clients see, what can go wrong, what is bounded
//! - [`patience`]: waits that a stop of the process does not use up
//! - [`code`]: one code for every error that somebody can see
//!
//! It knows no engine, no HTTP and no command line.

mod as_json;
pub mod backend;
pub mod code;
pub mod cursor;
pub mod error;
pub mod event;
mod holdings;
pub mod id;
pub mod input;
pub mod lease;
pub mod limits;
pub mod operation;
pub mod patience;
pub mod profile;
pub mod record;
pub mod run;
mod runtime;
#[doc(hidden)]
pub mod sabotage;
#[cfg(shuttle)]
#[doc(hidden)]
pub mod schedules;
#[cfg(feature = "schema")]
mod schema;
pub mod scope;
mod state;
pub mod store;
mod sync;
pub mod time;
#[doc(hidden)]
pub mod trailing;
pub mod view;
pub mod whole;
pub mod worker;

pub use as_json::AsJson;
pub use code::Code;
pub use cursor::{Cursor, CursorError, CursorMalformed, Stream};
pub use event::{
    Digest, Event, EventDraft, EventFilter, EventType, ReceivedEvent, TypePattern, WireEvent,
    WorkerPlace,
};
pub use id::{
    ActionId, BlockId, Epoch, Fence, Generation, IdError, Incarnation, InputId, ItemIndex, LeaseId,
    OperationId, Position, Revision, RunId, RuntimeId, Seq, WorkerId,
};
pub use runtime::{
    Allocations, Catalog, Delta, DeltaOp, EndOptions, Interaction, ListOrder, Management,
    Observation, ObserveOptions, ObserveStream, Observed, PageSize, ProcessSink, RunSink, Runtime,
    RuntimeOptions, TranscriptFrom, TranscriptPart, TranscriptReader, WorkerFilter, WorkerList,
    open_read_only,
};
pub use scope::{HeldRule, HeldScope, Mounts, Permission, Scope, ScopeError, ScopeRule};
pub use state::Dispatch;
pub use time::{
    Clock, Entropy, ManualClock, SeededEntropy, SystemClock, SystemEntropy, TimeInvalid, Timestamp,
};
