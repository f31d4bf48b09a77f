use super::*;

#[test]
fn this_process_is_alive_and_the_same_pid_at_another_time_is_not() {
    let me = ProcessIdentity::current();
    assert_eq!(me.liveness(), Liveness::Alive);

    let earlier = ProcessIdentity {
        start_time_ticks: me.start_time_ticks.map(|ticks| ticks - 1),
        ..me.clone()
    };
    assert_eq!(earlier.liveness(), Liveness::Dead);

    let other_boot = ProcessIdentity {
        boot_id: Some("another boot".to_owned()),
        ..me.clone()
    };
    assert_eq!(other_boot.liveness(), Liveness::Dead);

    let untold = ProcessIdentity {
        start_time_ticks: None,
        ..me
    };
    assert_eq!(untold.liveness(), Liveness::Unknown);
}

#[test]
fn an_ended_process_that_nobody_collected_is_dead() {
    let mut child = std::process::Command::new("cat")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let identity = ProcessIdentity {
        pid: child.id(),
        start_time_ticks: read_stat(child.id()).map(|stat| stat.start_time_ticks),
        ..ProcessIdentity::current()
    };
    assert_eq!(identity.liveness(), Liveness::Alive);

    child.kill().unwrap();
    while read_stat(child.id()).is_some_and(|stat| !stat.ended) {
        std::thread::yield_now();
    }
    assert_eq!(identity.liveness(), Liveness::Dead);
    child.wait().unwrap();
    assert_eq!(identity.liveness(), Liveness::Dead);
}

#[test]
fn a_command_with_blanks_and_parentheses_does_not_shift_the_fields() {
    let tail = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
    let stat = parse_stat(&format!("42 (a) b (c)) {tail}")).unwrap();
    assert_eq!(
        stat,
        Stat {
            ended: false,
            start_time_ticks: 4711
        }
    );
    assert_eq!(parse_stat("42 (short) S 1 2"), None);
}
