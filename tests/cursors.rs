//! Cursors: what can't be followed is refused by what is wrong with it, relative starts are
//! resolved, and one stream's cursor is converted to another's.

use std::fs;

use worker_runtime_core::{
    Code, Cursor, CursorError, ObserveOptions, PageSize, Position, Stream, WorkerId,
    cursor::From as Start, error::ReadError,
};

use crate::support::{Host, HostOptions, Told, assistant};

async fn host() -> (Host, WorkerId, WorkerId) {
    let host = Host::open().await;
    let (a, b) = (host.worker().await, host.worker().await);
    host.complete(a, "one").await;
    host.complete(b, "two").await;
    (host, a, b)
}

fn refused(host: &Host, stream: Stream, cursor: Cursor) -> CursorError {
    let observation = host.observation();
    let start = Start::After(cursor);
    let page = observation.events(stream, start, PageSize::default());
    let observed = observation.observe(stream, start, ObserveOptions::default());
    let (Err(ReadError::Cursor(page)), Err(ReadError::Cursor(observed))) = (page, observed) else {
        panic!("{cursor} was taken");
    };
    assert_eq!(page, observed);
    let resolved = observation.resolve(stream, start).unwrap_err();
    assert_eq!(resolved, ReadError::Cursor(page.clone()));
    page
}

#[tokio::test]
async fn a_cursor_of_another_stream_or_runtime_is_foreign() {
    let (host, a, b) = host().await;
    let of_b = host.view(b).cursor;
    for stream in [Stream::Worker(a), Stream::Runtime] {
        let error = refused(&host, stream, of_b);
        let CursorError::Foreign { tail } = error else {
            panic!("{error}");
        };
        assert!(tail.is_of(host.observation().runtime_id(), stream));
    }
    let other = Host::open().await;
    let of_other = other.runtime.management().status().cursor;
    let error = ReadError::Cursor(refused(&host, Stream::Runtime, of_other));
    assert_eq!(error.code(), Code::CursorForeign);
    other.end().await;
    host.end().await;
}

#[tokio::test]
async fn a_cursor_beyond_the_log_is_ahead_and_one_of_an_unknown_incarnation_is_forked() {
    let (host, _, _) = host().await;
    let tail = host.runtime.management().status().cursor;
    let runtime_id = host.observation().runtime_id();
    let at = |position, incarnation| {
        Cursor::new(runtime_id, Stream::Runtime, Position(position), incarnation)
    };
    let ahead = at(tail.position().0 + 1, tail.incarnation_id());
    assert_eq!(
        refused(&host, Stream::Runtime, ahead),
        CursorError::Ahead { tail }
    );
    let forked = at(2, tail.incarnation_id() ^ 1);
    let error = refused(&host, Stream::Runtime, forked);
    let CursorError::Forked {
        fork_at,
        tail: told,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(told, tail);
    assert!(fork_at.position() <= Position(2));
    host.end().await;
}

/// A copy of the files, taken while they are used, goes on without what came after it.
#[tokio::test]
async fn a_cursor_beyond_the_end_of_a_known_incarnation_is_forked_where_that_ended() {
    let directory = tempfile::tempdir().unwrap();
    let [state, copy] = ["state", "copy"].map(|name| directory.path().join(name));
    let at = |directory| HostOptions {
        directory: Some(directory),
        ..HostOptions::default()
    };
    let host = Host::with(at(state.clone())).await;
    let worker = host.worker().await;
    host.complete(worker, "before").await;
    let end = host.runtime.management().status().position;
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(&state).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
    }
    host.complete(worker, "after").await;
    let beyond = [
        (Stream::Runtime, host.runtime.management().status().cursor),
        (Stream::Worker(worker), host.view(worker).cursor),
    ];
    host.end().await;
    let host = Host::with(at(copy)).await;
    host.complete(worker, "instead").await;
    for (stream, cursor) in beyond {
        let CursorError::Forked { fork_at, .. } = refused(&host, stream, cursor) else {
            panic!("{cursor}");
        };
        assert_eq!(fork_at.position(), end);
        let observation = host.observation();
        let page = observation.events(stream, Start::After(fork_at), PageSize::default());
        let events = page.unwrap().events;
        assert!(!events.is_empty());
        assert!(events.iter().all(|(_, event)| event.position > end));
    }
    host.end().await;
}

