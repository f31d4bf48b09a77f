use super::*;
use std::io::{Read, Write};

#[test]
fn every_message_arrives_as_it_was_sent() {
    let (near, far) = pair().unwrap();
    for order in [
        Order::Go { enclosed: true },
        Order::Cancel { term_grace_ms: 7 },
    ] {
        send(&near, &order, &[]).unwrap();
        assert_eq!(receive::<Order>(&far).unwrap().unwrap().0, order);
    }
    let failure = StartFailure {
        step: StartStep::WorkingDirectory,
        errno: 13,
    };
    for report in [
        Report::Ready { protocol: PROTOCOL },
        Report::Enclosed {
            landlock_version: 3,
        },
        Report::Started {
            pid: 7,
            start_time_ticks: u64::MAX,
        },
        Report::NotStarted(failure),
        Report::Exited {
            exit: Exit::Code(127),
        },
        Report::Exited {
            exit: Exit::Signal(9),
        },
        Report::Quiet,
    ] {
        send(&near, &report, &[]).unwrap();
        assert_eq!(receive::<Report>(&far).unwrap().unwrap().0, report);
    }
}

#[test]
fn descriptors_arrive_in_order_and_closed_on_execution() {
    let (near, far) = pair().unwrap();
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    send(
        &near,
        &Order::Go { enclosed: false },
        &[reader.as_fd(), writer.as_fd()],
    )
    .unwrap();
    let (_, descriptors) = receive::<Order>(&far).unwrap().unwrap();
    assert_eq!(descriptors.len(), 2);
    for descriptor in &descriptors {
        let flags = rustix::io::fcntl_getfd(descriptor).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }
    let mut received: Vec<std::fs::File> = descriptors.into_iter().map(Into::into).collect();
    received[1].write_all(b"to the old end").unwrap();
    let mut bytes = [0; 14];
    reader.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"to the old end");
    writer.write_all(b"x").unwrap();
    received[0].read_exact(&mut bytes[..1]).unwrap();
    assert_eq!(bytes[0], b'x');
}

#[test]
fn the_death_of_the_peer_is_the_end_of_the_stream() {
    let (near, far) = pair().unwrap();
    send(&near, &Order::Go { enclosed: false }, &[]).unwrap();
    drop(near);
    assert!(receive::<Order>(&far).unwrap().is_some());
    assert!(receive::<Order>(&far).unwrap().is_none());
    assert!(send(&far, &Report::Quiet, &[]).is_err());
}

#[test]
fn unread_messages_of_a_dead_peer_do_not_hide_its_death() {
    let (near, far) = pair().unwrap();
    send(&far, &Report::Quiet, &[]).unwrap();
    drop(near);
    assert!(receive::<Order>(&far).unwrap().is_none());
}

#[test]
fn what_is_too_long_or_unknown_is_refused() {
    let (near, far) = pair().unwrap();
    rustix::net::send(
        &near,
        &vec![b' '; MESSAGE_BYTES_MAX + 1],
        SendFlags::empty(),
    )
    .unwrap();
    assert!(receive::<Order>(&far).is_err());
    rustix::net::send(&near, br#"{"type":"dance"}"#, SendFlags::empty()).unwrap();
    assert!(receive::<Order>(&far).is_err());
}
