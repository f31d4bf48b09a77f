use serde_json::{Value, json};

use super::*;

fn full() -> Value {
    json!({
        "worker_id": "0190163d-8694-739b-aea5-966c26f8ad91",
        "display_name": "builder",
        "labels": {"team": "a", "area": "b"},
        "scope": {
            "allow": [{"mount": "w", "path": "src", "permission": "write", "recursive": false}],
            "deny": [{"mount": "w", "path": "src/gen", "permission": "write", "recursive": true}],
        },
        "backend": {"name": "exec", "config": {"command": ["sh"], "mode": "simple"}},
        "initial_input": {"segments": [{"type": "text", "text": "go"}]},
        "intent": {"type": "task", "objective": "build it"},
        "profile": {"type": "builtin", "name": "default"},
        "bundle": {"id": "b", "digest": "d"},
        "capabilities": ["web"],
        "workspace": {"mount": "w"},
        "mounts": [{"mount": "docs", "path": "api"}],
        "parent": "0190163d-8694-739b-aea5-966c26f8ad92",
        "peers": ["0190163d-8694-739b-aea5-966c26f8ad93"],
    })
}

fn read(value: &Value) -> serde_json::Result<CreateWorker> {
    // From text, as a request comes: `from_value` takes another way through serde.
    serde_json::from_str(&value.to_string())
}

fn fingerprint(value: &Value) -> Digest {
    read(value).unwrap().fingerprint().unwrap()
}

