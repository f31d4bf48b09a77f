use std::fs;
use std::time::Duration;

use proptest::prelude::*;

use super::super::dir::WhenMissing;
use super::*;

fn witness(position: u64) -> Witness {
    Witness {
        position,
        chain: u128::from(position) << 64 | 7,
        incarnation: 2,
    }
}

struct Place {
    _home: tempfile::TempDir,
    dir: StateDir,
    lock: WriterLock,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let dir = StateDir::open_for_writing(home.path(), WhenMissing::Create).unwrap();
        let lock = WriterLock::acquire(&dir, Duration::ZERO).unwrap();
        Self {
            _home: home,
            dir,
            lock,
        }
    }

    fn open(&self) -> HeadFile {
        HeadFile::open(&self.dir, &self.lock).unwrap()
    }

    fn read(&self) -> HeadRead {
        HeadFile::read(&self.dir).unwrap()
    }
}

#[test]
fn the_newest_witness_is_read_also_after_reopening_and_after_going_back() {
    let place = Place::new();
    assert_eq!(place.read(), HeadRead::Invalid(Invalid::Missing));
    let mut head = place.open();
    assert_eq!(place.read(), HeadRead::Invalid(Invalid::Blank));
    // 5 after 900: a restored store goes on from an earlier position.
    for position in [1, 2, 900, 5, 6] {
        head.record(&witness(position)).unwrap();
        assert_eq!(place.read(), HeadRead::Valid(witness(position)));
    }
    drop(head);
    let mut head = place.open();
    for position in [7, 8, 9] {
        head.record(&witness(position)).unwrap();
        assert_eq!(place.read(), HeadRead::Valid(witness(position)));
    }
    assert_eq!(fs::metadata(place.dir.head()).unwrap().len(), 512);
}

#[test]
fn a_torn_write_leaves_the_witness_before_it() {
    let place = Place::new();
    let mut head = place.open();
    head.record(&witness(1)).unwrap();
    let first = fs::read(place.dir.head()).unwrap();
    head.record(&witness(2)).unwrap();
    let second = fs::read(place.dir.head()).unwrap();
    let changed: Vec<usize> = (0..512).filter(|at| first[*at] != second[*at]).collect();
    assert!(changed.iter().all(|at| *at < 256), "one slot per write");

    let mut torn = first.clone();
    for at in &changed[..changed.len() - 1] {
        torn[*at] = second[*at];
        fs::write(place.dir.head(), &torn).unwrap();
        assert_eq!(place.read(), HeadRead::Valid(witness(1)));
    }
}

#[test]
fn a_short_or_garbled_file_is_no_witness_and_can_be_written_again() {
    let place = Place::new();
    for (bytes, expected) in [
        (vec![], Invalid::Blank),
        (vec![0; 511], Invalid::CutOff),
        (vec![0xAA; 512], Invalid::BothBad),
    ] {
        fs::write(place.dir.head(), bytes).unwrap();
        assert_eq!(place.read(), HeadRead::Invalid(expected));
        place.open().record(&witness(3)).unwrap();
        assert_eq!(place.read(), HeadRead::Valid(witness(3)));
    }
}

#[test]
fn a_slot_of_another_format_is_not_taken_for_this_one() {
    let mut slot = encode(1, &witness(1));
    slot[7] = 2;
    let check = XxHash3_64::oneshot(&slot[..SEALED_BYTES]).to_le_bytes();
    slot[SEALED_BYTES..].copy_from_slice(&check);
    assert_eq!(decode(&slot), None);
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_and_no_changed_bit_passes(
        turn: u64, position: u64, chain: u128, incarnation: u64,
        bit in 0..USED_BYTES * 8,
    ) {
        let witness = Witness { position, chain, incarnation };
        let mut slot = encode(turn, &witness);
        prop_assert_eq!(decode(&slot), Some((turn, witness)));
        slot[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(decode(&slot), None);
    }
}
