//! The newest events as JSON: hundreds who follow one stream are sent the same bytes, written once.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::value::{RawValue, to_raw_value};
use worker_runtime_core::{Cursor, Event, EventType, RuntimeId, WireEvent};

/// How many are kept, for as long as nothing newer takes their place.
const PLACES: usize = 128;
/// A larger one is written for each who is sent it.
const BYTES_MAX: usize = 8 << 10;

/// What was written for the events of which somebody was told last.
pub(in crate::server) struct Encoded {
    /// By position.
    places: Vec<Mutex<Option<Written>>>,
}

struct Written {
    cursor: Cursor,
    json: Arc<RawValue>,
}

impl Default for Encoded {
    fn default() -> Self {
        Self {
            places: (0..PLACES).map(|_| Mutex::new(None)).collect(),
        }
    }
}

impl Encoded {
    /// An event as it is sent.
    ///
    /// # Errors
    /// When its data is not JSON.
    pub(super) fn json(
        &self,
        event: &Event,
        runtime_id: RuntimeId,
        cursor: Cursor,
    ) -> serde_json::Result<Arc<RawValue>> {
        // What stands for the event of a deleted Worker has the cursor that the event had.
        if event.kind == EventType::REDACTED {
            return write(event, runtime_id, cursor);
        }
        let place = usize::try_from(event.position.0).unwrap_or_default() % PLACES;
        let Some(place) = self.places.get(place) else {
            return write(event, runtime_id, cursor);
        };
        {
            let written = place.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(written) = written.as_ref().filter(|written| written.cursor == cursor) {
                return Ok(written.json.clone());
            }
        }
        let json = write(event, runtime_id, cursor)?;
        if json.get().len() <= BYTES_MAX {
            let json = json.clone();
            let mut written = place.lock().unwrap_or_else(PoisonError::into_inner);
            *written = Some(Written { cursor, json });
        }
        Ok(json)
    }
}

fn write(
    event: &Event,
    runtime_id: RuntimeId,
    cursor: Cursor,
) -> serde_json::Result<Arc<RawValue>> {
    let wire = WireEvent {
        event,
        runtime_id,
        cursor,
    };
    to_raw_value(&wire).map(Arc::from)
}

#[cfg(test)]
mod tests;
