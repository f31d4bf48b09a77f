//! Crash images of the Runtime's own transactions: sessions of a seeded client are recorded, a power
//! cut is put after every call of the disk, and what it may leave is opened, recovered and audited
//! (I1 to I6).
//!
//! # Layout
//! - `session`: a session, recorded; `slow`: the disk below it
//! - `open`: an image, opened and audited
//! - `known`: which images were audited, and against how much
//! - `explore`: the part `crash`: every point, and the variants of each
//! - `reopen`: the part `recovery`: the opening of such an image, itself crashed at every call
//!
//! Only distinct images are counted. A violation names its session's seed, the call after which the
//! power was cut, and the variant.

mod explore;
mod known;
mod open;
mod reopen;
mod session;
mod slow;

pub use explore::run;
#[cfg(test)]
pub(crate) use open::Opener;
pub use reopen::run as run_recovery;
#[cfg(test)]
pub(crate) use session::Session;
