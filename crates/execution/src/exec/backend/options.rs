//! What the embedder decides for all commands, and every limit of the backend (I9).

use std::{collections::BTreeMap, env, ffi::OsString, path::PathBuf, time::Duration};

use super::super::{LANDLOCK_VERSION, Shim};

/// Where the variables come from that a configuration lets through by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HostEnvironment {
    /// This process, as it is when a command starts.
    #[default]
    Process,
    /// These, whatever this process has.
    Fixed(BTreeMap<String, OsString>),
}

impl HostEnvironment {
    pub(super) fn get(&self, name: &str) -> Option<OsString> {
        match self {
            Self::Process => env::var_os(name),
            Self::Fixed(variables) => variables.get(name).cloned(),
        }
    }
}

/// How commands are started, ended and bounded. The default fits most hosts.
#[derive(Debug, Clone)]
pub struct ExecOptions {
    /// What sits above each command and ends all that it started.
    pub shim: Shim,
    /// Where variables that are let through by name come from.
    pub environment: HostEnvironment,
    /// Which are let through when a configuration does not say.
    pub env_allow: Vec<String>,
    /// Where commands run whose Worker has no workspace. An absolute path.
    pub directory: PathBuf,
    /// Below which a command that is confined has a directory of its own, as its `TMPDIR`. An absolute
    /// path.
    pub temporary: PathBuf,
    /// The newest version of Landlock that is used, to see what a command meets on an older kernel:
    /// 0 is one without.
    pub landlock_version_max: u32,
    /// How long a command may take to end after TERM, when a configuration does not say.
    pub term_grace: Duration,
    /// How long a command in lines mode may take to end a run that it was asked to cancel, before
    /// its process is ended; also to end by itself at a shutdown.
    pub cancel_grace: Duration,
    /// How long what a command left behind may take to end after TERM.
    pub leftover_grace: Duration,
    /// How long the shim may take to answer.
    pub ready_within: Duration,
    /// How long a command in lines mode may take to say hello.
    pub hello_within: Duration,
    /// How long one attempt to prove processes dead may take.
    pub prove_within: Duration,
    /// Output in one block, in bytes; what is more goes on in the next one.
    pub block_bytes_max: usize,
    /// What is kept of a run's standard error: its end, in bytes.
    pub stderr_bytes_max: usize,
    /// The longest line of a command in lines mode, in bytes.
    pub line_bytes_max: usize,
    /// Lines that wait for a command that does not read them.
    pub lines_waiting_max: usize,
}

impl Default for ExecOptions {
    fn default() -> Self {
        let env_allow = ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER"];
        Self {
            shim: Shim::Detect,
            environment: HostEnvironment::Process,
            env_allow: env_allow.map(str::to_owned).to_vec(),
            directory: env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            temporary: env::temp_dir(),
            landlock_version_max: LANDLOCK_VERSION,
            term_grace: Duration::from_secs(5),
            cancel_grace: Duration::from_secs(5),
            leftover_grace: Duration::from_secs(1),
            ready_within: Duration::from_secs(10),
            hello_within: Duration::from_secs(10),
            prove_within: Duration::from_secs(10),
            block_bytes_max: 256 << 10,
            stderr_bytes_max: 64 << 10,
            line_bytes_max: 1 << 20,
            lines_waiting_max: 256,
        }
    }
}
