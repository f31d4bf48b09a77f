//! Streams: every observer sees exactly the log, live or late, fast or slow; deltas come in order
//! with events and never instead of them (I1, I10).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tokio_stream::StreamExt;
use worker_runtime_core::{
    BlockId, Delta, DeltaOp, EndOptions, EventFilter, EventType, ObserveOptions, ObserveStream,
    Observed, PageSize, Stream, WorkerId, cursor::From as Start, run::StopReason, store::BlockKind,
};

use crate::support::{Host, TakenRun, Told, data, within};

const TO_THE_END: ObserveOptions = ObserveOptions {
    page: PageSize {
        events_max: 5,
        bytes_max: 1 << 20,
    },
    deltas: false,
    until_up_to_date: true,
    filter: EventFilter::ALL,
};

fn with_deltas(host: &Host, worker_id: WorkerId, start: Start) -> ObserveStream {
    let options = ObserveOptions {
        deltas: true,
        ..ObserveOptions::default()
    };
    let stream = Stream::Worker(worker_id);
    host.observation().observe(stream, start, options).unwrap()
}

/// What a reader that shows text knows: events, and open blocks by their deltas.
#[derive(Default)]
struct Screen {
    open: BTreeMap<BlockId, String>,
    finished: BTreeMap<BlockId, String>,
    runs_over: BTreeSet<String>,
    at: u64,
}

impl Screen {
    fn take(&mut self, observed: &Observed) {
        match observed {
            Observed::Event(cursor, event) => {
                assert!(event.position.0 > self.at, "events in order, none twice");
                assert_eq!(cursor.position(), event.position);
                self.at = event.position.0;
                self.event(event);
            }
            Observed::Delta(delta) => self.delta(delta),
            Observed::Started(cursor) => self.at = cursor.position().0,
            Observed::UpToDate(_) | Observed::Reached(_) => {}
            Observed::Gap(_, gap) => panic!("a gap: {gap:?}"),
        }
    }

    fn event(&mut self, event: &worker_runtime_core::Event) {
        let data = data(event);
        if event.kind == EventType::BLOCK_FINISHED {
            let block = data["block"].as_str().unwrap().parse().unwrap();
            let text = data["text"].as_str().unwrap().to_owned();
            if let Some(shown) = self.open.remove(&block) {
                assert!(text.starts_with(&shown), "{shown:?} became {text:?}");
            }
            assert!(
                self.finished.insert(block, text).is_none(),
                "{block} ended twice"
            );
        }
        if event.kind == EventType::RUN_FINISHED {
            self.runs_over.insert(event.run_id.unwrap().to_string());
        }
    }

    fn delta(&mut self, delta: &Delta) {
        assert!(
            delta.after.0 <= self.at,
            "a delta before its run's earlier event"
        );
        let block = delta.block;
        assert!(
            !self.finished.contains_key(&block),
            "a delta of {block}, which has ended"
        );
        assert!(
            !self.runs_over.contains(&delta.run_id.to_string()),
            "a delta of a run that is over"
        );
        match &delta.op {
            DeltaOp::Replace { text } => {
                self.open.insert(block, text.clone());
            }
            DeltaOp::Append { offset_bytes, text } => {
                let shown = self.open.entry(block).or_default();
                assert_eq!(
                    *offset_bytes,
                    shown.len() as u64,
                    "nothing between {shown:?} and {text:?}"
                );
                shown.push_str(text);
            }
        }
    }
}

async fn write_blocks(run: &TakenRun, count: usize) {
    for index in 0..count {
        let block = run.sink.open_block(BlockKind::Text, None).unwrap();
        for piece in ["one ", "two ", "three"] {
            run.sink
                .append(block, &format!("{index}:{piece}"))
                .await
                .unwrap();
            tokio::task::yield_now().await;
        }
        run.sink
            .event(EventType::TOOL_CALL, &json!({ "n": index }))
            .await
            .unwrap();
        run.sink.append(block, "!").await.unwrap();
        run.sink.finish_block(block).await.unwrap();
    }
}

