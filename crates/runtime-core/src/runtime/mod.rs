//! The Runtime: one writer on its own thread, readers beside it, and the tasks that run backends.
//!
//! # Layout
//! - `handle`: [`Runtime`], its options, open and close
//! - `open`: recovery, in the order that keeps scopes safe
//! - `writer`: the one loop that applies commands, commits, publishes and acknowledges (I1)
//! - `failure`: what the loop does after a commit that failed
//! - `command`: what the loop takes
//! - `condition`: changes that are made only if a Worker is as it has to be
//! - `alarm`: wakes the writer when something is due, and never else
//! - `shared`: what is published: records, position, and who waits for news
//! - `live`: blocks that have not ended; `delta`: their previews
//! - `sink`: how a backend talks back; `bounds`: how much it may say
//! - `supervisor`: one task per Worker that has a backend
//! - `backends`: the named factories
//! - `management`, `catalog`, `interaction`, `allocations` (and `leases`), `observation`: the five planes
//! - `redact`: what is left of deleted Workers in the Runtime's stream
//! - `observe`: a stream of events that goes on where a cursor stands

mod alarm;
mod allocations;
mod backends;
mod bounds;
mod catalog;
mod command;
mod condition;
mod delta;
mod failure;
mod handle;
mod interaction;
mod leases;
mod live;
mod management;
mod observation;
mod observe;
mod open;
mod operated;
mod prepare;
mod redact;
mod shared;
mod sink;
mod supervisor;
mod transcript;
mod writer;

pub use allocations::Allocations;
pub(crate) use backends::Backends;
pub use catalog::{Catalog, EndOptions, ListOrder, WorkerFilter, WorkerList};
pub use delta::{Delta, DeltaOp};
pub use handle::{Runtime, RuntimeOptions};
pub use interaction::Interaction;
pub(crate) use live::{LiveRuns, PartialBlock};
pub use management::Management;
pub use observation::{Observation, PageSize, TranscriptFrom};
pub use observe::{ObserveOptions, ObserveStream, Observed};
#[cfg(all(test, shuttle))]
pub(crate) use shared::Shared;
pub use shared::open_read_only;
pub(crate) use shared::{PublishedWorker, incarnation_at};
pub use sink::{ProcessSink, RunSink};
pub use transcript::{TranscriptPart, TranscriptReader};
