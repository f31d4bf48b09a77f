//! The access tokens of one Runtime.
//!
//! One is minted into the state directory (`access-token`, mode 0600), so that whoever may read
//! that may do everything, and nobody else anything. Further ones are made by an operator; of those
//! only SHA-256 digests are kept (`access-tokens.json`). A secret has 256 random bits, so a digest
//! without salt or stretching gives nothing away.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tempfile::NamedTempFile;
use tokio::sync::watch;
use worker_runtime_core::{Clock, Entropy, Timestamp};

use super::local::{self, Local};
use crate::wire::{AccessScope, CreateToken, TokenCreated, TokenView};

/// The file that holds the digests of the others.
const OTHERS_FILE: &str = "access-tokens.json";
/// The id of the token of whoever may read the state directory.
const LOCAL_ID: &str = "local";
/// How many there may be.
const TOKENS_MAX: usize = 1_000;

/// Why the tokens can't be read, kept or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// A file can't be read or written.
    #[error("can't {action} {}: {source}", .path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{} holds no access tokens: {reason}; move it away and make new ones", .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Others may read or change the file of the token that may do everything.
    #[error("{} can be read or changed by other users (mode {mode:04o}), and whoever has it may do everything: it is not used. Close it to them; if one of them may have read it, remove the file while no server runs, and the next one makes a new one", .path.display())]
    OpenToOthers {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file of the token that may do everything holds something else.
    #[error("{} holds no access token of a state directory; move the file away while no server runs, and the next one makes a new one", .path.display())]
    NotLocal {
        /// Which file.
        path: PathBuf,
    },
    /// A name that can't be taken.
    #[error("name: {0}")]
    Name(&'static str),
    /// An expiry that can't be taken.
    #[error("expires_in_seconds: {0}")]
    Expiry(&'static str),
    /// There are as many as there may be.
    #[error("there are {TOKENS_MAX} access tokens already, which is the limit")]
    TooMany,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    view: TokenView,
    sha256: String,
}

/// The access tokens there are.
pub struct Tokens {
    /// Where they are kept; `None` for ones that live as long as the process.
    dir: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    entries: RwLock<Vec<Entry>>,
    /// Told of every change, so that who waits looks again whether it still may.
    changed: watch::Sender<u64>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// A token that is good.
#[derive(Debug, Clone)]
pub(in crate::server) struct Good {
    pub(in crate::server) token_id: String,
    pub(in crate::server) name: String,
    pub(in crate::server) scope: AccessScope,
    pub(in crate::server) expires_at: Option<Timestamp>,
}

impl Tokens {
    /// The tokens of a state directory; the local one is minted when it is missing.
    ///
    /// # Errors
    /// [`TokensError`] when a file can't be read, or the minted one can't be kept.
    pub fn open(
        dir: &Path,
        clock: Arc<dyn Clock>,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, TokensError> {
        let mut entries = vec![read_or_mint(dir, entropy)?];
        entries.extend(read_others(&dir.join(OTHERS_FILE))?);
        Ok(Self {
            dir: Some(dir.to_owned()),
            clock,
            entries: RwLock::new(entries),
            changed: watch::Sender::new(0),
        })
    }

    /// The tokens of a state directory, without their secrets and without changing anything; the local
    /// one is there once a server was.
    ///
    /// # Errors
    /// [`TokensError`] when a file can't be read.
    pub fn kept(dir: &Path) -> Result<Vec<TokenView>, TokensError> {
        let local = read_local(dir)?;
        let others = read_others(&dir.join(OTHERS_FILE))?;
        let entries = local.into_iter().chain(others);
        Ok(entries.map(|entry| entry.view).collect())
    }

    /// No tokens yet, and none of them kept: for a host that makes its own.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Self {
        Self {
            dir: None,
            clock,
            entries: RwLock::default(),
            changed: watch::Sender::new(0),
        }
    }

    /// Where a client on this machine finds its token.
    pub fn local_file(dir: &Path) -> PathBuf {
        local::path(dir)
    }

    /// The token of whoever may read a state directory, for a client on its machine; `None` where no
    /// server made one yet.
    ///
    /// # Errors
    /// [`TokensError`] when it can't be read, others may read it too, or it is not what a server makes.
    pub fn local_secret(dir: &Path) -> Result<Option<String>, TokensError> {
        Ok(local::read(dir)?.map(|local| local.secret))
    }

    /// Makes a token. Its secret is told this once.
    ///
    /// # Errors
    /// [`TokensError`].
    ///
    /// # Durability
    /// Kept when it returns `Ok`, where tokens are kept.
    pub fn create(
        &self,
        request: &CreateToken,
        entropy: &mut dyn Entropy,
    ) -> Result<TokenCreated, TokensError> {
        check_name(&request.name)?;
        let now = self.clock.now();
        let expires_at = match request.expires_in_seconds {
            None => None,
            Some(0) => return Err(TokensError::Expiry("it must be at least 1")),
            Some(seconds) if seconds > CreateToken::EXPIRES_IN_SECONDS_MAX => {
                return Err(TokensError::Expiry("it must be at most ten years"));
            }
            Some(seconds) => Some(now.plus(Duration::from_secs(seconds))),
        };
        let mut id = [0; 6];
        entropy.fill(&mut id);
        let (token, sha256) = mint(entropy);
        let view = TokenView {
            token_id: hex(&id),
            name: request.name.clone(),
            scope: request.scope,
            created_at: now,
            expires_at,
        };
        let mut entries = self.write();
        if entries.len() >= TOKENS_MAX {
            return Err(TokensError::TooMany);
        }
        let mut next = entries.clone();
        next.push(Entry {
            view: view.clone(),
            sha256,
        });
        self.keep(&next)?;
        *entries = next;
        Ok(TokenCreated { token, view })
    }

    /// Every token, without its secret.
    pub fn list(&self) -> Vec<TokenView> {
        self.read().iter().map(|entry| entry.view.clone()).collect()
    }

    /// Ends a token; whether there was one. The local one is ended by removing its file while
    /// nobody serves.
    ///
    /// # Errors
    /// [`TokensError`] when that can't be kept; the token is good then.
    ///
    /// # Durability
    /// As [`create`](Self::create).
    pub fn revoke(&self, token_id: &str) -> Result<bool, TokensError> {
        let mut entries = self.write();
        let left: Vec<Entry> = entries
            .iter()
            .filter(|entry| entry.view.token_id != token_id || token_id == LOCAL_ID)
            .cloned()
            .collect();
        if left.len() == entries.len() {
            return Ok(false);
        }
        self.keep(&left)?;
        *entries = left;
        drop(entries);
        self.changed
            .send_modify(|count| *count = count.wrapping_add(1));
        Ok(true)
    }

    /// What a presented token allows, if it is good. Takes as long for each that is not.
    pub(in crate::server) fn check(&self, presented: &str) -> Option<Good> {
        let sha256 = digest(presented);
        let now = self.clock.now();
        let mut found = None;
        for entry in self.read().iter() {
            let is_it = entry.sha256.as_bytes().ct_eq(sha256.as_bytes());
            if bool::from(is_it) {
                found = Some(Good {
                    token_id: entry.view.token_id.clone(),
                    name: entry.view.name.clone(),
                    scope: entry.view.scope,
                    expires_at: entry.view.expires_at,
                });
            }
        }
        found.filter(|good| good.expires_at.is_none_or(|at| now < at))
    }

    /// Whether a token that was good still is.
    pub(in crate::server) fn is_good(&self, good: &Good) -> bool {
        let is_there = self
            .read()
            .iter()
            .any(|entry| entry.view.token_id == good.token_id);
        let now = self.clock.now();
        is_there && good.expires_at.is_none_or(|at| now < at)
    }

    /// Tells of every token that is revoked.
    pub(in crate::server) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn keep(&self, entries: &[Entry]) -> Result<(), TokensError> {
        let Some(dir) = &self.dir else {
            return Ok(());
        };
        let others: Vec<&Entry> = entries
            .iter()
            .filter(|entry| entry.view.token_id != LOCAL_ID)
            .collect();
        let path = dir.join(OTHERS_FILE);
        let text = serde_json::to_vec_pretty(&others).map_err(|error| TokensError::Unreadable {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        replace(dir, &path, &text)
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Entry>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token of whoever operates this machine: read, or minted.
fn read_or_mint(dir: &Path, entropy: &mut dyn Entropy) -> Result<Entry, TokensError> {
    if let Some(entry) = read_local(dir)? {
        return Ok(entry);
    }
    let path = local::path(dir);
    replace(dir, &path, format!("{}\n", mint(entropy).0).as_bytes())?;
    read_local(dir)?.ok_or_else(|| TokensError::Unreadable {
        path,
        reason: "it is gone as soon as it is made".to_owned(),
    })
}

fn read_local(dir: &Path) -> Result<Option<Entry>, TokensError> {
    let found = local::read(dir)?;
    Ok(found.map(|Local { secret, since }| Entry {
        view: TokenView {
            token_id: LOCAL_ID.to_owned(),
            name: "whoever may read the state directory".to_owned(),
            scope: AccessScope::Admin,
            created_at: timestamp_of(since),
            expires_at: None,
        },
        sha256: digest(&secret),
    }))
}

fn timestamp_of(time: SystemTime) -> Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let ms = since.unwrap_or_default().as_millis();
    Timestamp::from_unix_ms(u64::try_from(ms).unwrap_or_default())
}

fn read_others(path: &Path) -> Result<Vec<Entry>, TokensError> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| TokensError::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(TokensError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        }),
    }
}

/// Writes a file whole, readable by its owner alone.
fn replace(dir: &Path, path: &Path, bytes: &[u8]) -> Result<(), TokensError> {
    let failed = |source| TokensError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    };
    // Made with mode 0600, and where a store cleans up what an interrupted writer left.
    let aside = dir.join("tmp");
    let aside = if aside.is_dir() { &aside } else { dir };
    let mut file = NamedTempFile::new_in(aside).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn mint(entropy: &mut dyn Entropy) -> (String, String) {
    let mut secret = [0; 32];
    entropy.fill(&mut secret);
    let token = format!("{}{}", local::PREFIX, hex(&secret));
    let sha256 = digest(&token);
    (token, sha256)
}

fn digest(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn check_name(name: &str) -> Result<(), TokensError> {
    if name.is_empty() {
        Err(TokensError::Name("it is empty"))
    } else if name.chars().count() > CreateToken::NAME_CHARS_MAX {
        Err(TokensError::Name("it is longer than 64 characters"))
    } else if name.chars().any(char::is_control) {
        Err(TokensError::Name("it has a control character"))
    } else {
        Ok(())
    }
}
