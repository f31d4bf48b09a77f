//! `lock release|reclaim --dry-run`: it says what the same call without it says right after. Both once decided
//! by themselves, so a dry run promised what was then refused: a process between two runs, a Worker that
//! was stopped, a fence of nobody's.

use crate::{
    serving::Serving,
    support::{Place, Ran},
};

const LEASE: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn done(place: &Place, args: &[&str]) -> Ran {
    let ran = place.run(args);
    assert_eq!(ran.code, Some(0), "{ran}");
    ran
}

/// The call with `--dry-run`, then without: the one says what becomes of the other.
fn both(place: &Place, args: &[&str]) -> Ran {
    let tried = place.run(&[args, &["--dry-run"]].concat());
    let ran = place.run(args);
    match ran.code {
        Some(0) => assert_eq!(tried.code, Some(23), "{tried}{ran}"),
        code => {
            assert_eq!(tried.code, code, "{tried}{ran}");
            let error = |ran: &Ran| {
                let at = ran.stderr.find("error[").unwrap_or_default();
                ran.stderr[at..].to_owned()
            };
            assert_eq!(error(&tried), error(&ran));
        }
    }
    ran
}

fn refused(place: &Place, args: &[&str], code: &str) {
    let ran = both(place, args);
    assert!(ran.stderr.contains(code), "{code}: {ran}");
}

fn create(place: &Place, name: &str, more: &[&str]) -> String {
    let args = [
        &["worker", "create", "--name", name][..],
        more,
        &["--", "cat"],
    ]
    .concat();
    done(place, &args);
    place.worker_id(name)
}

fn acquire(place: &Place) -> String {
    let args = [
        "lock",
        "acquire",
        "leased",
        "--ttl",
        "10m",
        "--holder",
        "formatter",
        "--lease-id",
        LEASE,
        "-o",
        "json",
    ];
    done(place, &args).json()["fence"].to_string()
}

/// What is asked of a store, whoever runs it.
fn ask_everything(place: &Place, fence: &str) {
    let top = create(place, "top", &["--delegate", "write:src"]);
    create(place, "low", &["--parent", &top, "--scope", "write:src/a"]);
    create(place, "ended", &["--scope", "write:ended"]);
    done(place, &["worker", "stop", "ended"]);
    let long = "x".repeat(5_000);
    refused(place, &["lock", "release", "ended"], "WR-SCOPE-NOT-HELD");
    let wordy = ["lock", "release", "low", "--reason", &long];
    refused(place, &wordy, "WR-FIELD-INVALID");
    let silent = ["lock", "release", "low", "--force", "--reason", " "];
    refused(place, &silent, "WR-FIELD-INVALID");
    refused(
        place,
        &["lock", "release", LEASE, "--fence", "999"],
        "WR-FENCE-STALE",
    );
    refused(place, &["lock", "release", LEASE], "--fence");
    let silent = ["lock", "release", LEASE, "--force", "--reason", ""];
    refused(place, &silent, "WR-FIELD-INVALID");
    let own = both(place, &["lock", "reclaim", &top]);
    assert_eq!(own.code, Some(0), "{own}");
    refused(place, &["lock", "release", "low"], "WR-SCOPE-NOT-HELD");
    let given = both(place, &["lock", "release", "top"]);
    assert_eq!(given.code, Some(0), "{given}");
    let given = both(place, &["lock", "release", LEASE, "--fence", fence]);
    assert_eq!(given.code, Some(0), "{given}");
    refused(
        place,
        &["lock", "release", LEASE, "--fence", fence],
        "WR-LEASE-UNKNOWN",
    );
}

#[test]
fn a_dry_run_says_what_the_release_then_says_at_a_server_and_at_a_stopped_store() {
    let place = Place::new();
    let server = Serving::start(&place);
    let fence = acquire(&place);
    ask_everything(&place, &fence);
    server.end();
    let place = Place::new();
    let server = Serving::start(&place);
    let fence = acquire(&place);
    server.kill();
    ask_everything(&place, &fence);
}

#[test]
fn the_void_fence_of_a_holder_gives_its_lease_back_and_a_dry_run_says_so() {
    let place = Place::new();
    let server = Serving::start(&place);
    let fence = acquire(&place);
    server.kill();
    let server = Serving::start(&place);
    // Whose answer was lost has got another one, and does not know it.
    let renewed = done(&place, &["lock", "renew", LEASE, "--fence", &fence]);
    assert!(renewed.stderr.contains("from now on"), "{renewed}");
    let given = both(&place, &["lock", "release", LEASE, "--fence", &fence]);
    assert_eq!(given.code, Some(0), "{given}");
    server.end();
}

#[test]
fn a_dry_run_refuses_what_is_in_use_by_a_process_between_two_runs() {
    let place = Place::new();
    let server = Serving::start(&place);
    let agent = r#"printf '{"type":"hello","protocol":1}\n'; read -r line
        while read -r line; do
            case $line in *'"type":"shutdown"'*) exit 0 ;; esac
            run=${line#*'"run_id":"'}; run=${run%%'"'*}
            printf '{"type":"end","run_id":"%s","reason":"end_turn"}\n' "$run"
        done"#;
    let create = [
        "worker", "create", "--name", "agent", "--mode", "lines", "--scope", "write:.", "--", "sh",
        "-c", agent,
    ];
    done(&place, &create);
    done(&place, &["worker", "send", "agent", "hello"]);
    refused(&place, &["lock", "release", "agent"], "WR-SCOPE-IN-USE");
    let forced = [
        "lock", "release", "agent", "--force", "--reason", "it hangs",
    ];
    let forced = both(&place, &forced);
    assert_eq!(forced.code, Some(0), "{forced}");
    server.end();
}

/// The dry run said that nothing would change, and each call made an event and another fence.
#[test]
fn a_change_to_what_is_held_is_none_offline_and_online() {
    let place = Place::new();
    let rules = ["--scope", "read:.", "--delegate", "write:src"];
    let made = [&["worker", "create", "--name", "top"][..], &rules].concat();
    assert_eq!(place.run(&made).code, Some(0));
    let change = ["lock", "change", "top", "--delegate", "write:src"];
    let again = || {
        let dry = place.run(&[&change[..], &["--dry-run"]].concat());
        assert_eq!(dry.code, Some(0), "{dry}");
        let position = || place.run(&["event", "ls", "top", "-o", "jsonl"]).stdout;
        let before = position();
        let said = place.run(&change);
        assert_eq!(said.code, Some(0), "{said}");
        assert!(said.stderr.contains("nothing changed"), "{said}");
        let told = place.run(&[&change[..], &["-o", "json"]].concat()).json();
        assert_eq!(told["repeated"], true, "{told}");
        assert_eq!(position(), before);
        told["fence"].clone()
    };
    let offline = again();
    let server = Serving::start(&place);
    let online = again();
    server.end();
    assert_eq!(offline, online);
}

/// The dry run of a restore never asked about its scope: 23, and then the restore was refused.
#[test]
fn a_dry_run_of_a_restore_says_what_the_restore_then_says_offline_and_online() {
    let place = Place::new();
    let make = |name| {
        let args = ["worker", "create", "--name", name, "--scope", "write:src"];
        done(&place, &args);
    };
    let restore = ["worker", "restore", "first"];
    make("first");
    done(&place, &["worker", "stop", "first"]);
    make("second");
    refused(&place, &restore, "WR-SCOPE-CONFLICT");
    let server = Serving::start(&place);
    refused(&place, &restore, "WR-SCOPE-CONFLICT");
    done(&place, &["worker", "cancel", "second"]);
    both(&place, &restore);
    server.end();
}
