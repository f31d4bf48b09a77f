//! serde takes the number of a variant for its name, and a list of values for an object; a client that
//! sends one is told so, and gets nothing that it did not mean.

use worker_runtime_core::{input::SubmitInput, worker::CreateWorker};

use super::*;
use crate::wire::EndWorker;

fn refused<T: DeserializeOwned + Serialize>(body: &str) -> String {
    let refusal = parse::<T>(body.as_bytes()).err().unwrap();
    format!("{refusal:?}")
}

#[test]
fn the_number_of_a_variant_is_not_its_name() {
    let told = refused::<CreateWorker>(r#"{"intent":{"type":0}}"#);
    assert!(
        told.contains("it is a number, and must be a text"),
        "{told}"
    );
    assert!(told.contains(r#"field: Some("intent.type")"#), "{told}");
    refused::<CreateWorker>(r#"{"intent":{"type":"assistant"},"profile":{"type":0}}"#);
    let told = refused::<CreateWorker>(
        r#"{"intent":{"type":"assistant"},"initial_input":{"segments":[],"kind":{"user":null}}}"#,
    );
    assert!(
        told.contains(r#"field: Some("initial_input.kind")"#),
        "{told}"
    );
}

#[test]
fn a_list_of_values_is_no_object() {
    refused::<EndWorker>("[]");
    refused::<EndWorker>(r#"["why",true]"#);
    refused::<CreateWorker>(r#"{"intent":{"type":"assistant"},"mounts":[["project","src"]]}"#);
    refused::<CreateWorker>(
        r#"{"intent":{"type":"assistant"},"scope":{"allow":[["project","","write",true]]}}"#,
    );
}

#[test]
fn an_object_is_no_word() {
    refused::<SubmitInput>(r#"{"segments":[{"type":"text","text":"x"}],"mode":{"queue":null}}"#);
}

#[test]
fn what_is_as_it_should_be_is_taken() {
    for body in [
        r#"{"segments":[{"type":"text","text":"x","more":1}]}"#,
        r#"{"segments":[{"type":"mine","value":[0,null,{}]}],"input_id":null}"#,
        r#"{"segments":[{"type":"text","text":"x"}],"budget":{"turns":5.0,"time_ms":null}}"#,
    ] {
        assert!(parse::<SubmitInput>(body.as_bytes()).is_ok(), "{body}");
    }
    let body = r#"{"intent":{"type":"task","objective":"o"},"display_name":null,
        "backend":{"name":"exec","config":[{"type":0}]}}"#;
    assert!(parse::<CreateWorker>(body.as_bytes()).is_ok());
}
