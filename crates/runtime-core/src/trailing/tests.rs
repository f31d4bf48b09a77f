use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Earlier {
    number: u64,
    names: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Later {
    number: u64,
    names: Vec<String>,
    #[serde(default, with = "crate::trailing")]
    added: Option<u64>,
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_fixed_int_encoding()
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, config()).unwrap()
}

/// The value, and how many bytes it took.
fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Option<(T, usize)> {
    bincode::serde::decode_from_slice(bytes, config()).ok()
}

fn later(added: Option<u64>) -> Later {
    Later {
        number: 7,
        names: vec!["one".to_owned()],
        added,
    }
}

#[test]
fn what_was_stored_before_there_was_the_field_is_read() {
    let stored = encode(&Earlier {
        number: 7,
        names: vec!["one".to_owned()],
    });
    assert_eq!(decode(&stored), Some((later(None), stored.len())));
    // As it stands in a record that holds it last.
    let held = encode(&(
        9_u8,
        Some(Earlier {
            number: 7,
            names: vec!["one".to_owned()],
        }),
    ));
    assert_eq!(decode(&held), Some(((9_u8, Some(later(None))), held.len())));
}

#[test]
fn what_does_not_use_the_field_is_stored_as_before() {
    let earlier = Earlier {
        number: 7,
        names: vec!["one".to_owned()],
    };
    assert_eq!(encode(&later(None)), encode(&earlier));
}

#[test]
fn a_field_that_is_there_is_read_whole_or_not_at_all() {
    let stored = encode(&later(Some(3)));
    assert_eq!(decode(&stored), Some((later(Some(3)), stored.len())));
    let mark = stored.len() - 9;
    for end in mark + 1..stored.len() {
        assert_eq!(decode::<Later>(&stored[..end]), None, "{end} bytes");
    }
    let mut marked = stored.clone();
    marked[mark] = 2;
    assert_eq!(decode::<Later>(&marked), None);
}

#[test]
fn in_json_it_is_a_field_like_others() {
    let json = serde_json::to_string(&later(None)).unwrap();
    assert_eq!(serde_json::from_str::<Later>(&json).unwrap(), later(None));
    let earlier = r#"{"number":7,"names":["one"]}"#;
    assert_eq!(serde_json::from_str::<Later>(earlier).unwrap(), later(None));
}
