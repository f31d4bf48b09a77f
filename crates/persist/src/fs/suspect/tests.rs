use super::*;
use crate::fs::WhenMissing;

#[test]
fn a_mark_is_there_until_it_is_cleared() {
    let home = tempfile::tempdir().unwrap();
    let dir = StateDir::open_for_writing(home.path(), WhenMissing::Create).unwrap();
    let suspect = Suspect::of(&dir);
    assert!(!suspect.is_set());
    suspect.clear();
    suspect.set();
    suspect.set();
    assert!(Suspect::of(&dir).is_set());
    suspect.clear();
    assert!(!suspect.is_set());
}
