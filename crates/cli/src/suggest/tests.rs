use super::Suggestion;

#[test]
fn a_suggestion_finds_the_store_that_was_meant() {
    let suggestion = Suggestion::worker_ls();
    assert_eq!(suggestion.line(&[]), "worker-runtime worker ls");
    assert_eq!(
        suggestion.line(&["--state".to_owned(), "/var/my state".to_owned()]),
        "worker-runtime --state '/var/my state' worker ls"
    );
}

#[test]
fn a_suggestion_can_be_copied_into_a_shell() {
    assert_eq!(
        Suggestion::run_example().line(&[]),
        "worker-runtime run -- sh -c 'echo hello'"
    );
}
