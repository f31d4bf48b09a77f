//! A run's fence after its server was killed: no tool that asks with it may write on, whether a server runs
//! the store again or none does (I6).

use std::fs;

use crate::{
    serving::Serving,
    support::{Place, Ran, Running, until},
};

/// Says its fence, then goes on for as long as it is let.
const COMMAND: &str = "read -r what; echo $WORKER_RUNTIME_FENCE > fence-$what
    test $what = last || while :; do sleep 600 & wait; done";

fn done(place: &Place, args: &[&str]) -> Ran {
    let ran = place.run(args);
    assert_eq!(ran.code, Some(0), "{ran}");
    ran
}

/// The fence that the run of this input was told.
fn told(place: &Place, input: &str) -> Option<u64> {
    let text = fs::read_to_string(place.project().join(format!("fence-{input}"))).ok()?;
    text.strip_suffix('\n')?.parse().ok()
}

fn verify(place: &Place, fence: u64) -> Ran {
    let fence = fence.to_string();
    let args = ["lock", "verify", "src/x", "--worker", "w", "--fence"];
    place.run(&[&args[..], &[&fence]].concat())
}

fn stale(place: &Place, fence: u64) {
    let ran = verify(place, fence);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("WR-FENCE-STALE"), "{ran}");
    let held = done(place, &["lock", "show", "w", "-o", "json"]).json();
    assert_eq!(held["is_current"], false, "{held}");
}

#[test]
fn the_fence_of_a_run_is_refused_once_its_server_was_killed_offline_and_online() {
    let place = Place::new();
    let server = Serving::start(&place);
    let create = ["worker", "create", "--name", "w", "--scope", "write:."];
    let create = [&create[..], &["--", "sh", "-c", COMMAND]].concat();
    done(&place, &create);
    let sending = Running::start(&place, &["worker", "send", "w", "first"]);
    until("the command runs", || told(&place, "first").is_some());
    let fence = told(&place, "first").unwrap();
    let good = verify(&place, fence);
    assert_eq!((good.code, good.stdout.as_str()), (Some(0), ""), "{good}");
    server.kill();
    stale(&place, fence);
    let server = Serving::start(&place);
    stale(&place, fence);
    // It follows its run to the next server, which says that it was interrupted.
    let (code, _, stderr) = sending.wait();
    assert_eq!(code, Some(130), "{stderr}");
    done(&place, &["worker", "send", "w", "last"]);
    let next = told(&place, "last").unwrap();
    assert!(next > fence, "{next} after {fence}");
    stale(&place, fence);
    stale(&place, next);
    server.end();
}
