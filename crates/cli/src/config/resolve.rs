//! From what is written to what is used.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use toml::Spanned;
use worker_runtime_core::profile::{ProfileSource, ResolvedProfile, is_builtin};
use worker_runtime_execution::{
    PresetFactory,
    exec::{ExecFactory, ExecOptions},
};

use super::{
    Config,
    error::{ConfigError, line_of},
    file::{
        BackendText, FileText, Kind, LimitsText, Number, ProfileText, RetentionText, ServeText,
        Time,
    },
};
use crate::{commands::serve::BIND_DEFAULT, error::CliError};

/// The longest instructions of a profile: they are kept with every Worker that has it.
const INSTRUCTIONS_BYTES_MAX: usize = 256 << 10;
/// The longest name of a profile or a backend.
const NAME_LEN_MAX: usize = 64;

/// A value and where it came from.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Value,
    pub(crate) from: Origin,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said.
    Default,
    /// A variable of the environment.
    Environment(&'static str),
    /// An option of the command line.
    Flag(&'static str),
    /// The configuration file, at this line.
    File(PathBuf, usize),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kind = match self {
            Self::Default => "default",
            Self::Environment(_) => "environment",
            Self::Flag(_) => "flag",
            Self::File(..) => "file",
        };
        let at = (*self != Self::Default).then(|| self.to_string());
        json!({ "kind": kind, "at": at }).serialize(serializer)
    }
}

/// What a text says, with defaults for what it leaves out.
///
/// # Errors
/// When it is no TOML, has an unknown key, or a value that its key does not take.
pub(super) fn resolve(path: Option<&Path>, text: &str) -> Result<Config, CliError> {
    let place = path.unwrap_or(Path::new(""));
    let parsed = toml::Deserializer::parse(text);
    let parsed = parsed.map_err(|error| ConfigError::of_syntax(place, text, &error))?;
    let written: FileText = serde_path_to_error::deserialize(parsed)
        .map_err(|error| ConfigError::of_value(place, text, &error))?;
    let config = Config {
        file: path.map(Path::to_owned),
        ..Config::default()
    };
    let mut resolving = Resolving {
        path: place,
        text,
        config,
    };
    resolving.serve(written.serve);
    resolving.limits(&written.limits);
    resolving.retention(&written.retention);
    for (name, mount) in &written.mounts {
        resolving.mount(name, mount)?;
    }
    for (name, profile) in written.profiles {
        resolving.profile(&name, &profile)?;
    }
    for (name, backend) in written.backends {
        resolving.backend(&name, &backend)?;
    }
    Ok(resolving.config)
}

struct Resolving<'a> {
    path: &'a Path,
    text: &'a str,
    config: Config,
}

