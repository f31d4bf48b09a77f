//! The item of a transcript that an event bears, read from its data as the documents describe it, and
//! not by the Runtime's own hand (I2). Used by the audit of what is found after a fault, and the model.

use serde_json::Value;
use worker_runtime_core::{Event, view::TranscriptItem};

/// The types of events that bear an item.
const BEARERS: [&str; 6] = [
    "input.accepted",
    "run.requires_action",
    "run.action_answered",
    "block.finished",
    "tool.call",
    "tool.result",
];

/// The item that an event bears, if it is to bear one.
pub(crate) fn item_of(event: &Event) -> Option<TranscriptItem> {
    if !BEARERS.contains(&event.kind.as_str()) {
        return None;
    }
    let place = event.worker?;
    let data: Value = serde_json::from_slice(&event.data).ok()?;
    let field = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
    let list = |name: &str| {
        data.get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let (role, kind, text) = match event.kind.as_str() {
        "input.accepted" => {
            let texts = list("segments").filter_map(|segment| segment.get("text")?.as_str());
            (field("kind"), "input", texts.collect::<Vec<_>>().join("\n"))
        }
        "block.finished" => ("worker", field("kind"), field("text").to_owned()),
        "tool.call" => ("worker", "tool_call", data.to_string()),
        "tool.result" => ("worker", "tool_result", data.to_string()),
        _ => ("worker", "action", data.to_string()),
    };
    Some(TranscriptItem {
        item: place.item?.0,
        seq: place.seq,
        at: event.at,
        role: role.to_owned(),
        kind: kind.to_owned(),
        text,
        run_id: event.run_id,
        marks: list("marks")
            .filter_map(|mark| mark.as_str().map(str::to_owned))
            .collect(),
    })
}

/// Whether an event is to bear an item.
pub(crate) fn bears_item(event: &Event) -> bool {
    event.worker.is_some() && BEARERS.contains(&event.kind.as_str())
}
