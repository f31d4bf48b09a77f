use std::collections::BTreeMap;

use super::*;

/// As a later version writes it, and as an earlier one reads it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Later {
    Known { n: u32, added: Option<String> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Earlier {
    Known { n: u32 },
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_fixed_int_encoding()
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, config()).unwrap()
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, bincode::error::DecodeError> {
    bincode::serde::decode_from_slice(bytes, config()).map(|(value, _)| value)
}

#[test]
fn in_json_it_is_its_value() {
    let value = AsJson(Earlier::Known { n: 1 });
    let json = serde_json::to_string(&value).unwrap();
    assert_eq!(json, r#"{"type":"known","n":1}"#);
    assert_eq!(
        serde_json::from_str::<AsJson<Earlier>>(&json).unwrap(),
        value
    );
}

#[test]
fn in_the_store_it_is_one_json_text_between_its_neighbours() {
    let record = (7_u8, AsJson(Earlier::Known { n: 1 }), 9_u8);
    let bytes = encode(&record);
    assert_eq!(bytes, encode(&(7_u8, r#"{"type":"known","n":1}"#, 9_u8)));
    assert_eq!(decode::<(u8, AsJson<Earlier>, u8)>(&bytes).unwrap(), record);
}

#[test]
fn earlier_and_later_versions_read_each_other() {
    let later = AsJson(Later::Known {
        n: 1,
        added: Some("x".to_owned()),
    });
    let earlier = AsJson(Earlier::Known { n: 1 });
    assert_eq!(decode::<AsJson<Earlier>>(&encode(&later)).unwrap(), earlier);
    let read = decode::<AsJson<Later>>(&encode(&earlier)).unwrap();
    assert_eq!(read, AsJson(Later::Known { n: 1, added: None }));
}

#[test]
fn what_is_no_json_of_the_type_is_an_error() {
    for text in ["", "{", r#"{"type":"other"}"#] {
        assert!(
            decode::<AsJson<Earlier>>(&encode(&text)).is_err(),
            "{text:?}"
        );
    }
    let unwritable = AsJson(BTreeMap::from([(vec![1], 2)]));
    assert!(bincode::serde::encode_to_vec(unwritable, config()).is_err());
}
