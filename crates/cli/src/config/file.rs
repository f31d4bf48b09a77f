//! What can be written in the configuration file, and nothing else: an unknown key is a mistake.
//!
//! `docs/configuration.md` is this file in prose; a test holds the two together.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};
use toml::Spanned;

use crate::timeout;

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FileText {
    pub(super) serve: ServeText,
    pub(super) limits: LimitsText,
    pub(super) retention: RetentionText,
    pub(super) mounts: BTreeMap<String, Spanned<PathBuf>>,
    pub(super) profiles: BTreeMap<String, Spanned<ProfileText>>,
    pub(super) backends: BTreeMap<String, Spanned<BackendText>>,
}

/// How the server serves.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ServeText {
    pub(super) bind: Option<Spanned<SocketAddr>>,
    pub(super) hosts: Option<Spanned<Vec<String>>>,
    pub(super) origins: Option<Spanned<Vec<String>>>,
    pub(super) connections_max: Option<Spanned<Number<1, 65_536>>>,
    pub(super) connections_reserved: Option<Spanned<Number<0, 1_024>>>,
    pub(super) waiting_max: Option<Spanned<Number<0, 65_536>>>,
    pub(super) waiting_per_token_max: Option<Spanned<Number<0, 65_536>>>,
    pub(super) headers_max: Option<Spanned<Number<16, 1_024>>>,
    pub(super) headers_bytes_max: Option<Spanned<Number<4_096, 1_048_576>>>,
    pub(super) target_bytes_max: Option<Spanned<Number<1_024, 16_384>>>,
    pub(super) body_bytes_max: Option<Spanned<Number<1_024, 67_108_864>>>,
    pub(super) header_read_max: Option<Spanned<Time>>,
    pub(super) body_read_max: Option<Spanned<Time>>,
    pub(super) send_max: Option<Spanned<Time>>,
    pub(super) stream_send_max: Option<Spanned<Time>>,
    pub(super) heartbeat_every: Option<Spanned<Time>>,
    pub(super) drain_max: Option<Spanned<Time>>,
}

/// What the Runtime takes at most.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LimitsText {
    pub(super) workers_max: Option<Spanned<Number<1, 1_000_000>>>,
    pub(super) input_bytes_max: Option<Spanned<Number<1, 4_194_304>>>,
    pub(super) inputs_unfinished_max: Option<Spanned<Number<1, 10_000>>>,
    pub(super) inputs_per_worker_max: Option<Spanned<Number<1, 1_000_000_000>>>,
    pub(super) processes_max: Option<Spanned<Number<1, 1_024>>>,
}

/// What a Worker can be told to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileText {
    pub(super) description: String,
    pub(super) instructions: Option<String>,
    pub(super) instructions_file: Option<PathBuf>,
    #[serde(default = "first")]
    pub(super) revision: u32,
}

const fn first() -> u32 {
    1
}

/// A backend that clients choose by name. Its other keys are for the backend to know.
#[derive(Debug, Deserialize)]
pub(super) struct BackendText {
    pub(super) kind: Kind,
    #[serde(flatten)]
    pub(super) config: Map<String, Value>,
}

/// The backends that can be given a name.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A command line: docs/exec-protocol.md.
    Exec,
}

/// What the store keeps at most.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RetentionText {
    pub(super) worker_bytes_max: Option<Spanned<Bytes>>,
    pub(super) runtime_bytes_max: Option<Spanned<Bytes>>,
    pub(super) log_bytes_max: Option<Spanned<Bytes>>,
    pub(super) age_max: Option<Spanned<Age>>,
}

/// How much a store may keep: less than the least would trim what was just written.
pub(super) type Bytes = Number<65_536, { 1 << 50 }>;

/// A time such as `30d`, in milliseconds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Age(pub(super) u64);

impl TryFrom<String> for Age {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let seconds = timeout::parse_seconds(&text)?;
        let ms = seconds.checked_mul(1_000);
        ms.map(Self).ok_or_else(|| format!("{text:?} is too long"))
    }
}

/// A number within limits.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u64")]
pub(super) struct Number<const MIN: u64, const MAX: u64>(pub(super) u64);

impl<const MIN: u64, const MAX: u64> TryFrom<u64> for Number<MIN, MAX> {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        match (MIN..=MAX).contains(&number) {
            true => Ok(Self(number)),
            false => Err(format!("{number} is not from {MIN} to {MAX}")),
        }
    }
}

/// A time such as `10s`, an hour at most, in milliseconds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Time(pub(super) u64);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match timeout::parse_ms(&text)? {
            ms if ms > 3_600_000 => Err(format!("{text:?} is longer than an hour")),
            ms => Ok(Self(ms)),
        }
    }
}
