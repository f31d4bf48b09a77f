use proptest::prelude::*;
use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use super::*;

const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("t");

#[test]
fn redb_keeps_its_data_in_it() {
    let database = Database::builder()
        .create_with_backend(MemoryBackend::new())
        .unwrap();
    for key in 0..300 {
        let mut write = database.begin_write().unwrap();
        write.set_durability(Durability::None).unwrap();
        let value = vec![key as u8; 10_000];
        let mut table = write.open_table(TABLE).unwrap();
        table.insert(key, value.as_slice()).unwrap();
        drop(table);
        write.commit().unwrap();
    }
    let table = database.begin_read().unwrap().open_table(TABLE).unwrap();
    for key in 0..300 {
        let value = table.get(key).unwrap().unwrap();
        assert_eq!(value.value(), vec![key as u8; 10_000]);
    }
}

#[test]
fn only_what_was_written_takes_memory_and_what_is_cut_off_gives_it_back() {
    let memory = MemoryBackend::new();
    memory.set_len(1 << 32).unwrap();
    assert_eq!(memory.taken_bytes(), 0);
    memory.write(3 << 30, b"far").unwrap();
    assert_eq!(memory.taken_bytes(), PIECE_BYTES);
    let mut read = [1; 5];
    memory.read((3 << 30) - 1, &mut read).unwrap();
    assert_eq!(&read, b"\0far\0");
    memory.set_len(1 << 30).unwrap();
    assert_eq!(memory.taken_bytes(), 0);
    memory.set_len(1 << 32).unwrap();
    memory.read((3 << 30) - 1, &mut read).unwrap();
    assert_eq!(read, [0; 5]);
}

#[test]
fn its_bytes_are_not_printed() {
    let memory = MemoryBackend::new();
    memory.set_len(9).unwrap();
    memory.write(0, b"secret-ly").unwrap();
    assert_eq!(
        format!("{memory:?}"),
        "MemoryBackend { length_bytes: 9, .. }"
    );
}

proptest! {
    /// Against a plain vector: each step a write, a change of length or a read.
    #[test]
    fn it_behaves_as_a_vector_would(
        steps in prop::collection::vec(
            (0..3_u8, 0..4 * PIECE_BYTES, 0..2 * PIECE_BYTES, any::<u8>()), 1..25),
    ) {
        let memory = MemoryBackend::new();
        let mut model: Vec<u8> = Vec::new();
        for (kind, offset, length, byte) in steps {
            let range = offset..offset + length;
            match kind {
                0 => {
                    let place = model.get_mut(range);
                    let written = memory.write(offset as u64, &vec![byte; length]);
                    prop_assert_eq!(written.is_ok(), place.is_some());
                    if let Some(place) = place {
                        place.fill(byte);
                    }
                }
                1 => {
                    memory.set_len(offset as u64).unwrap();
                    model.resize(offset, 0);
                }
                _ => {
                    let mut read = vec![0xEE; length];
                    let answered = memory.read(offset as u64, &mut read).is_ok();
                    prop_assert_eq!(answered.then_some(read.as_slice()), model.get(range));
                }
            }
        }
        let mut all = vec![0xEE; model.len()];
        memory.read(0, &mut all).unwrap();
        prop_assert_eq!(all, model);
    }
}
