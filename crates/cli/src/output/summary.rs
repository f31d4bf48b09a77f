//! An event in a line: enough to follow what happened; the whole is in the JSON formats. Types that
//! this version does not know get their data as it is.

use serde_json::Value;
use worker_runtime_core::{Event, store::Gap};

use super::one_line;

/// How long a summary is at most.
const SUMMARY_CHARS: usize = 72;

/// How much of a lease's id is told: as much as a table has.
const LEASE_ID_CHARS: usize = 13;

/// What an event says, in a line.
pub(crate) fn event_summary(event: &Event) -> String {
    let data: Value = serde_json::from_slice(&event.data).unwrap_or_default();
    let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
    let line = match event.kind.as_str() {
        "runtime.started" => format!("version {}", text("version")),
        "worker.created" | "worker.updated" => text("display_name").to_owned(),
        "worker.ending" => with_reason(text("kind"), text("reason")),
        "worker.stopped" | "worker.cancelled" | "runtime.stopped" => text("reason").to_owned(),
        "input.accepted" => format!("{}: {}", text("kind"), input_text(&data)),
        "input.finished" | "run.finished" => outcome_text(&data),
        "run.started" => format!("input {}", text("input_id")),
        "run.cancel_requested" => text("cause").to_owned(),
        "block.finished" => format!("{}: {}", text("kind"), text("text")),
        "allocation.granted" | "allocation.changed" => granted_text(&data),
        "allocation.releasing" => with_reason("by force", text("reason")),
        "allocation.reclaimed" => with_reason(&ids_text(&data, "from"), text("reason")),
        "allocation.reparented" => match text("to") {
            "" => "below nobody".to_owned(),
            parent => format!("below {parent}"),
        },
        "allocation.released" => {
            let fence = format!("fence {}", value_text(data.get("fence")));
            with_reason(&fence, text("reason"))
        }
        "lease.granted" => format!("{}: {}", lease_text(&data), granted_text(&data)),
        "lease.released" => {
            let force = match data.get("by_force") {
                Some(Value::Bool(true)) => ", by force",
                _ => "",
            };
            with_reason(&format!("{}{force}", lease_text(&data)), text("reason"))
        }
        "lease.expired" => lease_text(&data),
        "backend.message" if !text("stream").is_empty() => {
            format!("{}: {}", text("stream"), text("text"))
        }
        "diagnostic" => text("message").to_owned(),
        _ if data.as_object().is_some_and(serde_json::Map::is_empty) => String::new(),
        _ => data.to_string(),
    };
    one_line(&line, SUMMARY_CHARS)
}

fn with_reason(what: &str, reason: &str) -> String {
    match reason {
        "" => what.to_owned(),
        reason => format!("{what}: {reason}"),
    }
}

fn ids_text(data: &Value, name: &str) -> String {
    let ids = data.get(name).and_then(Value::as_array);
    let ids = ids.into_iter().flatten().filter_map(Value::as_str);
    ids.collect::<Vec<_>>().join(", ")
}

fn value_text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn input_text(data: &Value) -> String {
    let segments = data.get("segments").and_then(Value::as_array);
    let texts = segments.into_iter().flatten().map(|segment| {
        let text = segment.get("text").and_then(Value::as_str);
        text.map_or_else(|| segment.to_string(), str::to_owned)
    });
    texts.collect::<Vec<_>>().join(" ")
}

/// `{outcome: {kind, stop: {type, ..}}}` in words.
fn outcome_text(data: &Value) -> String {
    let kind = value_text(data.pointer("/outcome/kind"));
    let stop = |name: &str| value_text(data.pointer(&format!("/outcome/stop/{name}")));
    let why = match stop("type").as_str() {
        "exit" if !stop("signal").is_empty() => format!("signal {}", stop("signal")),
        "exit" => format!("exit {}", stop("code")),
        "error" => stop("message"),
        "other" => stop("reason"),
        "end_turn" => String::new(),
        word if word == kind => String::new(),
        word => word.replace('_', " "),
    };
    with_reason(&kind, &why)
}

fn granted_text(data: &Value) -> String {
    let rules = data.get("allow").and_then(Value::as_array);
    let rules = rules.into_iter().flatten().map(|rule| {
        let field = |name: &str| value_text(rule.get(name));
        format!(
            "{} {}:{}",
            field("permission"),
            field("mount"),
            field("path")
        )
    });
    rules.collect::<Vec<_>>().join(", ")
}

/// Which lease: the beginning of its id, who holds it, and under which fence.
fn lease_text(data: &Value) -> String {
    let field = |name: &str| value_text(data.get(name));
    let id: String = field("lease_id").chars().take(LEASE_ID_CHARS).collect();
    match (field("holder"), field("fence")) {
        // Its record was damaged.
        (holder, fence) if holder.is_empty() && fence.is_empty() => id,
        (holder, fence) => format!("{id} {holder}, fence {fence}"),
    }
}

/// What a gap says, for a warning.
pub(crate) fn gap_text(gap: &Gap) -> String {
    let cause = match serde_json::to_value(gap.cause) {
        Ok(Value::String(word)) => word,
        _ => "unknown".to_owned(),
    };
    let seqs = gap.seqs.map(|(from, to)| format!(" (seqs {from} to {to})"));
    format!(
        "events are missing, positions {} to {}{}: {cause}",
        gap.from,
        gap.to,
        seqs.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests;