/// Every object of a JSON value, each by its path.
fn objects(value: &Value) -> Vec<String> {
    fn below(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.push(path.to_owned());
                let fields = fields.iter();
                fields.for_each(|(name, value)| below(value, &format!("{path}/{name}"), found));
            }
            Value::Array(items) => items
                .iter()
                .enumerate()
                .for_each(|(n, value)| below(value, &format!("{path}/{n}"), found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    below(value, "", &mut found);
    found
}

#[test]
fn every_field_is_read_and_written_as_it_came() {
    let written = serde_json::to_value(read(&full()).unwrap()).unwrap();
    for (name, value) in full().as_object().unwrap() {
        if name != "initial_input" {
            assert_eq!(&written[name], value, "{name}");
        }
    }
    assert_eq!(read(&written).unwrap(), read(&full()).unwrap());
}

#[test]
fn an_intent_is_all_that_is_needed() {
    let least = json!({"intent": {"type": "assistant"}});
    let created = read(&least).unwrap();
    assert_eq!(
        created,
        CreateWorker::new(Intent::Assistant { purpose: None })
    );
    assert_eq!(
        read(&serde_json::to_value(&created).unwrap()).unwrap(),
        created
    );
    assert!(read(&json!({})).unwrap_err().to_string().contains("intent"));
}

#[test]
fn an_unknown_field_is_refused_wherever_it_stands() {
    // What is free by design: labels, a backend's own configuration, segments of unknown kinds.
    let free = ["/labels", "/backend/config", "/initial_input/segments/0"];
    let mut refused = 0;
    for path in objects(&full()) {
        if free.contains(&path.as_str()) {
            continue;
        }
        let mut value = full();
        let object = value.pointer_mut(&path).unwrap().as_object_mut().unwrap();
        object.insert("no_such_field".to_owned(), json!(1));
        let refusal = read(&value)
            .expect_err(&format!("taken at {path:?}"))
            .to_string();
        assert!(refusal.contains("no_such_field"), "{path:?}: {refusal}");
        refused += 1;
    }
    assert_eq!(refused, 11);
}

#[test]
fn a_field_given_twice_is_refused() {
    for twice in [
        r#"{"intent": {"type": "assistant"}, "intent": {"type": "assistant"}}"#,
        r#"{"intent": {"type": "assistant"}, "labels": {}, "labels": {}}"#,
    ] {
        let refusal = serde_json::from_str::<CreateWorker>(twice).unwrap_err();
        assert!(refusal.to_string().contains("duplicate field"), "{refusal}");
    }
}

#[test]
fn a_fingerprint_does_not_depend_on_the_order_of_keys() {
    fn reversed(value: &Value) -> String {
        match value {
            Value::Object(fields) => {
                let fields = fields.iter().rev();
                let fields: Vec<String> = fields
                    .map(|(name, value)| format!("{}:{}", json!(name), reversed(value)))
                    .collect();
                format!("{{{}}}", fields.join(","))
            }
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(reversed).collect();
                format!("[{}]", items.join(","))
            }
            plain => plain.to_string(),
        }
    }
    let text = reversed(&full());
    assert_ne!(text, full().to_string());
    let same: CreateWorker = serde_json::from_str(&text).unwrap();
    assert_eq!(same.fingerprint().unwrap(), fingerprint(&full()));
}

#[test]
fn a_fingerprint_does_not_depend_on_the_worker_id_nor_on_spelled_out_defaults() {
    let mut value = full();
    value.as_object_mut().unwrap().remove("worker_id");
    assert_eq!(fingerprint(&value), fingerprint(&full()));
    value["initial_input"]["mode"] = json!("reject");
    assert_eq!(fingerprint(&value), fingerprint(&full()));
}

#[test]
fn a_fingerprint_depends_on_everything_else() {
    let changes = [
        ("/display_name", json!("other")),
        ("/labels/team", json!("b")),
        ("/scope/allow/0/recursive", json!(true)),
        ("/scope/deny", json!([])),
        ("/backend/config/mode", json!("lines")),
        ("/initial_input/segments/0/text", json!("stop")),
        ("/intent/objective", json!("break it")),
        ("/profile/name", json!("companion")),
        ("/bundle/digest", json!("e")),
        ("/capabilities", json!(["web", "files"])),
        ("/workspace/mount", json!("docs")),
        ("/mounts/0/path", json!("")),
        ("/parent", json!(null)),
        ("/peers", json!([])),
    ];
    let mut seen = vec![fingerprint(&full())];
    for (path, change) in changes {
        let mut value = full();
        *value.pointer_mut(path).unwrap() = change;
        let other = fingerprint(&value);
        assert!(!seen.contains(&other), "{path} makes no difference");
        seen.push(other);
    }
}

#[test]
fn an_update_with_a_null_label_removes_it_and_an_absent_one_stays() {
    let update: UpdateWorker =
        serde_json::from_str(r#"{"labels": {"a": null, "b": "c"}}"#).unwrap();
    let labels: Vec<_> = update.labels.iter().collect();
    assert_eq!(
        labels,
        [
            (&"a".to_owned(), &None),
            (&"b".to_owned(), &Some("c".to_owned()))
        ]
    );
    assert_eq!(update.display_name, None);
    assert_eq!(
        serde_json::to_string(&update).unwrap(),
        r#"{"labels":{"a":null,"b":"c"}}"#
    );
    assert!(serde_json::from_str::<UpdateWorker>(r#"{"label": {}}"#).is_err());
    let mut create = full();
    create["labels"]["team"] = json!(null);
    assert!(
        read(&create).is_err(),
        "there is nothing to remove at a creation"
    );
}

#[test]
fn a_spec_is_kept_as_the_json_it_came_as() {
    let spec: WorkerSpec = AsJson(read(&full()).unwrap().spec);
    let config = bincode::config::standard().with_fixed_int_encoding();
    let bytes = bincode::serde::encode_to_vec(&spec, config).unwrap();
    let (back, _): (WorkerSpec, _) = bincode::serde::decode_from_slice(&bytes, config).unwrap();
    assert_eq!(back, spec);
    // A record of a later version has fields that this one doesn't know.
    let mut later = serde_json::to_value(&spec).unwrap();
    later["mood"] = json!("fine");
    let text = later.to_string();
    let bytes = bincode::serde::encode_to_vec(&text, config).unwrap();
    let (back, _): (WorkerSpec, _) = bincode::serde::decode_from_slice(&bytes, config).unwrap();
    assert_eq!(back, spec);
}
