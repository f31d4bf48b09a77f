use super::*;
use crate::exec::process::{RunMarker, identity_of};

#[test]
fn an_entry_is_matched_whole() {
    let entry = b"WORKER_RUNTIME_RUN_ID=0123456789abcdef";
    assert!(has_entry(
        b"A=1\0WORKER_RUNTIME_RUN_ID=0123456789abcdef\0B=2\0",
        entry
    ));
    assert!(has_entry(b"WORKER_RUNTIME_RUN_ID=0123456789abcdef", entry));
    assert!(!has_entry(
        b"WORKER_RUNTIME_RUN_ID=0123456789abcdef0\0",
        entry
    ));
    assert!(!has_entry(
        b"OLD_WORKER_RUNTIME_RUN_ID=0123456789abcdef\0",
        entry
    ));
    assert!(!has_entry(
        b"A=WORKER_RUNTIME_RUN_ID=0123456789abcdef\0",
        entry
    ));
    assert!(!has_entry(b"", entry));
}

#[test]
fn the_user_is_read_from_the_status() {
    let status = "Name:\tsh\nUmask:\t0022\nUid:\t1000\t0\t0\t0\nGid:\t7\t7\t7\t7\n";
    assert_eq!(real_user(status), Some(1000));
    assert_eq!(real_user("Name:\tsh\n"), None);
}

#[test]
fn whoever_asks_from_within_the_run_is_recognised() {
    let own = getpid().as_raw_pid();
    let marker = RunMarker::new("a-marker-that-nobody-has").unwrap();
    let identity = identity_of(own, marker, Containment::NotEnforced).unwrap();
    assert!(Search::new(&identity, true).is_asked_from_within().unwrap());
    assert!(
        !Search::new(&identity, false)
            .is_asked_from_within()
            .unwrap()
    );
    let stranger = ProcessIdentity {
        leader: None,
        ..identity
    };
    assert!(!Search::new(&stranger, true).is_asked_from_within().unwrap());
}

#[test]
fn a_process_that_was_started_without_environment_is_read_as_such() {
    let mut child = std::process::Command::new("cat")
        .env_clear()
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // An echo proves that it executes.
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"x").unwrap();
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    let pid = Pid::from_child(&child);
    let marker = RunMarker::new("a-marker-that-nobody-has").unwrap();
    let identity = identity_of(pid.as_raw_pid(), marker, Containment::NotEnforced).unwrap();
    let stat = ProcessStat::read(pid).unwrap().unwrap();
    let holds = Search::new(&identity, true)
        .environment_holds(&stat)
        .unwrap();
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(holds, Holds::No);
}

/// It was once taken for a stranger: while a process executes a new program it shows no environment,
/// or the beginning of it.
#[test]
fn a_process_that_executes_over_and_over_is_known_at_every_instant() {
    let marker = RunMarker::new("0199a7e2-7d70-7000-8000-00000000beef").unwrap();
    let mut child = std::process::Command::new("sh")
        .args(["-c", "exec sh -c \"$NEXT\""])
        .env("NEXT", "exec sh -c \"$NEXT\"")
        .env(RUN_MARKER_VARIABLE, marker.as_str())
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&child);
    let identity = identity_of(pid.as_raw_pid(), marker, Containment::NotEnforced).unwrap();
    let search = Search::new(&identity, true);
    let stat = ProcessStat::read(pid).unwrap().unwrap();
    let seen: Vec<Holds> = (0..2000)
        .map(|_| search.environment_holds(&stat).unwrap())
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let mistaken: Vec<&Holds> = seen.iter().filter(|holds| **holds != Holds::Yes).collect();
    assert!(
        mistaken.is_empty(),
        "{} of 2000: {mistaken:?}",
        mistaken.len()
    );
}

#[test]
fn the_monitor_is_ended_after_everything_below_it() {
    let own = ProcessStat::read(getpid()).unwrap().unwrap();
    let mut below = own;
    below.pid = Pid::from_raw(4242).unwrap();
    below.parent = own.pid.as_raw_pid();
    let monitor = own.pid.as_raw_pid();
    let mut scan = Scan {
        processes: HashMap::from([(monitor, own), (4242, below)]),
        members: HashSet::from([monitor, 4242]),
        monitor: Some(monitor),
        unreadable: Vec::new(),
        hidden: None,
        missed: false,
    };
    assert_eq!(scan.next_victims(), [below]);
    scan.members.remove(&4242);
    assert_eq!(scan.next_victims(), [own]);
}
