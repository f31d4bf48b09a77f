use std::sync::Arc;

use serde_json::{Value, json};
use worker_runtime_core::backend::{BackendErrorKind, BackendFactory};

use super::PresetFactory;
use crate::exec::{ExecFactory, ExecOptions};

fn preset(config: Value) -> Result<PresetFactory, worker_runtime_core::backend::BackendError> {
    let exec = Arc::new(ExecFactory::new(ExecOptions::default()));
    PresetFactory::new("words", config, exec)
}

#[test]
fn the_operators_configuration_is_what_a_worker_gets() {
    let preset = preset(json!({ "argv": ["wc", "-w"] })).unwrap();
    for nothing in [Value::Null, json!({})] {
        let resolved = preset.resolve(&nothing).unwrap();
        assert_eq!(resolved["argv"], json!(["wc", "-w"]));
        // The inner backend's defaults are kept with it.
        assert_eq!(resolved["input"], "stdin");
    }
    assert_eq!(preset.name(), "words");
}

#[test]
fn a_caller_can_not_bring_a_command_line_of_its_own() {
    let preset = preset(json!({ "argv": ["wc", "-w"] })).unwrap();
    for sent in [
        json!({ "argv": ["sh", "-c", "id"] }),
        json!({ "env": { "A": "b" } }),
        json!([]),
        json!("sh"),
        json!(false),
    ] {
        let refused = preset.resolve(&sent).unwrap_err();
        assert_eq!(refused.kind, BackendErrorKind::Config, "{sent}");
        assert!(refused.message.contains("\"words\""), "{refused}");
    }
}

#[test]
fn a_configuration_that_can_not_be_taken_is_told_at_once() {
    let refused = preset(json!({ "argv": [] })).unwrap_err();
    assert_eq!(refused.message, "argv: it names no program");
}