#[tokio::test]
async fn a_text_that_is_no_cursor_is_malformed_and_a_changed_character_is_noticed() {
    let (host, _, _) = host().await;
    let text = host.runtime.management().status().cursor.to_string();
    assert_eq!(text.len(), Cursor::LEN_CHARS);
    text.parse::<Cursor>().unwrap();
    for index in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[index] = if changed[index] == b'0' { b'1' } else { b'0' };
        let changed = String::from_utf8(changed).unwrap();
        let error: ReadError = changed.parse::<Cursor>().unwrap_err().into();
        assert_eq!(error.code(), Code::CursorMalformed, "{changed}");
    }
    for text in [
        "",
        "c1",
        &text[1..],
        &format!("{text}0"),
        &text.to_uppercase(),
        "é",
    ] {
        assert!(text.parse::<Cursor>().is_err(), "{text}");
    }
    host.end().await;
}

#[tokio::test]
async fn relative_starts_are_answered_with_an_absolute_cursor() {
    let (host, a, _) = host().await;
    let observation = host.observation();
    let tail = host.view(a).cursor;
    let stream = Stream::Worker(a);
    assert_eq!(observation.resolve(stream, Start::Now).unwrap(), tail);
    let beginning = observation.resolve(stream, Start::Beginning).unwrap();
    assert_eq!(beginning.position(), Position(0));
    assert_eq!(
        observation.resolve(stream, Start::After(tail)).unwrap(),
        tail
    );
    let page = observation
        .events(stream, Start::After(beginning), PageSize::default())
        .unwrap();
    assert_eq!(page.events.len(), 4);
    assert!(page.up_to_date);
    let at_tail = observation
        .events(stream, Start::Now, PageSize::default())
        .unwrap();
    assert!(at_tail.events.is_empty() && at_tail.up_to_date && at_tail.next == tail);
    let unknown = Stream::Worker(WorkerId::from_bytes([9; 16]));
    let error = observation.resolve(unknown, Start::Now).unwrap_err();
    assert_eq!(error.code(), Code::WorkerUnknown);
    host.end().await;
}

#[tokio::test]
async fn a_converted_cursor_goes_on_at_the_same_place_in_the_other_stream() {
    let (host, a, b) = host().await;
    let observation = host.observation();
    let of_a = host
        .observation()
        .resolve(Stream::Worker(a), Start::Now)
        .unwrap();
    let everywhere = observation
        .convert(of_a, Stream::Worker(a), Stream::Runtime)
        .unwrap();
    let of_b = observation
        .convert(everywhere, Stream::Runtime, Stream::Worker(b))
        .unwrap();
    assert_eq!(
        (of_b.position(), everywhere.position()),
        (of_a.position(), of_a.position())
    );
    let new = host.create(assistant()).await;
    let mut all = host.observe(Stream::Runtime, Start::After(everywhere));
    assert_eq!(all.event().await.worker.unwrap().worker_id, new);
    host.complete(b, "three").await;
    let mut own = host.observe(Stream::Worker(b), Start::After(of_b));
    assert_eq!(own.event().await.worker.unwrap().seq.0, 5);
    let wrong = observation.convert(of_a, Stream::Worker(b), Stream::Runtime);
    assert!(matches!(
        wrong,
        Err(ReadError::Cursor(CursorError::Foreign { .. }))
    ));
    host.end().await;
}

#[tokio::test]
async fn pages_are_bounded_by_events_and_by_bytes_and_give_at_least_one() {
    let (host, a, _) = host().await;
    let observation = host.observation();
    let read = |events_max, bytes_max| {
        let size = PageSize {
            events_max,
            bytes_max,
        };
        observation
            .events(Stream::Worker(a), Start::Beginning, size)
            .unwrap()
    };
    assert_eq!(read(2, 1 << 20).events.len(), 2);
    assert_eq!(read(100, 1).events.len(), 1);
    assert_eq!(read(0, 0).events.len(), 1);
    assert!(!read(2, 1 << 20).up_to_date);
    host.end().await;
}

#[tokio::test]
async fn cursors_of_before_a_restart_are_followed_after_it() {
    let (host, a, _) = host().await;
    let before = host.view(a).cursor;
    let host = host.crash().await;
    host.complete(a, "later").await;
    let mut stream = host.observe(Stream::Worker(a), Start::After(before));
    assert_eq!(stream.event().await.kind.as_str(), "input.accepted");
    host.end().await;
}
