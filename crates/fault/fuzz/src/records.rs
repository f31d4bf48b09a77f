//! Stored values: any payload is decoded or refused, what decodes is stored as the same bytes, and a
//! sealed value with a changed byte is refused.

use worker_runtime_persist::fuzzing::{KINDS, key, sealed, unsealed, value};

use crate::Choices;

/// The first byte says what it is; the rest is it.
pub fn check(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    match choices.byte() {
        kind if kind < KINDS => value(kind, choices.0),
        kind if kind < 32 => key(choices.0),
        kind if kind < 128 => {
            let (at, bit) = (choices.number(), choices.byte());
            sealed(choices.0, at, bit);
        }
        _ => unsealed(choices.0),
    }
}
