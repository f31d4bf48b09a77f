use serde_json::json;
use worker_runtime_core::run::OutcomeKind;

use super::*;

fn message(value: Value) -> FromCommand {
    match parse(&value.to_string()) {
        Parsed::Message { message, .. } => message,
        other => panic!("{value}: {other:?}"),
    }
}

#[test]
fn fields_that_are_not_known_are_ignored_and_types_kept_apart() {
    let hello = json!({ "type": "hello", "protocol": 1, "name": "x", "later": {} });
    assert!(matches!(
        message(hello),
        FromCommand::Hello(CommandHello {
            protocol: 1,
            resume: false
        })
    ));
    let later = json!({ "type": "thought_graph", "run_id": "r", "nodes": [] });
    assert!(matches!(message(later), FromCommand::Unknown));
    for garbage in ["", "7", "[]", "null", "{}", "{\"type\":7}", "{\"type\":"] {
        assert!(matches!(parse(garbage), Parsed::Garbage), "{garbage}");
    }
    let lacking = json!({ "type": "delta", "run_id": "r", "block": "b" }).to_string();
    match parse(&lacking) {
        Parsed::Malformed { run_id, fault } => {
            assert_eq!(run_id.as_deref(), Some("r"));
            assert!(fault.contains("text"), "{fault}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_an_end_that_says_so_fails() {
    for (reason, kind) in [
        ("end_turn", OutcomeKind::Completed),
        ("max_tokens", OutcomeKind::Completed),
        ("refusal", OutcomeKind::Completed),
        ("cancelled", OutcomeKind::Cancelled),
        ("error", OutcomeKind::Failed),
        ("handed_over", OutcomeKind::Completed),
    ] {
        let end = json!({ "type": "end", "run_id": "r", "reason": reason });
        match message(end) {
            FromCommand::End(end) => {
                assert_eq!(end.stop_reason().outcome_kind(), kind, "{reason}");
                assert!(!end.last);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_answer_is_an_option_or_lapsed() {
    let action_id = ActionId::new("a").unwrap();
    let run_id: RunId = "01890000-0000-7000-8000-000000000000".parse().unwrap();
    let line = |answer: &ActionAnswer| {
        let message = ToCommand::Answer {
            run_id,
            action_id: &action_id,
            answer: answer.into(),
        };
        serde_json::to_value(message).unwrap()
    };
    let chosen = line(&ActionAnswer::Chosen("yes".to_owned()));
    assert_eq!(
        chosen,
        json!({ "type": "answer", "run_id": run_id, "action_id": "a", "option": "yes" })
    );
    let lapsed = line(&ActionAnswer::Lapsed);
    assert_eq!(
        lapsed,
        json!({ "type": "answer", "run_id": run_id, "action_id": "a", "lapsed": true })
    );
}
