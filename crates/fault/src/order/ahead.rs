//! Observers that don't read: what is read for them from the store is bounded (I9).

use serde_json::json;
use tokio_stream::StreamExt as _;
use worker_runtime_core::{
    EventFilter, ObserveOptions, ObserveStream, PageSize, Stream, cursor::From as Start,
};

use super::steps::{Scene, WITHIN};
use crate::{
    report::{Doing, HarnessError, Outcome, Violation},
    settings::Settings,
};

const SLOW_OBSERVERS: u64 = 8;

/// Pages that may be read for one of them: what waits to be taken, and one on its way.
const PAGES_PER_OBSERVER_MAX: u64 = 3;

/// More than anything keeps in memory: what is read of the rest is read from the store.
const EVENTS: usize = 1_500;

const EVENTS_PER_PAGE: usize = 2;

/// With fewer, those who don't read could have all of it read for them and hardly be noticed.
const PAGES_OF_ONE_MIN: u64 = 100;

const SMALL: ObserveOptions = ObserveOptions {
    page: PageSize {
        events_max: EVENTS_PER_PAGE,
        bytes_max: 1 << 20,
    },
    deltas: false,
    until_up_to_date: true,
    filter: EventFilter::ALL,
};

pub(super) async fn run(settings: &Settings, outcome: &mut Outcome) -> Result<(), HarnessError> {
    let rounds = settings.size.pick(5_u64, 50, 500);
    let scene = Scene::open(settings.seed).await?;
    for _ in 0..EVENTS {
        let request = json!({ "intent": { "type": "assistant" } });
        let request = serde_json::from_value(request).doing("write a request")?;
        let made = scene.runtime.catalog().create(request).await;
        made.doing("make a Worker")?;
    }
    let observation = scene.runtime.observation();
    let observe = || -> Result<ObserveStream, HarnessError> {
        let observed = observation.observe(Stream::Runtime, Start::Beginning, SMALL);
        observed.doing("observe")
    };
    let all_of = async |mut observed: ObserveStream| {
        let all = async { while observed.next().await.is_some() {} };
        tokio::time::timeout(WITHIN, all).await.doing("read a log")
    };
    // What one reading of all of it takes, while nobody else reads.
    let before = scene.gate.pages_read();
    all_of(observe()?).await?;
    let pages_of_one = scene.gate.pages_read().saturating_sub(before);
    if pages_of_one < PAGES_OF_ONE_MIN {
        let reason = format!("a reading of {EVENTS} events took {pages_of_one} pages of the store");
        return Err(HarnessError::new("judge what is read for others", reason));
    }
    let before = scene.gate.pages_read();
    let mut slow = Vec::new();
    for _ in 0..SLOW_OBSERVERS {
        slow.push(observe()?);
    }
    // While others read all of it over and over, nothing more is read for those who don't.
    for _ in 0..rounds {
        all_of(observe()?).await?;
    }
    let read = scene.gate.pages_read().saturating_sub(before);
    // The scene has an observer of its own, which does not read either.
    let read_max = rounds * pages_of_one + (SLOW_OBSERVERS + 1) * PAGES_PER_OBSERVER_MAX;
    outcome.count("observers that did not read", SLOW_OBSERVERS);
    if read > read_max {
        let detail =
            format!("{read} pages were read, and at most {read_max} had a place to wait in");
        let at = format!("seed {}, {rounds} rounds", settings.seed);
        outcome.violated(
            at,
            Violation::new("I9 memory per observer is bounded", detail),
        );
    }
    drop(slow);
    scene.close().await
}
