//! The token of whoever may read the state directory: it may do everything, so the file that holds it is
//! taken only as a server makes it. Called by the server when it starts, and by a client on its machine.
//!
//! A file that others may read is refused, as ssh refuses such a key: whoever read it keeps it, so only a
//! new one helps. One that holds something else is refused too: a short word that somebody wrote into it
//! would be the password to everything.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::tokens::TokensError;

/// The file, in the state directory.
const FILE: &str = "access-token";
/// What nobody but its owner may do with it.
const MODE_OF_OTHERS: u32 = 0o077;
/// How a token begins, and how many hexadecimal digits follow.
pub(super) const PREFIX: &str = "wr_";
const DIGITS: usize = 64;
/// The most that is read: a token, and what an editor may put behind it.
const BYTES_MAX: u64 = 128;

/// The token, and since when it has been there.
pub(super) struct Local {
    pub(super) secret: String,
    pub(super) since: SystemTime,
}

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// The token of a state directory; `None` where no server made one yet.
///
/// # Errors
/// [`TokensError`] when it can't be read, others may read it too, or it is not what a server makes.
pub(super) fn read(dir: &Path) -> Result<Option<Local>, TokensError> {
    let path = path(dir);
    let failed = |path, source| TokensError::Io {
        action: "read",
        path,
        source,
    };
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, error)),
    };
    // Of the very file that is read.
    let found = match file.metadata() {
        Ok(found) => found,
        Err(error) => return Err(failed(path, error)),
    };
    let mode = found.permissions().mode() & 0o777;
    if mode & MODE_OF_OTHERS != 0 {
        return Err(TokensError::OpenToOthers { path, mode });
    }
    let mut bytes = Vec::new();
    let read = Read::by_ref(&mut file)
        .take(BYTES_MAX)
        .read_to_end(&mut bytes);
    let since = match read.and_then(|_| found.modified()) {
        Ok(since) => since,
        Err(error) => return Err(failed(path, error)),
    };
    let text = String::from_utf8(bytes).unwrap_or_default();
    match text.trim() {
        secret if is_minted(secret) => Ok(Some(Local {
            secret: secret.to_owned(),
            since,
        })),
        _ => Err(TokensError::NotLocal { path }),
    }
}

fn is_minted(text: &str) -> bool {
    let digits = text.strip_prefix(PREFIX).unwrap_or_default();
    digits.len() == DIGITS && digits.chars().all(|digit| digit.is_ascii_hexdigit())
}
