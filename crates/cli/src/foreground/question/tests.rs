use serde_json::json;

use super::{Question, Questions};

fn question() -> Question {
    let data = json!({
        "action_id": "write", "options": ["allow", "deny", "3"], "deadline": "2026-01-02T03:04:05.678Z",
        "detail": { "path": "src" },
    });
    Question::of(&data).unwrap()
}

#[test]
fn an_option_is_chosen_by_its_name_or_its_number() {
    let question = question();
    assert_eq!(question.choice("allow\n"), Some("allow"));
    assert_eq!(question.choice(" 2 "), Some("deny"));
    // A name counts before a number.
    assert_eq!(question.choice("3"), Some("3"));
    for wrong in ["", "0", "4", "Allow", "allow deny"] {
        assert_eq!(question.choice(wrong), None, "{wrong:?}");
    }
}

#[test]
fn an_event_is_understood() {
    let question = question();
    assert!(question.deadline.is_some());
    assert_eq!(question.detail, r#"{"path":"src"}"#);
    assert_eq!(Question::of(&json!({ "action_id": "write" })), None);
}

#[test]
fn what_was_answered_or_has_lapsed_is_asked_no_more() {
    let mut questions = Questions::new();
    questions.waiting.push_back(question());
    questions.over(&json!({ "action_id": "other", "lapsed": true }));
    assert_eq!(questions.waiting.len(), 1);
    questions.over(&json!({ "action_id": "write", "lapsed": true }));
    assert!(questions.waiting.is_empty());
}
