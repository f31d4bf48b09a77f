use std::{
    cell::Cell,
    future::{pending, poll_fn},
    task::Poll,
    time::{Duration, Instant},
};

use super::{LOOKS, Patience, within};

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn a_future_that_never_ends_is_given_up_at_the_limit() {
    let began = tokio::time::Instant::now();
    assert_eq!(within(LIMIT, pending::<()>()).await, None);
    let took = began.elapsed();
    assert!(
        took >= LIMIT && took < LIMIT + Duration::from_millis(100),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn time_in_which_nothing_could_be_seen_counts_as_one_look() {
    // What a stop of an hour looks like: the timer is seen first, and what is there a moment later.
    let polls = Cell::new(0);
    let future = poll_fn(|_| {
        polls.set(polls.get() + 1);
        match polls.get() {
            1 | 2 => Poll::Pending,
            _ => Poll::Ready("seen"),
        }
    });
    let stopped = async { tokio::time::advance(Duration::from_secs(3_600)).await };
    let (seen, ()) = tokio::join!(within(LIMIT, future), stopped);
    assert_eq!(seen, Some("seen"));
}

#[test]
fn a_long_time_between_two_looks_counts_as_a_tenth() {
    let mut patience = Patience::new(LIMIT);
    for looks in 1..=LOOKS {
        patience.looked = Instant::now() - Duration::from_secs(3_600);
        assert_eq!(patience.left(), LIMIT * (LOOKS - looks) / LOOKS);
    }
}

#[test]
fn looks_that_are_close_to_each_other_count_as_they_are() {
    let mut patience = Patience::new(LIMIT);
    patience.looked -= Duration::from_millis(400);
    let left = patience.left();
    assert!(left <= LIMIT - Duration::from_millis(400), "{left:?}");
    assert!(left > LIMIT - Duration::from_secs(1), "{left:?}");
}
