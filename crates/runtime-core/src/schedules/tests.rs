//! The scenarios over a plain store, which is all lock and no engine: many schedules a second.

mod plain;
mod previews;

use super::{explore, scenarios, spied::Truth};

use plain::Plain;

#[test]
fn every_observer_sees_every_event_once() {
    explore("every observer sees every event once", 8_000, || {
        scenarios::everyone_sees_all(Plain::new(), None);
    });
}

#[test]
fn a_commit_whose_outcome_is_unknown_is_seen_once_or_never() {
    for truth in [Truth::Durable, Truth::Lost] {
        explore(
            &format!("a failed commit that is {truth:?}"),
            3_000,
            move || {
                scenarios::everyone_sees_all(Plain::new(), Some((3, truth)));
            },
        );
    }
}

#[test]
fn a_views_cursor_is_true_of_it() {
    explore("a view's cursor is true of it", 8_000, || {
        scenarios::a_views_cursor_is_true_of_it(Plain::new());
    });
}

#[test]
fn who_comes_and_goes_loses_and_leaves_nothing() {
    explore("who comes and goes loses and leaves nothing", 8_000, || {
        scenarios::who_comes_and_goes_loses_and_leaves_nothing(Plain::new());
    });
}

#[test]
fn a_close_is_told_to_everyone() {
    explore("a close is told to everyone", 8_000, || {
        scenarios::a_close_is_told_to_everyone(Plain::new());
    });
}
