//! Checks of single fields of a request (I9).
//!
//! Called by the checks of requests (`super`).

use crate::{
    error::{CreateError, FieldInvalid},
    lease::{self, TTL_MAX, TTL_MIN},
    worker::Intent,
};

/// What an event of the Runtime's own holds at most beside what somebody asked for.
pub(super) const EVENT_SPARE_BYTES: usize = 2 << 10;

pub(super) fn check_intent(intent: &Intent, bytes_max: usize) -> Result<(), CreateError> {
    let (required, free) = match intent {
        Intent::Assistant { purpose } => (None, purpose),
        Intent::Task { objective } => (Some(("objective", objective)), &None),
        Intent::Role { role, purpose } => (Some(("role", role)), purpose),
    };
    if let Some((field, text)) = required {
        if text.trim().is_empty() {
            return Err(CreateError::ObjectiveEmpty { field });
        }
        check_len(field, text.len(), bytes_max)?;
    }
    let purpose_bytes = free.as_ref().map_or(0, String::len);
    Ok(check_len("purpose", purpose_bytes, bytes_max)?)
}

/// Refuses a text that is too long.
pub(super) fn check_len(
    field: &'static str,
    bytes: usize,
    bytes_max: usize,
) -> Result<(), FieldInvalid> {
    if bytes <= bytes_max {
        return Ok(());
    }
    let reason = format!("it has {bytes} bytes and the limit is {bytes_max}");
    Err(FieldInvalid { field, reason })
}

/// Refuses what there is too much of.
pub(super) fn check_count(
    field: &'static str,
    count: usize,
    max: usize,
) -> Result<(), FieldInvalid> {
    if count <= max {
        return Ok(());
    }
    let reason = format!("there are {count} and the limit is {max}");
    Err(FieldInvalid { field, reason })
}

pub(super) fn check_text(
    field: &'static str,
    text: &str,
    bytes_max: usize,
) -> Result<(), FieldInvalid> {
    check_len(field, text.len(), bytes_max)?;
    let reason = if text.trim().is_empty() {
        "it is empty".to_owned()
    } else if text.chars().any(char::is_control) {
        "it has a control character".to_owned()
    } else {
        return Ok(());
    };
    Err(FieldInvalid { field, reason })
}

pub(super) fn check_labels<'a>(
    labels: impl ExactSizeIterator<Item = (&'a String, Option<&'a String>)>,
    count_max: usize,
    bytes_max: usize,
) -> Result<(), FieldInvalid> {
    check_count("labels", labels.len(), count_max)?;
    for (key, value) in labels {
        check_text("labels", key, bytes_max)?;
        if let Some(value) =
            value.filter(|value| value.len() > bytes_max || value.chars().any(char::is_control))
        {
            let start: String = value.chars().take(32).collect();
            return Err(FieldInvalid {
                field: "labels",
                reason: format!(
                    "the value {start:?} of {key:?} is too long or has a control character"
                ),
            });
        }
    }
    Ok(())
}

/// That a lease may last so long.
pub(in crate::runtime) fn check_ttl(ttl_ms: u64) -> Result<(), FieldInvalid> {
    if lease::is_ttl(ttl_ms) {
        return Ok(());
    }
    let (min, max) = (TTL_MIN.as_millis(), TTL_MAX.as_millis());
    Err(FieldInvalid {
        field: "ttl_ms",
        reason: format!("it is {ttl_ms}, and not between {min} (a second) and {max} (a day)"),
    })
}
