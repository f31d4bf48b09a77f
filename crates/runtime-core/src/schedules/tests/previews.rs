//! Previews of a block while it ends: whoever listens has each byte of it once, and none of it after
//! the event that ends it (I2). The run's side is driven as its sink and the writer do it.

use std::{future::poll_fn, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_core::Stream as _;
use shuttle::future::{block_on, spawn, yield_now};

use super::plain::Plain;
use crate::{
    BlockId, DeltaOp, Digest, Event, EventType, Generation, Observation, ObserveOptions, Observed,
    Position, RunId, SeededEntropy, Seq, Stream, Timestamp, WorkerId, WorkerPlace,
    cursor::From as Start,
    limits::Limits,
    runtime::{Backends, LiveRuns, Shared},
    schedules::explore,
    state::{Dispatch, State, Surroundings, Touched},
    store::{Batch, BlockKind, DamagedRecord, Loaded, Store},
};

const WORKER: WorkerId = WorkerId::from_bytes([2; 16]);
const RUN: RunId = RunId::from_bytes([3; 16]);
const PIECES: [&str; 3] = ["one ", "two ", "three"];

/// The run's side: what it writes, and the writer's steps at the end of a block.
struct Run {
    store: Plain,
    shared: Arc<Shared>,
    state: State,
}

impl Run {
    fn begin(deltas_lag_max: usize) -> Self {
        let store = Plain::empty();
        // A damaged Worker can be read, and a whole record would say nothing more here.
        let damaged = DamagedRecord {
            table: "worker",
            worker_id: Some(WORKER),
            lease_id: None,
            operation_id: None,
            seq: None,
            detail: String::new(),
        };
        let loaded = Loaded {
            damaged: vec![damaged],
            ..store.loaded()
        };
        let limits = Arc::new(Limits {
            deltas_lag_max,
            ..Limits::default()
        });
        let around = Surroundings {
            reader: store.reader(),
            backends: Arc::new(Backends::new(Vec::new()).unwrap()),
            live: Arc::new(LiveRuns::new(limits.clone())),
            limits,
        };
        let shared = Arc::new(Shared::new(
            loaded.clone(),
            around.reader.clone(),
            around.backends.clone(),
            around.live.clone(),
            around.limits.clone(),
            true,
        ));
        let entropy = Box::new(SeededEntropy::new(1));
        let state = State::new(loaded, Dispatch::None, around, entropy);
        shared.live.begin(WORKER, RUN, Generation(1), Position(0));
        Self {
            store,
            shared,
            state,
        }
    }

    /// One block from its beginning to the commit of its end.
    fn block(&mut self) {
        let live = self.shared.live.clone();
        let block = live.open_block(WORKER, RUN, BlockKind::Text, None).unwrap();
        for piece in PIECES {
            live.write(WORKER, RUN, block, false, piece).unwrap();
        }
        let (_, _, text) = live.read_block(WORKER, RUN, block).unwrap();
        live.block_done(WORKER, RUN, block);
        let position = self.state.position.next();
        let data = Bytes::from(text);
        self.store.append(&Batch {
            events: vec![Event {
                position,
                at: Timestamp::from_unix_ms(1),
                worker: Some(WorkerPlace {
                    worker_id: WORKER,
                    seq: Seq(position.0),
                    item: None,
                }),
                kind: EventType::BLOCK_FINISHED,
                run_id: Some(RUN),
                data_digest: Digest::of(&data),
                data,
            }],
            ..Batch::default()
        });
        self.state.position = position;
        // As the writer does after a commit, in its order.
        let touched = Touched {
            workers: [WORKER].into(),
            ..Touched::default()
        };
        let before = self.shared.position();
        self.shared.publish(&self.state, &touched, Vec::new());
        live.forget_closed();
        self.shared.notify(before, [WORKER].into_iter());
        live.drop_block(WORKER, RUN, block);
        live.advance(WORKER, RUN, position);
    }
}

/// Who listens: the text of each block as it grew, until that many blocks have ended.
async fn listen(observation: Observation, blocks: u64) {
    let options = ObserveOptions {
        deltas: true,
        ..ObserveOptions::default()
    };
    let of = Stream::Worker(WORKER);
    let mut items = observation.observe(of, Start::Beginning, options).unwrap();
    let mut open: Option<(BlockId, String)> = None;
    let mut ended = 0;
    while ended < blocks {
        let item = poll_fn(|context| Pin::new(&mut items).poll_next(context)).await;
        match item.unwrap().unwrap() {
            Observed::Event(_, event) => {
                ended += 1;
                assert_eq!(event.position, Position(ended), "each event once, in order");
                assert_eq!(event.data, PIECES.concat());
                let of_it = open.take_if(|(block, _)| u64::from(block.index) < ended);
                let text = of_it.map(|(_, text)| text).unwrap_or_default();
                assert!(PIECES.concat().starts_with(&text), "{text}");
            }
            Observed::Delta(delta) => {
                let index = u64::from(delta.block.index);
                assert!(index >= ended, "a delta of block {index} after its end");
                let text = match (&delta.op, open.take()) {
                    (DeltaOp::Replace { text }, _) => text.clone(),
                    (DeltaOp::Append { offset_bytes, text }, before) => {
                        let before = before.filter(|(block, _)| *block == delta.block);
                        let before = before.map(|(_, text)| text).unwrap_or_default();
                        // An earlier one may stand in the picture already, never a later one alone.
                        assert!(*offset_bytes <= before.len() as u64, "bytes are missing");
                        let kept = usize::try_from(*offset_bytes).unwrap();
                        format!("{}{text}", &before[..kept])
                    }
                };
                assert!(PIECES.concat().starts_with(&text), "{text}");
                open = Some((delta.block, text));
            }
            Observed::Started(_) | Observed::UpToDate(_) | Observed::Reached(_) => {}
            Observed::Gap(_, gap) => panic!("nothing is missing: {gap:?}"),
        }
    }
}

fn previews(deltas_lag_max: usize) {
    block_on(async {
        let mut run = Run::begin(deltas_lag_max);
        let shared = run.shared.clone();
        let listeners = [1, 2].map(|_| {
            let observation = Observation::new(shared.clone());
            spawn(listen(observation, 2))
        });
        let writes = spawn(async move {
            run.block();
            run.block();
        });
        writes.await.unwrap();
        for listens in listeners {
            listens.await.unwrap();
        }
        while (shared.watched(), shared.live.listened_to()) != (0, 0) {
            yield_now().await;
        }
    });
}

#[test]
fn a_preview_has_each_byte_once_and_none_after_its_end() {
    explore("previews", 8_000, || previews(256));
}

#[test]
fn who_lags_gets_the_whole_block_instead() {
    explore("previews that lag", 8_000, || previews(1));
}
