use super::*;

fn room(open_files: u64) -> Room {
    within(Some(open_files), 16, HttpLimits::default())
}

#[test]
fn what_is_asked_for_stays_where_there_is_room_for_it() {
    let asked = HttpLimits::default();
    let enough = OF_PROGRAM + 16 * OF_COMMAND + 4_096 + asked.connections_reserved as u64;
    let unlimited = within(None, 16, HttpLimits::default());
    for room in [room(enough), unlimited] {
        assert_eq!(room.cut, None);
        assert_eq!(room.limits.connections_max, asked.connections_max);
        assert_eq!(room.limits.waiting_max, asked.waiting_max);
    }
    let one_less = room(enough - 1);
    assert_eq!(one_less.limits.connections_max, 4_095);
    assert!(one_less.cut.is_some());
}

#[test]
fn what_there_is_no_room_for_is_cut_and_told_with_both_numbers() {
    let room = room(1_024);
    assert_eq!(room.limits.connections_max, 816);
    assert_eq!(room.limits.waiting_max, 408);
    assert_eq!(room.limits.waiting_per_token_max, 204);
    let cut = room.cut.unwrap();
    for told in [
        "1024 files",
        "816 connections",
        "instead of 4096",
        "408 wait",
    ] {
        assert!(cut.contains(told), "{cut}");
    }
}

#[test]
fn all_connections_leave_half_of_the_files_to_store_and_commands_or_what_they_need() {
    for open_files in 4..6_000 {
        let limits = room(open_files).limits;
        let taken = (limits.connections_max + limits.connections_reserved) as u64;
        let needed = OF_PROGRAM + 16 * OF_COMMAND;
        assert!(
            open_files - taken >= needed.min(open_files / 2),
            "{open_files}"
        );
        assert!(limits.connections_max >= 1 && limits.waiting_max >= 1);
        assert!(limits.connections_reserved >= 1 && limits.waiting_per_token_max >= 1);
    }
}

#[test]
fn a_limit_that_the_operator_set_lower_is_not_raised() {
    let asked = HttpLimits {
        connections_max: 10,
        waiting_max: 3,
        ..HttpLimits::default()
    };
    let room = within(Some(256), 16, asked);
    assert_eq!(room.limits.connections_max, 10);
    assert_eq!(room.limits.waiting_max, 3);
    assert_eq!(room.cut, None);
}
