//! The access token of a call: a secret, so it comes from a file or the environment, never from an
//! argument, and is in no message.
//!
//! The one of a state directory may do everything, and is read as the server itself reads it.

use std::{fs, io, path::Path};

use worker_runtime_core::Code;
use worker_runtime_http::server::{Tokens, TokensError};

use crate::{args::Global, error::CliError, suggest::Suggestion};

/// Where the access token is when no file is named.
const VARIABLE: &str = "WORKER_RUNTIME_TOKEN";
/// The longest file of a token that is read.
const BYTES_MAX: usize = 4096;

/// The token that the user has for a server that was named. Without one it is asked all the same, and
/// says itself that it wants one.
///
/// # Errors
/// When what was named holds none.
pub(super) fn of_user(global: &Global) -> Result<Option<String>, CliError> {
    if let Some(file) = &global.token_file {
        return of_file(file).map(Some);
    }
    match std::env::var(VARIABLE) {
        Ok(token) if token.trim().is_empty() => Ok(None),
        Ok(token) => Ok(Some(token)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            let message = format!("{VARIABLE} holds no access token: it is no plain text");
            Err(CliError::new(Code::TokenInvalid, message).hint(Suggestion::with_token_file()))
        }
    }
}

/// The token in a file that the user named. Who may read it is the user's business: what mounts secrets
/// has modes of its own.
///
/// # Errors
/// When it can't be read, or holds none.
pub(super) fn of_file(file: &Path) -> Result<String, CliError> {
    let text = fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    let token = text.trim();
    if token.is_empty() || token.len() > BYTES_MAX || token.contains(char::is_whitespace) {
        let message = format!("{} holds no access token", file.display());
        return Err(CliError::new(Code::TokenInvalid, message).hint(Suggestion::directory(file)));
    }
    Ok(token.to_owned())
}

/// The token that a server made for a state directory.
///
/// # Errors
/// When it can't be read, others may read it too, or it is not what a server makes.
pub(super) fn of_state(path: &Path) -> Result<String, CliError> {
    match Tokens::local_secret(path) {
        Ok(Some(token)) => Ok(token),
        Ok(None) => Err(unreadable(
            &Tokens::local_file(path),
            &io::ErrorKind::NotFound.into(),
        )),
        Err(TokensError::Io { path, source, .. }) => Err(unreadable(&path, &source)),
        Err(error) => Err(error.into()),
    }
}

fn unreadable(file: &Path, error: &io::Error) -> CliError {
    let code = match error.kind() {
        io::ErrorKind::PermissionDenied => Code::StateDenied,
        io::ErrorKind::InvalidData => Code::TokenInvalid,
        _ => Code::TokenMissing,
    };
    let message = format!(
        "the access token in {} can't be read: {error}",
        file.display()
    );
    CliError::new(code, message).hint(Suggestion::directory(file))
}
