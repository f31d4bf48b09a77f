use proptest::prelude::*;

use super::*;

const RUNTIME: RuntimeId = RuntimeId::from_bytes([1; 16]);
const WORKER: Stream = Stream::Worker(WorkerId::from_bytes([2; 16]));

fn stream() -> impl Strategy<Value = Stream> {
    let worker = |bytes| Stream::Worker(WorkerId::from_bytes(bytes));
    prop_oneof![Just(Stream::Runtime), any::<[u8; 16]>().prop_map(worker)]
}

fn cursor() -> impl Strategy<Value = Cursor> {
    (any::<[u8; 16]>(), stream(), any::<u64>(), any::<u32>()).prop_map(
        |(runtime, stream, position, incarnation)| {
            let runtime_id = RuntimeId::from_bytes(runtime);
            Cursor::new(runtime_id, stream, Position(position), incarnation)
        },
    )
}

proptest! {
    #[test]
    fn a_token_has_a_fixed_width_and_only_characters_that_a_url_keeps(cursor in cursor()) {
        let token = cursor.to_string();
        prop_assert_eq!(token.len(), Cursor::LEN_CHARS);
        prop_assert!(token.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    }

    #[test]
    fn a_token_is_read_back_as_the_cursor_it_was(cursor in cursor()) {
        let token = cursor.to_string();
        prop_assert_eq!(token.parse::<Cursor>(), Ok(cursor));
        let json = serde_json::to_string(&cursor).unwrap();
        prop_assert_eq!(&json, &format!("\"{token}\""));
        prop_assert_eq!(serde_json::from_str::<Cursor>(&json).unwrap(), cursor);
    }

    #[test]
    fn tokens_of_one_stream_sort_like_their_positions(
        stream in stream(),
        positions in any::<[u64; 2]>(),
        incarnation_ids in any::<[u32; 2]>(),
    ) {
        let [a, b] = [0, 1].map(|n| {
            Cursor::new(RUNTIME, stream, Position(positions[n]), incarnation_ids[n])
        });
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        if positions[0] != positions[1] {
            prop_assert_eq!(a.cmp(&b), positions[0].cmp(&positions[1]));
        }
    }

    #[test]
    fn a_token_belongs_to_its_stream_and_to_no_other(
        cursor in cursor(),
        position in any::<u64>(),
        streams in (stream(), stream()),
    ) {
        let of_first = Cursor::new(RUNTIME, streams.0, Position(position), 0);
        prop_assert!(of_first.is_of(RUNTIME, streams.0));
        prop_assert_eq!(of_first.is_of(RUNTIME, streams.1), streams.0 == streams.1);
        prop_assert!(!of_first.is_of(RuntimeId::from_bytes([9; 16]), streams.0));
        prop_assert!(!cursor.is_of(RUNTIME, streams.0), "another Runtime's, by all odds");
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in any::<String>()) {
        prop_assert!(text.parse::<Cursor>().is_err());
    }
}

#[test]
fn a_token_is_what_earlier_versions_wrote() {
    // Tokens are kept by clients over upgrades: if this fails, the prefix must change too.
    let cursor = Cursor::new(RUNTIME, WORKER, Position(258), 0xabcd);
    let token = cursor.to_string();
    assert_eq!(token, "c1e534efe5186b6c8b00000000000001020000abcde20680ff");
    assert_eq!(token.parse::<Cursor>().unwrap().position(), Position(258));
    assert_eq!(token.parse::<Cursor>().unwrap().incarnation_id(), 0xabcd);
}

#[test]
fn one_changed_character_makes_a_token_malformed() {
    let token = Cursor::new(RUNTIME, WORKER, Position(258), 0xabcd).to_string();
    for at in 0..Cursor::LEN_CHARS {
        for other in (' '..='~').chain(['\0', '\u{e9}']) {
            let mut changed: Vec<char> = token.chars().collect();
            if changed[at] == other {
                continue;
            }
            changed[at] = other;
            let changed: String = changed.into_iter().collect();
            let refusal = changed.parse::<Cursor>().unwrap_err();
            assert!(!refusal.to_string().contains(char::is_control));
        }
    }
}

#[test]
fn two_swapped_characters_make_a_token_malformed() {
    let token = Cursor::new(RUNTIME, WORKER, Position(0x0123_4567_89ab_cdef), 0x1234).to_string();
    for at in 1..Cursor::LEN_CHARS {
        let mut bytes = token.clone().into_bytes();
        bytes.swap(at - 1, at);
        let swapped = String::from_utf8(bytes).unwrap();
        assert_eq!(swapped.parse::<Cursor>().is_err(), swapped != token);
    }
}

#[test]
fn a_refusal_says_what_is_wrong_and_repeats_no_long_text() {
    let token = Cursor::new(RUNTIME, WORKER, Position(1), 1).to_string();
    let reason = |text: &str| text.parse::<Cursor>().unwrap_err().reason;
    assert_eq!(reason(""), "it does not have 50 characters");
    assert_eq!(
        reason(token.trim_start_matches('c')),
        "it does not have 50 characters"
    );
    assert_eq!(
        reason(&token.replacen("c1", "c2", 1)),
        "it does not start with c1"
    );
    let upper = token.replacen("c1", "", 1).to_uppercase();
    assert_eq!(
        reason(&format!("c1{upper}")),
        "it has a character that no cursor has"
    );
    let refusal = "é".repeat(10_000).parse::<Cursor>().unwrap_err();
    assert_eq!(refusal.text.chars().count(), 64);
}