impl Resolving<'_> {
    fn line<T>(&self, value: &Spanned<T>) -> usize {
        line_of(self.text, &value.span())
    }

    fn entry<T>(&mut self, key: String, written: Option<&Spanned<T>>, value: Value) {
        let from = written.map_or(Origin::Default, |written| {
            Origin::File(self.path.to_owned(), self.line(written))
        });
        self.config.entries.push(Entry { key, value, from });
    }

    fn error<T>(&self, at: &Spanned<T>, key: &str, reason: impl Into<String>) -> ConfigError {
        ConfigError::new(self.path, Some(self.line(at)), key, reason)
    }

    fn serve(&mut self, written: ServeText) {
        let bind = written.bind.as_ref().map(|bind| *bind.get_ref());
        self.config.bind = bind;
        let shown = bind.unwrap_or(BIND_DEFAULT).to_string();
        self.entry("serve.bind".to_owned(), written.bind.as_ref(), json!(shown));
        let texts = |list: &Option<Spanned<Vec<String>>>| {
            list.as_ref()
                .map(|list| list.get_ref().clone())
                .unwrap_or_default()
        };
        self.config.hosts = texts(&written.hosts);
        self.config.origins = texts(&written.origins);
        let (hosts, origins) = (json!(self.config.hosts), json!(self.config.origins));
        self.entry("serve.hosts".to_owned(), written.hosts.as_ref(), hosts);
        self.entry(
            "serve.origins".to_owned(),
            written.origins.as_ref(),
            origins,
        );
        let mut http = std::mem::take(&mut self.config.http);
        self.number(
            "serve.connections_max",
            &written.connections_max,
            &mut http.connections_max,
        );
        let reserved = &mut http.connections_reserved;
        self.number(
            "serve.connections_reserved",
            &written.connections_reserved,
            reserved,
        );
        self.number(
            "serve.waiting_max",
            &written.waiting_max,
            &mut http.waiting_max,
        );
        let of_token = &mut http.waiting_per_token_max;
        self.number(
            "serve.waiting_per_token_max",
            &written.waiting_per_token_max,
            of_token,
        );
        self.number(
            "serve.headers_max",
            &written.headers_max,
            &mut http.headers_max,
        );
        let of_headers = &mut http.headers_bytes_max;
        self.number(
            "serve.headers_bytes_max",
            &written.headers_bytes_max,
            of_headers,
        );
        let of_target = &mut http.target_bytes_max;
        self.number(
            "serve.target_bytes_max",
            &written.target_bytes_max,
            of_target,
        );
        self.number(
            "serve.body_bytes_max",
            &written.body_bytes_max,
            &mut http.body_bytes_max,
        );
        self.time(
            "serve.header_read_max",
            &written.header_read_max,
            &mut http.header_read_max,
        );
        self.time(
            "serve.body_read_max",
            &written.body_read_max,
            &mut http.body_read_max,
        );
        self.time("serve.send_max", &written.send_max, &mut http.send_max);
        self.time(
            "serve.stream_send_max",
            &written.stream_send_max,
            &mut http.stream_send_max,
        );
        self.time(
            "serve.heartbeat_every",
            &written.heartbeat_every,
            &mut http.heartbeat_every,
        );
        self.time("serve.drain_max", &written.drain_max, &mut http.drain_max);
        self.config.http = http;
    }

    fn limits(&mut self, written: &LimitsText) {
        let mut limits = std::mem::take(&mut self.config.limits);
        self.number(
            "limits.workers_max",
            &written.workers_max,
            &mut limits.workers_max,
        );
        let of_input = &mut limits.input_bytes_max;
        self.number("limits.input_bytes_max", &written.input_bytes_max, of_input);
        let unfinished = &mut limits.inputs_unfinished_max;
        self.number(
            "limits.inputs_unfinished_max",
            &written.inputs_unfinished_max,
            unfinished,
        );
        let inputs = &mut limits.inputs_per_worker_max;
        self.number(
            "limits.inputs_per_worker_max",
            &written.inputs_per_worker_max,
            inputs,
        );
        self.number(
            "limits.processes_max",
            &written.processes_max,
            &mut limits.processes_max,
        );
        self.config.limits = limits;
    }

    fn retention(&mut self, written: &RetentionText) {
        let mut retention = self.config.retention;
        self.number(
            "retention.worker_bytes_max",
            &written.worker_bytes_max,
            &mut retention.worker_bytes_max,
        );
        self.number(
            "retention.runtime_bytes_max",
            &written.runtime_bytes_max,
            &mut retention.runtime_bytes_max,
        );
        self.number(
            "retention.log_bytes_max",
            &written.log_bytes_max,
            &mut retention.log_bytes_max,
        );
        if let Some(age) = &written.age_max {
            retention.age_ms_max = Some(age.get_ref().0);
        }
        let shown = match retention.age_ms_max {
            Some(ms) => format!("{}s", ms / 1_000),
            None => "unlimited".to_owned(),
        };
        let key = "retention.age_max".to_owned();
        self.entry(key, written.age_max.as_ref(), json!(shown));
        self.config.retention = retention;
    }

    fn number<const MIN: u64, const MAX: u64, N: Copy + TryFrom<u64> + Serialize>(
        &mut self,
        key: &str,
        written: &Option<Spanned<Number<MIN, MAX>>>,
        used: &mut N,
    ) {
        // Within its limits it fits.
        if let Some(number) = written
            .as_ref()
            .and_then(|it| N::try_from(it.get_ref().0).ok())
        {
            *used = number;
        }
        self.entry(key.to_owned(), written.as_ref(), json!(*used));
    }

    fn time(&mut self, key: &str, written: &Option<Spanned<Time>>, used: &mut Duration) {
        if let Some(time) = written {
            *used = Duration::from_millis(time.get_ref().0);
        }
        let shown = match used.as_millis() {
            ms if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
            ms => format!("{ms}ms"),
        };
        self.entry(key.to_owned(), written.as_ref(), json!(shown));
    }

    fn mount(&mut self, name: &str, written: &Spanned<PathBuf>) -> Result<(), ConfigError> {
        let key = format!("mounts.{name}");
        let set = self.config.mounts.set(name, written.get_ref());
        set.map_err(|error| self.error(written, &key, error.to_string()))?;
        self.entry(key, Some(written), json!(written.get_ref()));
        Ok(())
    }

    fn profile(&mut self, name: &str, written: &Spanned<ProfileText>) -> Result<(), ConfigError> {
        let key = format!("profiles.{name}");
        let profile = written.get_ref();
        let wrong = |reason: String| self.error(written, &key, reason);
        check_name(name).map_err(wrong)?;
        if is_builtin(name) {
            let reason = "this name is that of a profile that ships with the program";
            return Err(self.error(written, &key, reason));
        }
        let instructions = self
            .instructions(profile)
            .map_err(|reason| self.error(written, &key, reason))?;
        self.config.profiles.set(ResolvedProfile {
            source: ProfileSource::Named,
            name: name.to_owned(),
            revision: profile.revision,
            description: profile.description.clone(),
            instructions,
            tools: Vec::new(),
        });
        self.entry(key, Some(written), json!(profile.description));
        Ok(())
    }

    fn instructions(&self, profile: &ProfileText) -> Result<String, String> {
        let text = match (&profile.instructions, &profile.instructions_file) {
            (Some(text), None) => text.clone(),
            (None, Some(file)) => {
                // Beside the configuration that names it.
                let file = self.path.parent().unwrap_or(Path::new("")).join(file);
                fs::read_to_string(&file)
                    .map_err(|error| format!("instructions_file {}: {error}", file.display()))?
            }
            (Some(_), Some(_)) => {
                return Err("it has `instructions` and `instructions_file`".to_owned());
            }
            (None, None) => {
                return Err("it has neither `instructions` nor `instructions_file`".to_owned());
            }
        };
        if text.len() > INSTRUCTIONS_BYTES_MAX {
            let length = text.len();
            return Err(format!(
                "the instructions have {length} bytes, more than {INSTRUCTIONS_BYTES_MAX}"
            ));
        }
        Ok(text.trim_end().to_owned())
    }

    fn backend(&mut self, name: &str, written: &Spanned<BackendText>) -> Result<(), ConfigError> {
        let key = format!("backends.{name}");
        check_name(name).map_err(|reason| self.error(written, &key, reason))?;
        if name == ExecFactory::NAME {
            let reason = "this name is that of the free command line";
            return Err(self.error(written, &key, reason));
        }
        let BackendText { kind, config } = written.get_ref();
        let Kind::Exec = kind;
        let exec = Arc::new(ExecFactory::new(ExecOptions::default()));
        let preset = PresetFactory::new(name, Value::Object(config.clone()), exec);
        let preset = preset.map_err(|error| self.error(written, &key, error.message))?;
        self.config.presets.push(Arc::new(preset));
        let argv = config.get("argv").cloned().unwrap_or_default();
        // Values of variables may be nobody's business.
        self.entry(key, Some(written), json!({ "kind": "exec", "argv": argv }));
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match name {
        "" => Err("it has no name".to_owned()),
        _ if name.len() > NAME_LEN_MAX => Err(format!("its name is longer than {NAME_LEN_MAX}")),
        _ if !name.chars().all(is_fit) => {
            Err("its name has more than letters, digits, `.`, `_` and `-`".to_owned())
        }
        _ => Ok(()),
    }
}
