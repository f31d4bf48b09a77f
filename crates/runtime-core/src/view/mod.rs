//! Views: what clients see of the state. Derived on every read, never stored; no absolute path, no
//! handle and no secret is in them (I4, I11).
//!
//! - `worker`: a Worker and what it does; `derive`: how that follows from the records
//! - `receipt`: what a command is answered
//! - `runtime`: the Runtime's status, and what an operator should know
//! - `page`: pages of a stream and of a transcript
//! - `operation`: a change, and who asked for it
//! - `allocation`, `lease`: what is held, and what a fence is good for; `owner`: who holds a scope

mod allocation;
mod derive;
mod lease;
mod operation;
mod owner;
mod page;
mod receipt;
mod runtime;
mod worker;

pub use allocation::{
    AllocationList, AllocationView, FenceVerified, Place, PlaceHolder, PlaceHolders, VerifyFence,
};
pub(crate) use derive::phase;
pub use lease::{LeaseList, LeaseReceipt, LeaseReleased, LeaseVerified, LeaseView};
pub use operation::OperationView;
pub use owner::{Holder, Owners, ScopeOwner};
pub(crate) use owner::{wire_rule, wire_scope};
pub use page::{EventPage, TranscriptItem, TranscriptPage, UnfinishedBlock};
pub use receipt::{AllocationReceipt, CancelReceipt, CreateReceipt, LifecycleReceipt};
pub use runtime::{DamagedView, Diagnostic, RuntimeStatus, WentBackView};
pub use worker::{
    ActionView, Activity, EndView, InputCapability, LastRunView, Phase, ReleaseView, WorkerView,
};
