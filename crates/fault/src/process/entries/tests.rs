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
