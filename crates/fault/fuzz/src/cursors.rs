//! Cursors: no text is too odd to be parsed or refused; what parses prints the same, and what is
//! printed parses to the same.

use worker_runtime_core::{Cursor, Position, RuntimeId, Stream, WorkerId};

use crate::Choices;

/// The bytes as a token, and as the fields of one.
pub fn check(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        match text.parse::<Cursor>() {
            Ok(cursor) => assert_eq!(cursor.to_string(), text),
            Err(error) => assert!(error.to_string().len() < 4096),
        }
    }
    let mut choices = Choices(bytes);
    let runtime_id = RuntimeId::from_bytes(choices.array());
    let worker_id = WorkerId::from_bytes(choices.array());
    let position = Position(u64::from_le_bytes(choices.array()));
    let incarnation = u32::from_le_bytes(choices.array());
    let streams = [Stream::Runtime, Stream::Worker(worker_id)];
    for stream in streams {
        let cursor = Cursor::new(runtime_id, stream, position, incarnation);
        let text = cursor.to_string();
        assert_eq!(text.len(), Cursor::LEN_CHARS);
        assert_eq!(text.parse::<Cursor>().unwrap(), cursor);
        assert!(cursor.is_of(runtime_id, stream));
        assert_eq!(cursor.position(), position);
        // One changed character is noticed.
        let at = usize::from(choices.byte()) % text.len();
        let to = choices.byte() % 128;
        let mut changed = text.clone().into_bytes();
        if changed[at] != to {
            changed[at] = to;
            assert!(
                String::from_utf8(changed)
                    .unwrap()
                    .parse::<Cursor>()
                    .is_err()
            );
        }
    }
}
