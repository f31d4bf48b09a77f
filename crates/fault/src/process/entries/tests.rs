use super::*;

fn state() -> PathBuf {
    PathBuf::from("/a/b")
}

fn renamed() -> Effect {
    Effect::Renamed {
        from: state().join("tmp/runtime.redb"),
        to: state().join("runtime.redb"),
    }
}

fn after(effects: impl IntoIterator<Item = Effect>) -> Entries {
    let mut entries = Entries::of(&state());
    effects.into_iter().for_each(|effect| entries.note(effect));
    entries.acknowledged();
    entries
}

#[test]
fn a_rename_holds_when_its_directory_was_synced_after_it() {
    assert!(after([renamed(), Effect::Synced(state())]).held().is_ok());
    assert!(after([renamed()]).held().is_err());
    assert!(after([Effect::Synced(state()), renamed()]).held().is_err());
    let file = Effect::Synced(state().join("runtime.redb"));
    assert!(after([renamed(), file]).held().is_err());
}

#[test]
fn every_directory_that_was_made_holds_only_in_its_own_parent() {
    let made = [Effect::Made("/a".into()), Effect::Made(state())];
    let last = Effect::Synced("/a".into());
    let first = Effect::Synced("/".into());
    assert!(after(made.clone()).held().is_err());
    assert!(
        after([&made[..], std::slice::from_ref(&last)].concat())
            .held()
            .is_err()
    );
    assert!(after([&made[..], &[last, first]].concat()).held().is_ok());
    let beside = Effect::Made(state().join("tmp"));
    assert!(after([beside]).held().is_ok());
}

#[test]
fn what_is_renamed_was_synced_after_its_last_write() {
    let copy = state().join("tmp/runtime.redb");
    let wrote = Effect::Wrote(copy.clone());
    let synced = Effect::Synced(copy);
    let whole = Effect::Synced(state());
    let well = [wrote.clone(), synced.clone(), renamed(), whole.clone()];
    assert!(after(well).held().is_ok());
    let late = [synced, wrote, renamed(), whole];
    assert!(after(late).held().is_err());
}

#[test]
fn what_was_left_open_is_no_harm_while_nothing_is_acknowledged() {
    let mut entries = Entries::of(&state());
    entries.note(renamed());
    assert!(entries.are_open());
    assert!(entries.held().is_ok());
    entries.note(Effect::Synced(state()));
    assert!(!entries.are_open());
}

#[test]
fn a_file_in_the_place_of_an_equal_one_holds_until_it_is_written_to() {
    let first = [renamed(), Effect::Synced(state())];
    let write = || Effect::Wrote(state().join("runtime.redb"));
    let with = |more: Vec<Effect>| after(first.clone().into_iter().chain(more));
    assert!(with(vec![renamed()]).held().is_ok());
    assert!(with(vec![renamed()]).are_open());
    assert!(with(vec![renamed(), write()]).held().is_err());
    let synced = vec![renamed(), Effect::Synced(state()), write()];
    assert!(with(synced).held().is_ok());
}

fn wrote() -> Effect {
    Effect::Wrote(state().join("runtime.redb"))
}

fn committed() -> Effect {
    Effect::WroteFront(state().join("runtime.redb"))
}

fn synced() -> Effect {
    Effect::Synced(state().join("runtime.redb"))
}

#[test]
fn no_commit_but_the_one_that_is_under_way_waits_for_its_sync() {
    assert!(after([wrote(), committed()]).held().is_ok());
    assert!(after([committed(), wrote(), committed()]).held().is_err());
    assert!(
        after([committed(), synced(), wrote(), committed()])
            .held()
            .is_ok()
    );
    let other = Effect::WroteFront(state().join("head"));
    assert!(after([committed(), other.clone(), other]).held().is_ok());
}

#[test]
fn who_ends_well_leaves_nothing_unsynced() {
    let ended = |effects: Vec<Effect>| {
        let mut entries = after(effects);
        entries.ended_well();
        entries
    };
    assert!(ended(vec![committed(), synced()]).held().is_ok());
    assert!(ended(vec![committed()]).held().is_err());
    assert!(ended(vec![synced(), wrote()]).held().is_err());
    // What was in the place of the file is gone.
    let replaced = vec![wrote(), renamed(), Effect::Synced(state())];
    assert!(ended(replaced).held().is_ok());
}

#[test]
fn what_a_killed_process_left_is_synced_before_the_next_one_says_anything() {
    let left = after([committed()]);
    assert!(left.are_open());
    let says = |effects: Vec<Effect>| {
        let mut entries = left.left_to_the_next();
        effects.into_iter().for_each(|effect| entries.note(effect));
        entries.acknowledged();
        entries
    };
    assert!(says(vec![]).held().is_err());
    assert!(says(vec![synced()]).held().is_ok());
    assert!(says(vec![committed()]).held().is_err());
    assert!(
        says(vec![renamed(), Effect::Synced(state())])
            .held()
            .is_ok()
    );
    assert!(!after([committed(), synced()]).are_open());
}

#[test]
fn of_a_file_whose_sync_failed_only_a_copy_counts_and_who_only_reads_is_not_judged() {
    let place = tempfile::tempdir().unwrap();
    let state = place.path().to_owned();
    let store = || state.join("runtime.redb");
    std::fs::write(store(), "").unwrap();
    std::fs::write(state.join("suspect"), "").unwrap();
    let mut left = Entries::of(&state);
    left.note(Effect::WroteFront(store()));
    let says = |effects: Vec<Effect>| {
        let mut entries = left.left_to_the_next();
        effects.into_iter().for_each(|effect| entries.note(effect));
        entries.ended_well();
        entries
    };
    assert!(says(vec![]).held().is_ok());
    let (wrote, synced) = (Effect::Wrote(store()), Effect::Synced(store()));
    assert!(says(vec![wrote, synced]).held().is_err());
    let from = state.join("tmp/runtime.redb");
    let renamed = Effect::Renamed { from, to: store() };
    let copied = vec![renamed, Effect::Synced(state.clone())];
    assert!(says(copied).held().is_ok());
}

#[test]
fn a_sync_that_is_tried_again_after_it_failed_makes_nothing_durable() {
    let store = || state().join("runtime.redb");
    let failed = [
        Effect::WroteFront(store()),
        Effect::SyncFailed(store()),
        Effect::Synced(store()),
        Effect::WroteFront(store()),
    ];
    assert!(after(failed.clone()).held().is_err());
    let copied = [renamed(), Effect::Synced(state())];
    assert!(after(failed.into_iter().chain(copied)).held().is_ok());
}
