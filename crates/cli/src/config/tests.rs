use std::path::Path;

use worker_runtime_core::{Code, profile::ProfileSelector};

use super::{Config, resolve::resolve};

fn config(text: &str) -> Config {
    resolve(Some(Path::new("/etc/config.toml")), text).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(text: &str) -> String {
    let error = resolve(Some(Path::new("/etc/config.toml")), text)
        .err()
        .unwrap();
    assert_eq!(error.code, Code::ConfigInvalid);
    error.message
}

#[test]
fn an_empty_file_is_the_defaults_and_every_value_says_so() {
    let config = config("");
    assert_eq!(config.bind, None);
    assert!(config.entries.len() >= 14);
    assert!(
        config
            .entries
            .iter()
            .all(|entry| entry.from.to_string() == "default")
    );
}

#[test]
fn what_is_written_is_used_and_knows_its_line() {
    let config = config(
        r#"
[serve]
bind = "0.0.0.0:80"
hosts = ["runtime.internal"]
drain_max = "1m 30s"
[limits]
workers_max = 7
[mounts]
docs = "/srv/docs"
[profiles.poet]
description = "writes verse"
instructions = "Rhyme.\n"
[backends.words]
kind = "exec"
argv = ["wc", "-w"]
env = { SECRET = "do not show" }
"#,
    );
    assert_eq!(config.bind.unwrap().port(), 80);
    assert_eq!(config.hosts, ["runtime.internal"]);
    assert_eq!(config.http.drain_max.as_secs(), 90);
    assert_eq!(config.limits.workers_max, 7);
    let poet = ProfileSelector::Named {
        name: "poet".to_owned(),
    };
    let poet = config.profiles.resolve(&poet).unwrap();
    assert_eq!(poet.instructions, "Rhyme.");
    assert_eq!(config.presets[0].name(), "words");
    let line = |key: &str| {
        let entry = config.entries.iter().find(|entry| entry.key == key);
        entry.unwrap().from.to_string()
    };
    assert_eq!(line("serve.bind"), "/etc/config.toml:3");
    assert_eq!(line("limits.workers_max"), "/etc/config.toml:7");
    assert_eq!(line("mounts.docs"), "/etc/config.toml:9");
    let shown = serde_json::to_string(&config.entries).unwrap();
    assert!(!shown.contains("do not show"));
}

#[test]
fn what_is_wrong_is_told_with_line_and_key() {
    for (text, told) in [
        ("a = ", "/etc/config.toml:1: "),
        (
            "\nport = 1",
            "/etc/config.toml:2: port: unknown field `port`",
        ),
        (
            "[serve]\nbnd = \"x\"",
            "/etc/config.toml:2: serve.bnd: unknown field `bnd`",
        ),
        (
            "[serve]\nbind = \"x\"",
            "/etc/config.toml:2: serve.bind: invalid socket address",
        ),
        (
            "[serve]\nbind = 7621",
            "/etc/config.toml:2: serve.bind: invalid type: integer",
        ),
        (
            "[serve]\nhosts = [\"a\", 1]",
            "/etc/config.toml:2: serve.hosts.1: invalid type",
        ),
        (
            "[serve]\nconnections_max = 0",
            "/etc/config.toml:2: serve.connections_max: 0 is not from 1 to",
        ),
        (
            "[serve]\ndrain_max = \"soon\"",
            "/etc/config.toml:2: serve.drain_max: \"soon\" is no length",
        ),
        (
            "[serve]\ndrain_max = \"2h\"",
            "/etc/config.toml:2: serve.drain_max: \"2h\" is longer than an hour",
        ),
        (
            "[limits]\nworkers_max = -1",
            "/etc/config.toml:2: limits.workers_max: invalid value",
        ),
        (
            "[mounts]\ndocs = \"srv\"",
            "/etc/config.toml:2: mounts.docs: the path of mount",
        ),
        (
            "[mounts]\n\"a:b\" = \"/srv\"",
            "/etc/config.toml:2: mounts.a:b: ",
        ),
        (
            "[profiles.poet]\ninstructions = \"x\"",
            "/etc/config.toml:1: profiles.poet: missing field `description`",
        ),
        (
            "[profiles.poet]\ndescription = \"x\"",
            "/etc/config.toml:1: profiles.poet: it has neither",
        ),
        (
            "[profiles.poet]\ndescription = \"x\"\ninstructions_file = \"nowhere.md\"",
            "/etc/config.toml:1: profiles.poet: instructions_file /etc/nowhere.md: No such file",
        ),
        (
            "[profiles.\"a b\"]\ndescription = \"x\"\ninstructions = \"\"",
            "/etc/config.toml:1: profiles.a b: its name has more",
        ),
        (
            "[profiles.default]\ndescription = \"x\"\ninstructions = \"\"",
            "/etc/config.toml:1: profiles.default: this name is that of a profile that ships",
        ),
        (
            "[backends.exec]\nkind = \"exec\"\nargv = [\"x\"]",
            "/etc/config.toml:1: backends.exec: this name is that of the free",
        ),
        (
            "[backends.w]\nkind = \"shell\"",
            "/etc/config.toml:2: backends.w.kind: unknown variant `shell`",
        ),
        (
            "[backends.w]\nkind = \"exec\"",
            "/etc/config.toml:1: backends.w: missing field `argv`",
        ),
        (
            "[backends.w]\nkind = \"exec\"\nargv = []",
            "/etc/config.toml:1: backends.w: argv: it names no program",
        ),
        (
            "[backends.w]\nkind = \"exec\"\nargv = [\"x\"]\nmood = 1",
            "/etc/config.toml:1: backends.w: unknown field `mood`",
        ),
        (
            "[limits]\nworkers_max = 1\nworkers_max = 2",
            "/etc/config.toml:3: ",
        ),
    ] {
        let message = refused(text);
        assert!(
            message.starts_with(told),
            "{text:?}: {message:?} does not begin with {told:?}"
        );
        assert!(!message.contains('\n'), "{message:?}");
    }
}

#[test]
fn the_page_names_every_key_and_its_default() {
    let page = include_str!("../../../../docs/configuration.md");
    for entry in config("").entries {
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` | ", entry.key)))
            .unwrap_or_else(|| panic!("no row for {}", entry.key));
        let default = match &entry.value {
            serde_json::Value::String(text) => format!("`{text}`"),
            serde_json::Value::Array(_) => "none".to_owned(),
            other => other.to_string(),
        };
        assert!(
            row.ends_with(&format!(" | {default} |")),
            "{row}: {default}"
        );
    }
    // And its example is one that is taken, but for the file that it names.
    let (_, example) = page.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let example = example.replace("instructions_file = \"reviewer.md\"", "instructions = \"\"");
    assert_eq!(config(&example).presets[0].name(), "agent");
}
