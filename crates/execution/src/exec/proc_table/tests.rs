use super::*;

fn stat_line(name: &str, state: char, threads: u32) -> Vec<u8> {
    format!(
        "4242 ({name}) {state} 17 4240 4200 0 -1 4194304 90 0 0 0 1 2 0 0 20 0 {threads} 0 987654 \
         2310144 200 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n"
    )
    .into_bytes()
}

#[test]
fn a_name_made_of_parentheses_and_blanks_does_not_shift_the_fields() {
    for name in ["sh", "a b", ") Z 1 (", "((", "x) R 1 1"] {
        let stat = ProcessStat::parse(&stat_line(name, 'S', 1)).unwrap();
        assert_eq!(stat.pid.as_raw_pid(), 4242, "{name}");
        assert_eq!((stat.parent, stat.group), (17, 4240), "{name}");
        assert_eq!(stat.start_time_ticks, 987_654, "{name}");
        assert!(!stat.is_dead(), "{name}");
    }
}

#[test]
fn a_name_that_is_not_text_is_read() {
    let mut line = stat_line("name", 'S', 1);
    line[6] = 0xff;
    assert!(ProcessStat::parse(&line).is_some());
}

#[test]
fn a_zombie_is_dead_unless_other_threads_of_it_run() {
    assert!(
        ProcessStat::parse(&stat_line("a", 'Z', 1))
            .unwrap()
            .is_dead()
    );
    assert!(
        ProcessStat::parse(&stat_line("a", 'X', 0))
            .unwrap()
            .is_dead()
    );
    assert!(
        !ProcessStat::parse(&stat_line("a", 'Z', 2))
            .unwrap()
            .is_dead()
    );
    assert!(
        !ProcessStat::parse(&stat_line("a", 'T', 1))
            .unwrap()
            .is_dead()
    );
}

#[test]
fn a_line_that_is_cut_short_is_refused_not_guessed() {
    assert!(ProcessStat::parse(b"42 (sh) S 1 2 3").is_none());
    assert!(ProcessStat::parse(b"").is_none());
    assert!(ProcessStat::parse(b"zz (sh) S").is_none());
}

#[test]
fn this_process_is_found_in_the_listing_with_its_threads() {
    let own = rustix::process::getpid();
    assert!(list().unwrap().contains(&own));
    assert!(threads(own).unwrap().contains(&own));
    let stat = ProcessStat::read(own).unwrap().unwrap();
    assert!(stat.start_time_ticks > 0 && !stat.is_kernel_thread());
}

#[test]
fn both_ways_of_listing_children_agree() {
    let mut child = std::process::Command::new("cat")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&child);
    let own = rustix::process::getpid();
    let fast = children(own).unwrap();
    let slow = children_by_scan(own).unwrap();
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(fast.contains(&pid), "{fast:?}");
    assert!(slow.contains(&pid), "{slow:?}");
}

#[test]
fn descent_reaches_every_generation_and_stops_at_strangers() {
    let process = |pid: i32, parent: i32| {
        let mut stat = ProcessStat::parse(&stat_line("a", 'S', 1)).unwrap();
        stat.pid = Pid::from_raw(pid).unwrap();
        stat.parent = parent;
        (pid, stat)
    };
    let table = HashMap::from([
        process(10, 1),
        process(11, 10),
        process(12, 11),
        process(20, 1),
        process(21, 20),
    ]);
    let mut members = HashSet::from([10]);
    close_over_descendants(&table, &mut members);
    assert_eq!(members, HashSet::from([10, 11, 12]));
}
