//! Leases at the terminal: `lock acquire|renew|release`, and what the other verbs of `lock` tell of them,
//! at a server, at a stopped store, and at the next server.

use crate::{
    serving::Serving,
    support::{Place, Ran, snapshot},
};

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn done(place: &Place, args: &[&str]) -> Ran {
    let ran = place.run(args);
    assert_eq!(ran.code, Some(0), "{ran}");
    ran
}

/// Takes it, and gives its fence.
fn acquired(place: &Place, path: &str) -> String {
    let args = [
        "lock",
        "acquire",
        path,
        "--ttl",
        "10m",
        "--holder",
        "formatter",
        "--lease-id",
        ID,
        "-o",
        "json",
    ];
    done(place, &args).json()["fence"].to_string()
}

#[test]
fn a_lease_is_taken_shown_renewed_and_given_back() {
    let place = Place::new();
    let server = Serving::start(&place);
    let acquire = |more: &[&'static str]| -> Vec<&'static str> {
        let start = ["lock", "acquire"];
        let end = ["--ttl", "10m", "--holder", "formatter", "--lease-id", ID];
        [&start[..], more, &end[..]].concat()
    };
    let calls: &[&[&str]] = &[
        &acquire(&["src", "--dry-run"]),
        &acquire(&["src", "docs/guide", "--reason", "to tidy up"]),
        &acquire(&["src", "docs/guide", "--reason", "to tidy up"]),
        &acquire(&["src", "docs/guide", "--reason", "to tidy up", "--dry-run"]),
        &acquire(&["lib"]),
        &["lock", "acquire", "src/a", "--ttl", "1h", "--holder", "me"],
        &["lock", "acquire", "../x", "--ttl", "1h", "--holder", "me"],
        &["lock", "acquire", "no:x", "--ttl", "1h", "--holder", "me"],
        &["lock", "acquire", "lib", "--ttl", "500ms", "--holder", "me"],
        &["lock", "acquire", "lib", "--ttl", "1h", "--holder", ""],
        &["lock", "ls"],
        &["lock", "show", ID],
        &["lock", "who", "src/x"],
        &["lock", "who", "."],
        &["lock", "conflicts", "--scope", "write:src/x"],
        &["run", "--scope", "write:src", "--", "true"],
        &["lock", "verify", "src/x", "--lease", ID, "--fence", "1"],
        &["lock", "verify", "lib", "--lease", ID, "--fence", "1"],
        &["lock", "verify", "src/x", "--lease", ID, "--fence", "2"],
        &["lock", "verify", "src/x", "--fence", "1"],
        &["lock", "renew", ID, "--fence", "1", "--ttl", "20m"],
        &["lock", "renew", ID, "--fence", "9"],
        &["lock", "release", ID],
        &["lock", "release", ID, "--fence", "9"],
        &["lock", "release", ID, "--fence", "9", "--dry-run"],
        &["lock", "release", ID, "--fence", "1", "--dry-run"],
        &["lock", "release", ID, "--force"],
        &["lock", "release", ID, "--force", "--reason", "it hangs"],
        &["lock", "ls"],
        &["lock", "renew", ID, "--fence", "1"],
        &["lock", "show", ID],
        &["lock", "release", ID, "--fence", "1"],
        &["lock", "release", ID, "--force", "--reason", "it hangs"],
    ];
    let ran: Vec<Ran> = calls
        .iter()
        .map(|args| server.hide(place.run(args)))
        .collect();
    snapshot(&place, "leases", &ran);
    let events = done(&place, &["event", "ls", "-o", "jsonl"]).stdout;
    for told in ["lease.granted", "lease.released", "it hangs", "to tidy up"] {
        assert!(events.contains(told), "{told}: {events}");
    }
    server.end();
}

#[test]
fn a_lease_outlives_its_server_and_its_fence_does_not() {
    let place = Place::new();
    let server = Serving::start(&place);
    let fence = acquired(&place, "src");
    server.kill();
    let before = place.files();
    let calls: &[&[&str]] = &[
        &["lock", "ls"],
        &["lock", "ls", "-o", "json"],
        &["lock", "show", ID],
        &["lock", "who", "src/x"],
        &["lock", "conflicts", "--scope", "write:src/x"],
        &["lock", "verify", "src/x", "--lease", ID, "--fence", &fence],
        &["lock", "renew", ID, "--fence", &fence],
        &["lock", "acquire", "lib", "--ttl", "1h", "--holder", "me"],
        &["worker", "create", "--scope", "write:src", "--dry-run"],
        &["lock", "release", ID, "--fence", "9", "--dry-run"],
    ];
    let mut ran: Vec<Ran> = calls.iter().map(|args| place.run(args)).collect();
    assert!(place.files() == before, "a look changed something");
    ran.push(place.run(&["worker", "create", "--scope", "write:src"]));
    snapshot(&place, "leases_stopped", &ran);

    // Another one, started elsewhere: it knows by the lease what the directory's name stands for.
    let mut command = place.command(&["serve", "--bind", "127.0.0.1:0"]);
    command.current_dir("/");
    let server = Serving::of(command);
    let verify = |fence: &str| {
        let args = ["lock", "verify", "src/x", "--lease", ID, "--fence", fence];
        place.run(&args)
    };
    let stale = verify(&fence);
    assert_eq!(stale.code, Some(1), "{stale}");
    assert!(stale.stderr.contains("WR-FENCE-STALE"), "{stale}");
    let renew = ["lock", "renew", ID, "--fence", &fence, "-o", "json"];
    let next = done(&place, &renew).json()["fence"].to_string();
    assert_ne!(next, fence);
    // The answer may have been lost.
    let again = done(&place, &["lock", "renew", ID, "--fence", &fence]);
    let told = format!("show fence {next} from now on");
    assert!(again.stderr.contains(&told), "{again}");
    let good = verify(&next);
    assert_eq!((good.code, good.stdout.as_str()), (Some(0), ""), "{good}");
    assert_eq!(verify(&fence).code, Some(1));
    // By the beginning of its id, and as the names of both kinds.
    let shown = done(&place, &["lock", "show", &ID[..13], "-o", "name"]);
    assert_eq!(shown.stdout.trim(), ID);
    let listed = done(&place, &["lock", "ls", "-o", "name"]);
    assert_eq!(listed.stdout.trim(), ID);
    server.end();
    done(&place, &["lock", "release", ID, "--fence", &next]);
    let listed = done(&place, &["lock", "ls", "-o", "json"]).json();
    assert_eq!(listed["total"], 0, "{listed}");
    done(&place, &["worker", "create", "--scope", "write:src"]);
}

#[test]
fn a_list_pages_over_workers_and_leases_as_one() {
    let place = Place::new();
    for name in ["a", "b"] {
        let scope = format!("write:{name}");
        let args = ["worker", "create", "--name", name, "--scope", &scope];
        done(&place, &args);
    }
    let server = Serving::start(&place);
    for path in ["c", "d"] {
        let args = ["lock", "acquire", path, "--ttl", "1h", "--holder", path];
        done(&place, &args);
    }
    let page = |offset: &str, limit: &str| {
        let args = [
            "lock", "ls", "--offset", offset, "--limit", limit, "-o", "json",
        ];
        let list = done(&place, &args).json();
        let count = |name: &str| list[name].as_array().unwrap().len();
        assert_eq!(list["total"], 4, "{list}");
        (count("allocations"), count("leases"), list["next"].clone())
    };
    assert_eq!(page("0", "100"), (2, 2, serde_json::Value::Null));
    assert_eq!(page("0", "2"), (2, 0, 2.into()));
    assert_eq!(page("1", "2"), (1, 1, 3.into()));
    assert_eq!(page("2", "1"), (0, 1, 3.into()));
    assert_eq!(page("3", "9"), (0, 1, serde_json::Value::Null));
    assert_eq!(page("4", "9"), (0, 0, serde_json::Value::Null));
    server.end();
}

#[test]
fn the_same_acquisition_again_is_done_already_and_says_so() {
    let place = Place::new();
    let server = Serving::start(&place);
    let acquire = |path: &str| {
        let end = ["--ttl", "10m", "--holder", "formatter", "--lease-id", ID];
        place.run(&[&["lock", "acquire", path, "-o", "json"], &end[..]].concat())
    };
    let (first, again) = (acquire("src"), acquire("src"));
    assert_eq!((first.code, again.code), (Some(0), Some(0)), "{again}");
    let (first, told) = (first.json(), again.json());
    assert_eq!(
        (&first["repeated"], &told["repeated"]),
        (&false.into(), &true.into())
    );
    assert_eq!(first["fence"], told["fence"]);
    // Another one under its id is none.
    let other = acquire("lib");
    assert_eq!(other.code, Some(1), "{other}");
    assert!(other.stderr.contains("WR-LEASE-EXISTS"), "{other}");
    server.end();
}

#[test]
fn a_mistake_is_told_with_the_command_that_was_typed() {
    const NIL: &str = "00000000-0000-0000-0000-000000000000";
    let place = Place::new();
    let server = Serving::start(&place);
    let held = ["worker", "create", "--name", "w", "--scope", "write:w"];
    done(&place, &held);
    let end = ["--ttl", "10m", "--holder", "me"];
    let acquire = |more: &[&'static str]| [&["lock", "acquire"], more, &end[..]].concat();
    let calls: &[&[&str]] = &[
        &acquire(&[""]),
        &acquire(&["src", "--lease-id", NIL]),
        &acquire(&["src", "--lease-id", "x"]),
        &["lock", "who", ""],
        &["lock", "verify", "", "--worker", "w", "--fence", "1"],
        &["lock", "verify", "src", "--lease", "", "--fence", "1"],
        &["lock", "show", ""],
        &["lock", "show", NIL],
        &["lock", "renew", NIL, "--fence", "1"],
        &["lock", "release", NIL, "--fence", "1"],
        &["lock", "release", "w", "--force", "--reason", " "],
        &["lock", "reclaim", "w", "--force", "--reason", ""],
    ];
    let ran: Vec<Ran> = calls
        .iter()
        .map(|args| server.hide(place.run(args)))
        .collect();
    snapshot(&place, "lock_mistakes", &ran);
    let released = done(&place, &["lock", "release", "w"]);
    assert_eq!(released.stderr.matches("asking the server").count(), 1);
    let lead = [
        "worker",
        "create",
        "--name",
        "lead",
        "--delegate",
        "write:src",
    ];
    done(&place, &lead);
    let lead = place.worker_id("lead");
    let low = ["worker", "create", "--name", "low", "--parent", &lead];
    done(&place, &[&low[..], &["--scope", "write:src/a"]].concat());
    done(&place, &["lock", "release", "lead"]);
    done(&place, &["worker", "stop", "low"]);
    let online = place.run(&["worker", "restore", "low"]);
    server.end();
    let offline = place.run(&["worker", "restore", "low"]);
    let error = |ran: &Ran| ran.stderr[ran.stderr.find("error[").unwrap()..].to_owned();
    assert_eq!(error(&online), error(&offline));
    snapshot(&place, "restore_undelegated", &[offline]);
}
