//! Access tokens: made, listed and ended, on a stopped store and through its server.

use std::{fs, os::unix::fs::PermissionsExt};

use worker_runtime_core::Code;

use crate::{
    serving::{Serving, block_on, local_token, token_file},
    support::{Place, Ran, Running, snapshot, until},
};

/// Makes a token: its secret, and its id.
fn create(place: &Place, name: &str, scope: &str, more: &[&str]) -> (String, String) {
    let args = [
        "token", "create", "--name", name, "--scope", scope, "-o", "json",
    ];
    let ran = place.run(&[&args, more].concat());
    assert_eq!(ran.code, Some(0), "{ran}");
    let text = |key: &str| ran.json()[key].as_str().unwrap().to_owned();
    (text("token"), text("token_id"))
}

/// The call with its secret and its ids hidden.
fn hidden(mut ran: Ran) -> Ran {
    let words: Vec<String> = ran
        .stdout
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .chain(
            ran.stderr
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')),
        )
        .map(str::to_owned)
        .collect();
    for word in words {
        let shown = match word.len() {
            67 if word.starts_with("wr_") => "[SECRET]",
            12 if word.chars().all(|c| c.is_ascii_hexdigit()) => "[TOKEN_ID]",
            _ => continue,
        };
        ran.stdout = ran.stdout.replace(&word, shown);
        ran.stderr = ran.stderr.replace(&word, shown);
        ran = ran.hide_typed(&word, shown);
    }
    ran
}

#[test]
fn a_token_is_made_listed_and_ended_the_same_stopped_and_live() {
    let place = Place::new();
    assert_eq!(place.run(&["run", "--", "true"]).code, Some(0));
    let mut both: Vec<Vec<String>> = Vec::new();
    let life = |place: &Place| {
        let made = place.run(&[
            "token",
            "create",
            "--name",
            "ci",
            "--scope",
            "operate",
            "--expires",
            "30d",
        ]);
        let secret = made.stdout.trim().to_owned();
        let id = place.run(&["token", "ls", "-o", "name"]).stdout;
        let id = id.lines().find(|id| *id != "local").unwrap().to_owned();
        let listed = place.run(&["token", "ls"]);
        assert!(!listed.stdout.contains(&secret));
        assert!(!made.stderr.contains(&secret));
        let calls = [
            made,
            listed,
            place.run(&["token", "revoke", &id]),
            place.run(&["token", "revoke", &id]),
            place.run(&["token", "revoke", "local", "-o", "json"]),
        ];
        calls.map(|ran| hidden(ran).hide_typed(&id, "[TOKEN_ID]"))
    };
    let stopped = life(&place);
    both.push(stopped.iter().map(|ran| ran.stdout.clone()).collect());
    let serving = Serving::start(&place);
    let live = life(&place).map(|ran| serving.hide(ran));
    both.push(live.iter().map(|ran| ran.stdout.clone()).collect());
    let without_times = |out: &Vec<String>| -> Vec<String> {
        let words = out.iter().map(|text| {
            let words = text.split_whitespace();
            words
                .filter(|word| !word.ends_with('Z'))
                .collect::<Vec<_>>()
                .join(" ")
        });
        words.collect()
    };
    assert_eq!(without_times(&both[0]), without_times(&both[1]));
    serving.end();
    snapshot(&place, "tokens_stopped", &stopped);
    snapshot(&place, "tokens_live", &live);
}

#[test]
fn what_a_token_allows_and_for_how_long() {
    let place = Place::new();
    assert_eq!(place.run(&["run", "--", "true"]).code, Some(0));
    let (observe, observe_id) = create(&place, "dashboard", "observe", &[]);
    let serving = Serving::start(&place);
    let (short, _) = create(&place, "short", "observe", &["--expires", "1s"]);
    let client = serving.client(Some(&observe));
    assert_eq!(
        block_on(client.runtime()).unwrap().position,
        block_on(serving.admin(&place).runtime()).unwrap().position
    );
    assert_eq!(
        block_on(client.stop_runtime(None)).unwrap_err().code(),
        Code::TokenScope
    );
    until("the token expired", || {
        let asked = block_on(serving.client(Some(&short)).runtime());
        asked.is_err_and(|error| error.code() == Code::TokenInvalid)
    });
    assert_eq!(place.run(&["token", "revoke", &observe_id]).code, Some(0));
    assert_eq!(
        block_on(client.runtime()).unwrap_err().code(),
        Code::TokenInvalid
    );
    // Also after the next start.
    serving.end();
    let serving = Serving::start(&place);
    let client = serving.client(Some(&observe));
    assert_eq!(
        block_on(client.runtime()).unwrap_err().code(),
        Code::TokenInvalid
    );
    serving.end();
}

