use serde::{Serialize, de::DeserializeOwned};

use super::*;
use crate::SeededEntropy;

const AT: Timestamp = Timestamp::from_unix_ms(1_750_000_000_000);

fn to_binary<T: Serialize>(value: &T) -> Vec<u8> {
    let config = bincode::config::standard().with_fixed_int_encoding();
    bincode::serde::encode_to_vec(value, config).unwrap()
}

fn from_binary<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, bincode::error::DecodeError> {
    let config = bincode::config::standard().with_fixed_int_encoding();
    let (value, read) = bincode::serde::decode_from_slice(bytes, config)?;
    assert_eq!(read, bytes.len(), "every byte is read");
    Ok(value)
}

/// Through text, JSON and the store's codec, and back.
fn round_trips<T>(id: &T, text: &str, binary: &[u8])
where
    T: FromStr<Err = IdError>
        + fmt::Display
        + fmt::Debug
        + PartialEq
        + Serialize
        + DeserializeOwned,
{
    assert_eq!(id.to_string(), text);
    assert_eq!(&text.parse::<T>().unwrap(), id);
    let json = serde_json::to_string(id).unwrap();
    assert_eq!(json, format!("\"{text}\""));
    assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), id);
    assert_eq!(to_binary(id), binary);
    assert_eq!(&from_binary::<T>(binary).unwrap(), id);
}

#[test]
fn a_uuid_id_is_text_in_json_and_its_16_bytes_in_the_store() {
    let text = "0190163d-8694-739b-aea5-966c26f8ad91";
    let bytes = [
        0x01, 0x90, 0x16, 0x3d, 0x86, 0x94, 0x73, 0x9b, 0xae, 0xa5, 0x96, 0x6c, 0x26, 0xf8, 0xad,
        0x91,
    ];
    round_trips(&WorkerId::from_bytes(bytes), text, &bytes);
    round_trips(&RuntimeId::from_bytes(bytes), text, &bytes);
    round_trips(&RunId::from_bytes(bytes), text, &bytes);
    assert_eq!(WorkerId::from_bytes(bytes).to_bytes(), bytes);
}

#[test]
fn a_minted_id_is_a_uuid_of_version_7_that_its_seed_determines_and_sorts_by_time() {
    let mint = |seed, at| WorkerId::mint(at, &mut SeededEntropy::new(seed));
    let id = mint(1, AT);
    let uuid = Uuid::from_bytes(id.to_bytes());
    assert_eq!(uuid.get_version_num(), 7);
    assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
    assert_eq!(id, mint(1, AT));
    assert_ne!(id, mint(2, AT));
    let later = AT.plus(std::time::Duration::from_millis(1));
    for seed in 0..100 {
        assert!(id < mint(seed, later));
    }
}

#[test]
fn what_is_no_uuid_is_refused_by_name_and_kind() {
    for text in ["", "x", "0190163d-8694-739b-aea5-966c26f8ad9", "\u{e9}"] {
        let refusal = text.parse::<RunId>().unwrap_err();
        assert_eq!((refusal.kind, refusal.text.as_str()), ("run id", text));
        let json = serde_json::to_string(text).unwrap();
        let told = serde_json::from_str::<RunId>(&json).unwrap_err();
        assert!(told.to_string().contains("run id"), "{told}");
    }
    let refusal = "\u{1b}".repeat(1000).parse::<WorkerId>().unwrap_err();
    assert_eq!(refusal.text.len(), 64);
    assert!(!refusal.to_string().contains(char::is_control));
    assert!(from_binary::<WorkerId>(&[0; 15]).is_err());
}

#[test]
fn an_ordinal_is_a_number_in_json_and_eight_bytes_in_the_store() {
    let position = Position(0x0102);
    assert_eq!(serde_json::to_string(&position).unwrap(), "258");
    assert_eq!(serde_json::from_str::<Position>("258").unwrap(), position);
    assert_eq!(to_binary(&position), [2, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        from_binary::<Position>(&to_binary(&position)).unwrap(),
        position
    );
    assert_eq!(position.to_string(), "258");
    assert_eq!(position.next(), Position(259));
    assert_eq!(Seq(u64::MAX).next(), Seq(u64::MAX), "it never starts again");
    assert!(serde_json::from_str::<Seq>("-1").is_err());
}

#[test]
fn a_block_id_names_generation_and_index() {
    let id = BlockId {
        generation: Generation(3),
        index: 1,
    };
    round_trips(&id, "3.1", &[3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    for text in [
        "",
        ".",
        "3",
        "3.",
        ".1",
        "3.1.2",
        "a.b",
        "-3.1",
        "3. 1",
        "3.4294967296",
    ] {
        let refusal = text.parse::<BlockId>().unwrap_err();
        assert_eq!((refusal.kind, refusal.text.as_str()), ("block id", text));
    }
}

#[test]
fn an_incarnation_shows_its_number_and_its_id() {
    let incarnation = Incarnation {
        number: 7,
        id: 0xab,
    };
    assert_eq!(incarnation.to_string(), "7.000000ab");
    assert_eq!(
        from_binary::<Incarnation>(&to_binary(&incarnation)).unwrap(),
        incarnation
    );
}

#[test]
fn a_text_id_is_any_short_text_without_control_characters() {
    let text = "größe: 5\u{1f980}";
    let mut binary = (text.len() as u64).to_le_bytes().to_vec();
    binary.extend(text.as_bytes());
    round_trips(&InputId::new(text).unwrap(), text, &binary);
    round_trips(&ActionId::new(text).unwrap(), text, &binary);
    assert_eq!(InputId::new("x".repeat(256)).unwrap().as_str().len(), 256);
}

#[test]
fn a_text_id_that_is_none_is_refused_in_every_form() {
    let cases = [
        (String::new(), "it is empty"),
        ("x".repeat(257), "it is longer than 256 bytes"),
        ("é".repeat(129), "it is longer than 256 bytes"),
        ("a\nb".to_owned(), "it has a control character"),
        ("a\0".to_owned(), "it has a control character"),
    ];
    for (text, reason) in cases {
        let refusal = InputId::new(text.as_str()).unwrap_err();
        assert_eq!((refusal.kind, refusal.reason), ("input id", reason));
        assert!(refusal.text.chars().count() <= 64);
        let json = serde_json::to_string(&text).unwrap();
        assert!(serde_json::from_str::<InputId>(&json).is_err());
        assert!(from_binary::<InputId>(&to_binary(&text)).is_err());
    }
}

/// It stands for an id that was left out: a Worker of that id could be made, and messages named it.
#[test]
fn the_uuid_that_names_nothing_is_no_id() {
    let nil = "00000000-0000-0000-0000-000000000000";
    for text in [nil, "00000000000000000000000000000000"] {
        let refused = text.parse::<WorkerId>().unwrap_err();
        assert_eq!(refused.reason, "it is the UUID that names nothing");
    }
    assert!(serde_json::from_str::<WorkerId>(&format!("\"{nil}\"")).is_err());
    assert!(nil.replace("0000-", "0001-").parse::<WorkerId>().is_ok());
}