#[tokio::test]
async fn every_observer_sees_exactly_the_log_whenever_it_began() {
    let host = Host::open().await;
    let (a, b) = (host.worker().await, host.worker().await);
    let early = host.observe(Stream::Runtime, Start::Beginning);
    let mut now = host.observe(Stream::Worker(a), Start::Now);
    let Observed::Started(began) = now.observed().await else {
        panic!("the start comes first");
    };
    for index in 0..10 {
        host.complete(a, &format!("a{index}")).await;
        host.complete(b, &format!("b{index}")).await;
    }
    let log = host.audit().events;
    let seen: Vec<_> = within("the log", async {
        let events = early.filter_map(|item| match item.unwrap() {
            Observed::Event(_, event) => Some(event),
            _ => None,
        });
        events.take(log.len()).collect().await
    })
    .await;
    assert_eq!(seen, log);
    let of_a = |from: u64| -> Vec<_> {
        let own = log.iter().filter(|event| event.is_in(Stream::Worker(a)));
        own.filter(|event| event.position.0 > from)
            .cloned()
            .collect()
    };
    for expected in of_a(began.position().0) {
        assert_eq!(now.event().await, expected);
    }
    // From the cursor after each event on, exactly the rest.
    for event in log.iter().step_by(7) {
        let cursor = host.observation().events(
            Stream::Runtime,
            Start::Beginning,
            PageSize {
                events_max: event.position.0 as usize,
                ..PageSize::default()
            },
        );
        let after = Start::After(cursor.unwrap().next);
        let rest = host
            .observation()
            .observe(Stream::Runtime, after, TO_THE_END)
            .unwrap();
        let rest: Vec<_> = rest.collect().await;
        let events = rest.into_iter().filter_map(|item| match item.unwrap() {
            Observed::Event(_, event) => Some(event),
            _ => None,
        });
        assert!(
            events.eq(log
                .iter()
                .filter(|later| later.position > event.position)
                .cloned())
        );
    }
    host.end().await;
}

#[tokio::test]
async fn a_slow_reader_misses_nothing() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let mut slow = host
        .observation()
        .observe(
            Stream::Worker(worker_id),
            Start::Beginning,
            ObserveOptions {
                until_up_to_date: false,
                ..TO_THE_END
            },
        )
        .unwrap();
    let mut seen = Vec::new();
    for index in 0..40 {
        host.complete(worker_id, &format!("{index}")).await;
        // One item for each three that are written.
        if let Observed::Event(_, event) = slow.observed().await {
            seen.push(event);
        }
    }
    let mut log = host.audit().events;
    log.retain(|event| event.is_in(Stream::Worker(worker_id)));
    while seen.len() < log.len() {
        seen.push(slow.event().await);
    }
    assert_eq!(seen, log);
    host.end().await;
}

#[tokio::test]
async fn a_stream_begins_with_its_start_is_told_once_that_it_is_up_to_date_and_ends_with_its_runtime()
 {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let mut stream = host.stream(worker_id);
    assert!(matches!(stream.observed().await, Observed::Started(_)));
    assert_eq!(stream.event().await.kind, EventType::WORKER_CREATED);
    assert!(matches!(stream.observed().await, Observed::UpToDate(_)));
    host.complete(worker_id, "one").await;
    for kind in [
        EventType::INPUT_ACCEPTED,
        EventType::RUN_STARTED,
        EventType::RUN_FINISHED,
    ] {
        let Observed::Event(_, event) = stream.observed().await else {
            panic!("only events follow");
        };
        assert_eq!(event.kind, kind);
    }
    host.runtime.close().await.unwrap();
    assert!(within("the end", stream.next()).await.is_none());
}

#[tokio::test]
async fn deltas_come_in_order_with_events_for_observers_that_join_at_any_moment() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let mut tasks = Vec::new();
    let writes = write_blocks(&run, 40);
    let mut writes = Box::pin(writes);
    for start in [Start::Beginning, Start::Now].into_iter().cycle().take(12) {
        let mut stream = with_deltas(&host, worker_id, start);
        tasks.push(tokio::spawn(async move {
            let mut screen = Screen::default();
            while screen.runs_over.is_empty() {
                screen.take(&stream.observed().await);
            }
            screen.finished
        }));
        // Some steps of the writing between two that join.
        for _ in 0..10 {
            let _ = crate::support::poll_once(writes.as_mut()).await;
            tokio::task::yield_now().await;
        }
    }
    drop(writes);
    write_blocks(&run, 10).await;
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    let mut most = 0;
    for task in tasks {
        most = most.max(within("an observer", task).await.unwrap().len());
    }
    assert!(most >= 10);
    host.end().await;
}

