//! Open streams of events: one piece of code turns a cursor, a filter and the limits into frames, and two
//! send them (I1, I2, I10).
//!
//! - `ends`: when an observation is over, also that of a long-poll
//! - `frames`: what is sent, in order; what the core observes, heartbeats, and the end
//! - `encoded`: the newest events as JSON, written once for all who are sent them
//! - `sse`, `websocket`: how it is sent
//!
//! Who can't be followed is told in the stream itself, as a gap, and who can't be served now as busy: a
//! browser gives up for ever on any other status than 200.

mod encoded;
mod ends;
mod frames;
mod sse;
mod websocket;

use ends::Over;

pub(super) use encoded::Encoded;
pub(super) use ends::over;
pub(super) use frames::{Asked, Frames};
pub(super) use sse::{MEDIA_TYPE, respond, respond_busy, wants_stream};
pub(super) use websocket::upgrade;
