//! Waiting with a deadline, and streams collected by it: no test sleeps.

use std::{future::Future, pin::Pin, task::Poll, time::Duration};

use serde_json::Value;
use tokio_stream::StreamExt;
use worker_runtime_core::{Event, EventType, ObserveStream, Observed};

/// What takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(10);

/// The result of a future, which must come.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} for {what}"),
    }
}

/// Lets a future do its first step, and says whether it has not ended by that.
pub(crate) async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> bool {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

/// What is told by an observed stream, and by an event.
pub(crate) trait Told {
    /// The next item, which must come.
    fn observed(&mut self) -> impl Future<Output = Observed>;
    /// The next durable event; deltas and marks are passed over, a gap is a failure.
    fn event(&mut self) -> impl Future<Output = Event>;
    /// The next event of this type that is about what is asked for.
    fn event_of(
        &mut self,
        kind: EventType,
        about: impl Fn(&Value) -> bool,
    ) -> impl Future<Output = Event>;
}

impl Told for ObserveStream {
    async fn observed(&mut self) -> Observed {
        let next = within("an item of a stream", self.next()).await;
        next.expect("the stream goes on").expect("it can be read")
    }

    async fn event(&mut self) -> Event {
        loop {
            match self.observed().await {
                Observed::Event(_, event) => return event,
                Observed::Gap(_, gap) => panic!("a gap: {gap:?}"),
                Observed::Started(_)
                | Observed::UpToDate(_)
                | Observed::Reached(_)
                | Observed::Delta(_) => {}
            }
        }
    }

    async fn event_of(&mut self, kind: EventType, about: impl Fn(&Value) -> bool) -> Event {
        loop {
            let event = self.event().await;
            if event.kind == kind && about(&data(&event)) {
                return event;
            }
        }
    }
}

/// An event's data.
pub(crate) fn data(event: &Event) -> Value {
    serde_json::from_slice(&event.data).expect("an event's data is JSON")
}
