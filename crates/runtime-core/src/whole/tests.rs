use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default, deserialize_with = "super::optional")]
    count: Option<u64>,
}

fn read(text: &str) -> Result<Option<u64>, serde_json::Error> {
    serde_json::from_str::<Asked>(text).map(|asked| asked.count)
}

#[test]
fn whole_numbers_are_taken_however_they_are_written() {
    for (text, count) in [
        ("{}", None),
        (r#"{"count":null}"#, None),
        (r#"{"count":0}"#, Some(0)),
        (r#"{"count":-0.0}"#, Some(0)),
        (r#"{"count":5.0}"#, Some(5)),
        (r#"{"count":5e2}"#, Some(500)),
        (r#"{"count":1e15}"#, Some(1_000_000_000_000_000)),
        (r#"{"count":18446744073709551615}"#, Some(u64::MAX)),
    ] {
        assert_eq!(read(text).unwrap(), count, "{text}");
    }
}

#[test]
fn other_numbers_and_other_kinds_are_refused() {
    for count in [
        "-1",
        "-1.0",
        "0.5",
        "1e300",
        "18446744073709551616.0",
        "\"5\"",
        "[5]",
        "true",
    ] {
        let text = format!("{{\"count\":{count}}}");
        assert!(read(&text).is_err(), "{text}");
    }
}
