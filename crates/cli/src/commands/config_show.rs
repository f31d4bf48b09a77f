//! `config show`: what is in effect, and where each value came from.
//!
//! Values of variables that a preset gives its command are not printed: they may be secrets.

use std::path::Path;

use serde_json::{Value, json};

use super::serve::parse_bind;
use crate::{
    args::{Format, Global},
    config::{BIND_VARIABLE, Config, Entry, FILE_VARIABLE, Origin},
    error::{CliError, Failure},
    exit::Exit,
    output::{Printer, Table},
    target,
};

pub(crate) fn run(global: &Global, printer: &mut Printer) -> Result<Exit, Failure> {
    let config = Config::load(global)?;
    let entries = entries(global, &config)?;
    match printer.format() {
        Format::Json => printer.json(&json!({ "file": config.file, "values": entries }))?,
        Format::Jsonl => entries.iter().try_for_each(|entry| printer.json(entry))?,
        Format::Table | Format::Wide | Format::Name => {
            let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
            for Entry { key, value, from } in &entries {
                let value = match value {
                    Value::String(text) => text.clone(),
                    Value::Null => String::new(),
                    Value::Array(texts) => {
                        let texts = texts.iter().filter_map(Value::as_str);
                        texts.collect::<Vec<_>>().join(", ")
                    }
                    other => other.to_string(),
                };
                table.row([key.clone(), value, from.to_string()]);
            }
            printer.table(&table)?;
            match &config.file {
                Some(file) => printer.words(format_args!("read: {}", file.display())),
                None => printer.words("there is no configuration file"),
            }
        }
    }
    Ok(Exit::Done)
}

/// The state directory, then what the configuration has; the environment wins over the file.
fn entries(global: &Global, config: &Config) -> Result<Vec<Entry>, CliError> {
    let state = Entry {
        key: "state".to_owned(),
        value: json!(target::path(global)?),
        from: from(global.state.as_deref(), "--state", "WORKER_RUNTIME_STATE"),
    };
    let file = Entry {
        key: "config".to_owned(),
        value: json!(config.file),
        from: from(global.config.as_deref(), "--config", FILE_VARIABLE),
    };
    let mut entries = vec![state, file];
    entries.extend(config.entries.iter().cloned());
    if let Ok(text) = std::env::var(BIND_VARIABLE) {
        let bind = parse_bind(&text)
            .map_err(|error| CliError::usage(format!("{BIND_VARIABLE}: {error}"), &["serve"]))?;
        let of_bind = entries.iter_mut().find(|entry| entry.key == "serve.bind");
        if let Some(entry) = of_bind {
            entry.value = json!(bind.to_string());
            entry.from = Origin::Environment(BIND_VARIABLE);
        }
    }
    Ok(entries)
}

/// Where a path that the parser took from either came from.
fn from(named: Option<&Path>, flag: &'static str, variable: &'static str) -> Origin {
    match (named, std::env::var_os(variable)) {
        (None, _) => Origin::Default,
        (Some(named), Some(value)) if named == value => Origin::Environment(variable),
        (Some(_), _) => Origin::Flag(flag),
    }
}
