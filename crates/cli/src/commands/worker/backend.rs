//! What runs a Worker's input, as it is typed: a command and how it is talked to, or the whole
//! configuration of the `exec` backend from a file. What the options say is checked by the backend
//! itself, so that there is one place that knows the rules.

use std::{
    fs,
    io::{self, Read},
};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use worker_runtime_core::{AsJson, Code, worker::BackendSelection};
use worker_runtime_execution::exec::{ExecFactory, ExecOptions};

use crate::{error::CliError, timeout};

/// The longest configuration that is read.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Args)]
pub(crate) struct BackendArgs {
    /// How the command and its Worker talk
    #[arg(long, value_name = "MODE", value_enum)]
    mode: Option<Mode>,
    /// How a command in simple mode gets its input
    #[arg(long, value_name = "WAY")]
    input_as: Option<InputWay>,
    /// A variable that the command gets: KEY as it is in this environment at each start, or
    /// KEY=VALUE, which is kept with the Worker (may be repeated)
    #[arg(long, value_name = "KEY[=VALUE]")]
    env: Vec<String>,
    /// Have the kernel keep the command to what its scope lets it write (Landlock); a run for which
    /// that can't be done fails
    #[arg(long)]
    confine: bool,
    /// How long the command may take to end when it is asked to, such as 5s
    #[arg(long, value_name = "TIME", value_parser = timeout::parse_ms)]
    term_grace: Option<u64>,
    /// A backend that the operator configured under this name; takes the place of COMMAND and of the
    /// options about it
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with_all = ["command", "mode", "input_as", "env", "confine", "term_grace", "backend_config"]
    )]
    backend: Option<String>,
    /// The whole configuration of the exec backend, as JSON in a file or on standard input (-);
    /// takes the place of COMMAND and of the options about it
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["command", "mode", "input_as", "env", "confine", "term_grace"]
    )]
    backend_config: Option<String>,
}

/// How a command and its Worker talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// One process per input: its output is text, its exit status the outcome
    Simple,
    /// One long-lived process that speaks JSON lines (docs/exec-protocol.md)
    Lines,
}

/// How a command gets its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputWay {
    /// On its standard input
    Stdin,
    /// As its last argument
    Argument,
    /// Not at all
    None,
}

impl InputWay {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Stdin => "stdin",
            Self::Argument => "argument",
            Self::None => "none",
        }
    }
}

/// What runs the input of a Worker that is to be made.
pub(crate) struct Chosen {
    /// `None` when nothing does.
    pub(crate) backend: Option<BackendSelection>,
    /// The command and its arguments.
    pub(crate) argv: Vec<String>,
}

impl BackendArgs {
    /// What is asked for. `command` may be empty: then nothing runs the Worker's input.
    ///
    /// # Errors
    /// When the file of the configuration can't be read or is no JSON object.
    pub(crate) fn chosen(
        &self,
        command: &[String],
        default_way: InputWay,
    ) -> Result<Chosen, CliError> {
        if let Some(name) = &self.backend {
            return Ok(Chosen {
                backend: Some(BackendSelection {
                    name: name.clone(),
                    config: AsJson::default(),
                }),
                argv: Vec::new(),
            });
        }
        let config = match &self.backend_config {
            Some(file) => read_config(file)?,
            None if command.is_empty() => {
                return Ok(Chosen {
                    backend: None,
                    argv: Vec::new(),
                });
            }
            None => self.config(command, default_way),
        };
        let words = config.get("argv").and_then(Value::as_array);
        let words = words.into_iter().flatten().filter_map(Value::as_str);
        Ok(Chosen {
            argv: words.map(str::to_owned).collect(),
            backend: Some(BackendSelection {
                name: ExecFactory::NAME.to_owned(),
                config: AsJson(config),
            }),
        })
    }

    /// Whether the command must be told something: only a simple command that is given no input
    /// is set off by an input without a text of the user's.
    pub(crate) fn needs_input(&self) -> bool {
        self.mode == Some(Mode::Lines) || self.backend_config.is_some() || self.backend.is_some()
    }

    /// Whether standard input is where the configuration is read from.
    pub(crate) fn reads_stdin(&self) -> bool {
        self.backend_config.as_deref() == Some("-")
    }

    fn config(&self, command: &[String], default_way: InputWay) -> Value {
        let (set, passed): (Vec<_>, Vec<_>) = self.env.iter().partition(|text| text.contains('='));
        // What is allowed by default too: a list that is given takes its place.
        let mut env_allow = ExecOptions::default().env_allow;
        env_allow.extend(passed.into_iter().cloned());
        let mut config = json!({ "argv": command, "env_allow": env_allow });
        let mut put = |name: &str, value: Value| {
            if let Value::Object(fields) = &mut config {
                fields.insert(name.to_owned(), value);
            }
        };
        if self.mode == Some(Mode::Lines) {
            put("mode", "lines".into());
        }
        // In lines mode only when it was typed: then the backend says what is wrong with it.
        let default_way = Some(default_way).filter(|_| self.mode != Some(Mode::Lines));
        if let Some(way) = self.input_as.or(default_way) {
            put("input", way.as_str().into());
        }
        if !set.is_empty() {
            let set = set.into_iter().filter_map(|text| text.split_once('='));
            let set: Map<String, Value> = set
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
            put("env", set.into());
        }
        if self.confine {
            put("confine", "on".into());
        }
        if let Some(ms) = self.term_grace {
            put("term_grace_ms", ms.into());
        }
        config
    }
}

fn read_config(file: &str) -> Result<Value, CliError> {
    let what = match file {
        "-" => "standard input".to_owned(),
        file => file.to_owned(),
    };
    let mut text = String::new();
    let read = match file {
        "-" => io::stdin()
            .lock()
            .take(CONFIG_BYTES_MAX)
            .read_to_string(&mut text),
        file => fs::File::open(file)
            .and_then(|file| file.take(CONFIG_BYTES_MAX).read_to_string(&mut text)),
    };
    read.map_err(|error| config_error(format!("--backend-config: can't read {what}: {error}")))?;
    match serde_json::from_str(&text) {
        Ok(config @ Value::Object(_)) => Ok(config),
        Ok(_) => Err(config_error(format!(
            "--backend-config: {what} holds no JSON object"
        ))),
        Err(error) => Err(config_error(format!(
            "--backend-config: {what} is no JSON: {error}"
        ))),
    }
}

fn config_error(message: String) -> CliError {
    CliError::new(Code::BackendConfig, message)
        .hint(crate::suggest::Suggestion::help(&["worker", "create"]))
}
