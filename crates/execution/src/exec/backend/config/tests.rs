use serde_json::{Value, json};

use super::*;

fn resolve(config: Value) -> Result<ExecConfig, BackendError> {
    ExecConfig::resolve(&config, &ExecOptions::default())
}

fn refusal(config: Value) -> String {
    let error = resolve(config).unwrap_err();
    assert_eq!(error.kind, BackendErrorKind::Config);
    error.message
}

#[test]
fn what_is_left_out_is_filled_in_and_reads_back_the_same() {
    let resolved = resolve(json!({ "argv": ["cat"] })).unwrap();
    assert_eq!(resolved.mode, Mode::Simple);
    assert_eq!(resolved.input, Some(InputWay::Stdin));
    assert_eq!(resolved.term_grace_ms, Some(5000));
    assert!(
        resolved
            .env_allow
            .as_ref()
            .unwrap()
            .contains(&"PATH".to_owned())
    );
    let kept = serde_json::to_value(&resolved).unwrap();
    assert_eq!(ExecConfig::parse(&kept).unwrap(), resolved);
    // Resolving what was resolved changes nothing, whatever the defaults are by then.
    let later = ExecOptions {
        env_allow: Vec::new(),
        term_grace: Duration::from_secs(99),
        ..ExecOptions::default()
    };
    assert_eq!(ExecConfig::resolve(&kept, &later).unwrap(), resolved);
}

#[test]
fn a_refusal_names_the_field() {
    let long = "x".repeat(ARGUMENT_BYTES_MAX);
    for (config, field) in [
        (json!({}), "argv"),
        (json!({ "argv": [] }), "argv"),
        (json!({ "argv": [""] }), "argv"),
        (json!({ "argv": ["a", "b\u{0}c"] }), "argv[1]"),
        (json!({ "argv": ["a", long] }), "argv[1]"),
        (json!({ "argv": vec!["a"; 1025] }), "argv"),
        (json!({ "argv": ["a"], "arvg": 1 }), "arvg"),
        (json!({ "argv": ["a"], "mode": "pty" }), "pty"),
        (
            json!({ "argv": ["a"], "mode": "lines", "input": "stdin" }),
            "input",
        ),
        (json!({ "argv": ["a"], "env": { "A=B": "c" } }), "env.A=B"),
        (json!({ "argv": ["a"], "env": { "A": "c\u{0}" } }), "env.A"),
        (
            json!({ "argv": ["a"], "env": { "A": { "secret": "" } } }),
            "env.A",
        ),
        (
            json!({ "argv": ["a"], "env": { "WORKER_RUNTIME_RUN_ID": "x" } }),
            "env.WORKER_RUNTIME_RUN_ID",
        ),
        (json!({ "argv": ["a"], "env_allow": [""] }), "env_allow"),
        (
            json!({ "argv": ["a"], "term_grace_ms": 3_600_000 }),
            "term_grace_ms",
        ),
    ] {
        let message = refusal(config.clone());
        assert!(message.contains(field), "{config}: {message}");
    }
}

#[test]
fn a_secret_is_kept_by_its_name() {
    let config = json!({ "argv": ["a"], "env": { "TOKEN": { "secret": "service" } } });
    let kept = serde_json::to_value(resolve(config).unwrap()).unwrap();
    assert_eq!(kept["env"]["TOKEN"], json!({ "secret": "service" }));
    let with_more = json!({ "argv": ["a"], "env": { "TOKEN": { "secret": "s", "value": "v" } } });
    refusal(with_more);
}