#[tokio::test]
async fn who_joins_in_the_middle_of_a_block_sees_its_whole_text_once() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let block = run.sink.open_block(BlockKind::Text, None).unwrap();
    run.sink.append(block, "said before, ").await.unwrap();
    let mut stream = with_deltas(&host, worker_id, Start::Beginning);
    run.sink.append(block, "said after").await.unwrap();
    let mut screen = Screen::default();
    while screen
        .open
        .get(&block)
        .is_none_or(|text| !text.ends_with("after"))
    {
        screen.take(&stream.observed().await);
    }
    assert_eq!(screen.open[&block], "said before, said after");
    run.sink.finish_block(block).await.unwrap();
    while screen.finished.is_empty() {
        screen.take(&stream.observed().await);
    }
    assert_eq!(screen.finished[&block], "said before, said after");
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}

#[tokio::test]
async fn a_reader_that_lags_behind_deltas_gets_the_whole_block_instead() {
    let host = Host::limited(|limits| limits.deltas_lag_max = 4).await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let mut stream = with_deltas(&host, worker_id, Start::Beginning);
    while !matches!(stream.observed().await, Observed::UpToDate(_)) {}
    let block = run.sink.open_block(BlockKind::Text, None).unwrap();
    let mut expected = String::new();
    for index in 0..200 {
        let piece = format!("{index} ");
        run.sink.append(block, &piece).await.unwrap();
        expected.push_str(&piece);
    }
    let mut screen = Screen {
        at: u64::MAX,
        ..Screen::default()
    };
    let mut replaced = 0;
    while screen.open.get(&block) != Some(&expected) {
        let Observed::Delta(delta) = stream.observed().await else {
            continue;
        };
        replaced += usize::from(matches!(delta.op, DeltaOp::Replace { .. }));
        screen.delta(&delta);
    }
    assert!(replaced > 0, "it lagged");
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}

#[tokio::test]
async fn a_delta_of_a_block_that_has_ended_is_not_told_to_who_reads_late() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    for round in 0..10 {
        let run = host.start(worker_id, &format!("{round}")).await;
        let mut stream = with_deltas(&host, worker_id, Start::Now);
        // Nothing of it is read yet: deltas and events wait side by side.
        write_blocks(&run, 3).await;
        run.sink.finish(StopReason::EndTurn, None).await.unwrap();
        host.complete(worker_id, &format!("after {round}")).await;
        let mut screen = Screen::default();
        while screen.runs_over.len() < 2 {
            screen.take(&stream.observed().await);
        }
        assert_eq!(screen.finished.len(), 3);
        assert_eq!(screen.open, BTreeMap::new());
    }
    host.end().await;
}

#[tokio::test]
async fn the_stream_of_a_worker_that_is_deleted_ends_after_it_was_told() {
    for purge in [false, true] {
        let host = Host::open().await;
        let worker_id = host.worker().await;
        let mut stream = with_deltas(&host, worker_id, Start::Beginning);
        while !matches!(stream.observed().await, Observed::UpToDate(_)) {}
        let catalog = host.runtime.catalog();
        catalog
            .stop(worker_id, EndOptions::default())
            .await
            .unwrap();
        assert_eq!(stream.event().await.kind, EventType::WORKER_ENDING);
        assert_eq!(stream.event().await.kind, EventType::WORKER_STOPPED);
        catalog.delete(worker_id, purge).await.unwrap();
        if !purge {
            assert_eq!(stream.event().await.kind, EventType::WORKER_DELETED);
        }
        let rest = within("the end", stream.collect::<Vec<_>>()).await;
        assert!(rest.iter().all(Result::is_ok), "{rest:?}");
        host.end().await;
    }
}

#[tokio::test]
async fn who_asks_while_a_long_stretch_of_nothing_is_looked_through_is_told_how_far_that_is() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    // More than the newest events in memory.
    for index in 0..600 {
        host.complete(worker_id, &format!("{index}")).await;
    }
    let options = ObserveOptions {
        filter: EventFilter {
            types: vec!["usage".parse().unwrap()],
            run_id: None,
        },
        ..ObserveOptions::default()
    };
    let tail = host.view(worker_id).cursor;
    let observation = host.observation();
    let stream = observation.observe(Stream::Worker(worker_id), Start::Beginning, options);
    let mut stream = stream.unwrap();
    stream.ask();
    let Observed::Started(start) = stream.observed().await else {
        panic!("it begins with its start");
    };
    let Observed::Reached(reached) = stream.observed().await else {
        panic!("it was asked");
    };
    assert!(start < reached && reached < tail, "{reached} of {tail}");
    assert_eq!(stream.observed().await, Observed::UpToDate(tail));
    stream.ask();
    assert_eq!(stream.observed().await, Observed::Reached(tail));
    host.end().await;
}
