use std::{collections::BTreeSet, path::Path};

use clap::Parser;
use worker_runtime_core::{Code, Fence, InputId, OperationId, Permission, ScopeRule};
use worker_runtime_http::wire::AccessScope;

use super::{Suggestion, Whose};
use crate::args::Cli;

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
fn a_wider_token_is_made_at_the_store_that_was_meant_with_no_token_of_the_call() {
    let typed = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Suggestion::token_create(AccessScope::Admin).line(&words)
    };
    let create = "token create --name NAME --scope admin";
    assert_eq!(
        typed(&["--state", "/var/x", "--token-file", "observe"]),
        format!("worker-runtime --state /var/x {create}")
    );
    assert_eq!(
        typed(&[
            "--server",
            "http://127.0.0.1:7621",
            "--token-file",
            "observe"
        ]),
        format!("worker-runtime {create}")
    );
}

#[test]
fn a_suggestion_can_be_copied_into_a_shell() {
    assert_eq!(
        Suggestion::run_example().line(&[]),
        "worker-runtime run -- sh -c 'echo hello'"
    );
}

const CURSOR: &str = "c166612b0fe97346fa00000000000000133f948ccf4d9bb8b9";

/// One of each, by the name of the function that makes it.
fn each() -> Vec<(&'static str, Suggestion)> {
    let worker_id = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
    let lease_id = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
    let cursor = CURSOR.parse().unwrap();
    let path = Path::new("/var/my state");
    let rule = ScopeRule {
        mount: "project".to_owned(),
        path: "src".to_owned(),
        permission: Permission::Write,
        recursive: true,
    };
    vec![
        ("run_example", Suggestion::run_example()),
        ("other_state", Suggestion::other_state()),
        ("process", Suggestion::process(7)),
        ("directory", Suggestion::directory(path)),
        ("close_to_others", Suggestion::close_to_others(path)),
        ("copy", Suggestion::copy(path, "damaged")),
        ("line_of", Suggestion::line_of(path, 3)),
        ("token_ls", Suggestion::token_ls()),
        (
            "token_create",
            Suggestion::token_create(AccessScope::Operate),
        ),
        ("token_revoke", Suggestion::token_revoke("0123456789ab")),
        ("move_away", Suggestion::move_away(path)),
        ("listeners", Suggestion::listeners(7621)),
        ("serve_anywhere", Suggestion::serve_anywhere()),
        ("help", Suggestion::help(&["worker", "create"])),
        ("worker_ls", Suggestion::worker_ls()),
        ("worker_ls_all", Suggestion::worker_ls_all()),
        ("worker_show", Suggestion::worker_show(worker_id)),
        (
            "worker_send_again",
            Suggestion::worker_send_again(worker_id, &InputId::new("once").unwrap()),
        ),
        ("worker_stop", Suggestion::worker_stop(worker_id)),
        ("lock_ls", Suggestion::lock_ls()),
        ("lock_show", Suggestion::lock_show(worker_id)),
        ("lock_renew", Suggestion::lock_renew(lease_id, Fence(7))),
        ("serve_here", Suggestion::serve_here()),
        ("lock_who", Suggestion::lock_who(&rule)),
        (
            "lock_release_by_force",
            Suggestion::lock_release_by_force(worker_id),
        ),
        (
            "lock_reclaim_by_force",
            Suggestion::lock_reclaim_by_force(worker_id),
        ),
        ("op_log", Suggestion::op_log(Some(worker_id))),
        ("op_show", Suggestion::op_show(OperationId(7))),
        ("worker_resume", Suggestion::worker_resume(worker_id)),
        ("worker_run", Suggestion::worker_run(worker_id)),
        ("worker_attach", Suggestion::worker_attach(worker_id)),
        (
            "worker_answer",
            Suggestion::worker_answer(worker_id, "write", "allow"),
        ),
        (
            "worker_assume_dead",
            Suggestion::worker_assume_dead(worker_id),
        ),
        ("worker_restore", Suggestion::worker_restore(worker_id)),
        ("worker_archive", Suggestion::worker_archive(worker_id)),
        ("worker_rm", Suggestion::worker_rm(worker_id)),
        ("worker_send", Suggestion::worker_send(worker_id)),
        ("transcript_show", Suggestion::transcript_show(worker_id)),
        ("event_ls", Suggestion::event_ls(Some(worker_id))),
        (
            "event_ls_after",
            Suggestion::event_ls_after(Some(worker_id), cursor),
        ),
        (
            "with_option",
            Suggestion::event_ls(None).with_option("--type", "run.*".to_owned()),
        ),
        (
            "event_tail",
            Suggestion::event_tail(Some(worker_id), Some(cursor)),
        ),
        ("with_token_file", Suggestion::with_token_file()),
        ("other_server", Suggestion::other_server()),
        ("serve", Suggestion::serve()),
        ("version", Suggestion::version()),
        ("state_info", Suggestion::state_info()),
        ("state_check", Suggestion::state_check()),
        ("accept_older", Suggestion::accept_older()),
        ("status", Suggestion::status()),
        ("explain", Suggestion::explain(Code::Bug)),
    ]
}

/// Whether the program understands it; help and version are understood too.
fn is_understood(words: &[String]) -> Result<(), String> {
    let typed = std::iter::once("worker-runtime".to_owned()).chain(words.iter().cloned());
    match Cli::try_parse_from(typed) {
        Err(error) if error.use_stderr() => Err(error.to_string()),
        _ => Ok(()),
    }
}

#[test]
fn every_suggestion_is_understood_wherever_it_is_made() {
    let places: [&[&str]; 4] = [
        &[],
        &["--state", "/var/my state"],
        &["--server", "http://127.0.0.1:7621"],
        &["--server", "http://127.0.0.1:7621", "--token-file", "token"],
    ];
    for (name, suggestion) in each() {
        for place in places {
            let place: Vec<String> = place.iter().map(|word| (*word).to_owned()).collect();
            let words = suggestion.typed(&place);
            let Some(("worker-runtime", ours)) = words.split_first().map(|(a, b)| (a.as_str(), b))
            else {
                assert_eq!(suggestion.whose, Whose::System, "{name}");
                continue;
            };
            is_understood(ours).unwrap_or_else(|error| panic!("{name} {ours:?}: {error}"));
        }
    }
}

#[test]
fn every_way_to_make_a_suggestion_is_tried_here() {
    let source = include_str!("../suggest.rs");
    // A signature may be broken over lines; it ends with its body.
    let signatures = source.split("pub(crate) fn ").skip(1);
    let signatures = signatures.filter_map(|rest| rest.split_once('{'));
    let made = signatures.filter(|(signature, _)| signature.trim_end().ends_with("-> Self"));
    let made: BTreeSet<&str> = made.filter_map(|(it, _)| it.split('(').next()).collect();
    let tried: BTreeSet<&str> = each().into_iter().map(|(name, _)| name).collect();
    assert!(made.len() > 30);
    assert_eq!(made, tried);
}