#[test]
fn no_secret_is_kept_but_that_of_the_state_directory() {
    let place = Place::new();
    Serving::start(&place).end();
    let (secret, _) = create(&place, "ci", "admin", &[]);
    let local = local_token(&place);
    for (path, (bytes, _)) in place.files() {
        let Some(bytes) = bytes else { continue };
        let has = |text: &str| {
            bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        };
        assert!(!has(&secret), "{} has it", path.display());
        assert_eq!(
            has(&local),
            path.ends_with("access-token"),
            "{}",
            path.display()
        );
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
}

#[test]
fn a_list_of_a_stopped_store_changes_no_byte() {
    let place = Place::new();
    assert_eq!(place.run(&["run", "--", "true"]).code, Some(0));
    let before = place.files();
    // There was no server yet, so there is no token, and none is made.
    let listed = place.run(&["token", "ls", "-o", "json"]);
    assert_eq!(listed.json()["tokens"], serde_json::json!([]));
    assert_eq!(place.files(), before);
    create(&place, "ci", "observe", &[]);
    let before = place.files();
    assert_eq!(place.run(&["token", "ls"]).code, Some(0));
    assert_eq!(place.files(), before);
}

#[test]
fn what_is_no_token_is_not_made() {
    let place = Place::new();
    assert_eq!(place.run(&["run", "--", "true"]).code, Some(0));
    let calls = [
        place.run(&["token", "create", "--name", "ci"]),
        place.run(&["token", "create", "--name", "ci", "--scope", "root"]),
        place.run(&["token", "create", "--name", "", "--scope", "observe"]),
        place.run(&[
            "token",
            "create",
            "--name",
            "ci",
            "--scope",
            "observe",
            "--expires",
            "0d",
        ]),
        place.run(&[
            "token",
            "create",
            "--name",
            "ci",
            "--scope",
            "observe",
            "--expires",
            "20000d",
        ]),
        Place::new().run(&["token", "ls", "-o", "json"]),
    ];
    let codes: Vec<_> = calls.iter().map(|ran| ran.code).collect();
    assert_eq!(
        codes,
        [Some(2), Some(2), Some(2), Some(2), Some(2), Some(10)]
    );
    assert!(!place.state().join("access-tokens.json").exists());
    snapshot(&place, "bad_token", &calls[..5]);
}

#[test]
fn tokens_are_not_changed_behind_the_back_of_whoever_holds_the_store() {
    let place = Place::new();
    let command = ["run", "--", "sh", "-c", "echo ready; exec sleep 600"];
    let mut run = Running::start(&place, &command);
    assert_eq!(run.line(), "ready");
    let calls = [
        place.run(&["token", "create", "--name", "ci", "--scope", "observe"]),
        place.run(&["token", "ls"]),
        place.run(&["token", "revoke", "0123456789ab"]),
    ];
    run.signal(rustix::process::Signal::TERM);
    assert_eq!(run.wait().0, Some(130));
    for ran in calls {
        assert_eq!(ran.code, Some(11), "{ran}");
        assert!(ran.stdout.is_empty(), "{ran}");
    }
    assert!(!place.state().join("access-tokens.json").exists());
}

/// A token that others could read, or that is none, went to the server without a word.
#[test]
fn a_token_file_that_others_may_read_or_that_holds_none_is_not_used() {
    let place = Place::new();
    let serving = Serving::start(&place);
    let file = token_file(&place);
    let secret = fs::read_to_string(&file).unwrap();
    for mode in [0o644, 0o640, 0o602] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let ran = place.run(&["worker", "ls"]);
        assert_eq!(ran.code, Some(12), "{ran}");
        assert!(ran.stderr.contains("chmod 600 "), "{ran}");
        assert!(!ran.stderr.contains(secret.trim()), "{ran}");
    }
    // A file that the user names is the user's business: what mounts secrets has modes of its own.
    let named = place.run(&["--token-file", file.to_str().unwrap(), "worker", "ls"]);
    assert_eq!(named.code, Some(0), "{named}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    for other in [
        "wr_0123",
        "nothing of ours\n",
        &secret.replace("wr_", "wr-"),
    ] {
        fs::write(&file, other).unwrap();
        let ran = place.run(&["worker", "ls"]);
        assert_eq!(ran.code, Some(12), "{ran}");
        assert!(ran.stderr.contains("WR-TOKEN-INVALID"), "{ran}");
        assert!(ran.stderr.contains("holds no access token"), "{ran}");
    }
    fs::write(&file, &secret).unwrap();
    assert_eq!(place.run(&["worker", "ls"]).code, Some(0));
    serving.end();
}

/// A server took any text in the file for the token that may do everything, and minded no mode.
#[test]
fn a_server_does_not_start_with_a_token_that_others_may_read_or_that_is_none() {
    let place = Place::new();
    Serving::start(&place).end();
    let file = token_file(&place);
    let secret = fs::read_to_string(&file).unwrap();
    let refused = |code: &str, hint: &str| {
        for args in [
            &["token", "create", "--name", "ci", "--scope", "observe"][..],
            &["serve", "--bind", "127.0.0.1:0"],
        ] {
            let ran = place.run(args);
            assert_eq!(ran.code, Some(12), "{ran}");
            assert!(ran.stderr.contains(code), "{ran}");
            assert!(ran.stderr.contains(hint), "{ran}");
            assert!(!ran.stderr.contains(secret.trim()), "{ran}");
        }
    };
    for mode in [0o644, 0o640, 0o602] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        refused("WR-STATE-DENIED", "chmod 600 ");
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let longer = format!("{}0\n", secret.trim());
    for other in [
        "",
        "secret\n",
        "wr_0123",
        &secret.replace("wr_", "wr-"),
        &longer,
    ] {
        fs::write(&file, other).unwrap();
        refused("WR-TOKEN-INVALID", "mv ");
        assert_eq!(fs::read_to_string(&file).unwrap(), other);
    }
    fs::write(&file, [0xff; 67]).unwrap();
    refused("WR-TOKEN-INVALID", "mv ");
    fs::remove_file(&file).unwrap();
    let serving = Serving::start(&place);
    assert_ne!(local_token(&place), secret.trim());
    assert_eq!(place.run(&["worker", "ls"]).code, Some(0));
    serving.end();
}
