//! The fault harness: it breaks the Runtime's world in every way that `RELIABILITY.md` names, and
//! audits what a user can read afterwards against a journal that the client kept.
//!
//! # Layout
//! - [`audit`]: what a reader finds, against what the client kept
//! - [`backend`]: an execution backend that runs nothing by itself
//! - [`bare`]: crash images of the store below the Runtime
//! - [`bounds`]: the store's file under a steady load that is trimmed
//! - [`crash`]: crash images of the Runtime's own transactions
//! - [`disk`]: a disk that records every call, and fails
//! - [`errors`]: one failing call of the disk in a run of the whole Runtime
//! - [`flips`]: what is damaged is never served
//! - `keep`: what a broken promise was seen on, for who looks into it
//! - [`model`]: random commands, restarts and trims against a plain model
//! - [`order`]: nothing is shown or answered before its commit
//! - [`parts`]: the parts, by name
//! - [`process`]: the real programs, killed, stopped, refused by the system
//! - [`report`]: what a part found, in numbers, and what it saw broken
//! - [`sabotage`]: which part must catch which fault put in on purpose
//! - [`scopes`]: overlap, cover and families against sets of paths
//! - [`settings`]: how much, from which seed, where
//! - [`workload`]: a seeded client that does everything a user can, and keeps a journal
//!
//! Never published and never linked into anything that is. The audit reads through
//! [`worker_runtime_core::Observation`] alone, as a user does, and shares no function with the
//! store. Results are worded "observed no loss in n under these faults".

pub mod audit;
pub mod backend;
pub mod bare;
pub mod bounds;
pub mod crash;
pub mod disk;
pub mod errors;
pub mod flips;
mod keep;
pub mod model;
pub mod order;
pub mod parts;
pub mod process;
pub mod report;
pub mod sabotage;
pub mod scopes;
pub mod settings;
pub mod workload;
