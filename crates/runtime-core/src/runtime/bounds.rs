//! The size of what a backend tells, for its sink (I9).

use crate::{error::SinkError, run::StopReason};

/// The longest raw message or last word of a backend that is kept, in bytes.
pub(super) const RAW_MESSAGE_BYTES_MAX: usize = 64 << 10;

/// An end is never refused, so its words are cut to 64 KiB (I9).
pub(super) fn bounded(stop: StopReason) -> StopReason {
    match stop {
        StopReason::Error { code, message } => StopReason::Error {
            code: code.map(cut),
            message: cut(message),
        },
        StopReason::Other { reason } => StopReason::Other {
            reason: cut(reason),
        },
        other => other,
    }
}

/// Cuts a text between two characters.
pub(super) fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(RAW_MESSAGE_BYTES_MAX));
    text
}

/// Refuses what is too large for an event.
pub(super) fn check_len(bytes: usize, max: usize) -> Result<(), SinkError> {
    let what = "bytes of an event";
    match bytes > max {
        true => Err(SinkError::Limit { what, max }),
        false => Ok(()),
    }
}
