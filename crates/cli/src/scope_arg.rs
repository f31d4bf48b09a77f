//! What a Worker may touch, as it is typed: `write:PATH`, `read:PATH:direct`. Paths are below the
//! directory in which the command is started.

use std::path::Path;

use worker_runtime_core::{Code, Permission, Scope, ScopeRule};

use crate::{error::CliError, here::Here, suggest::Suggestion};

/// The scope of these rules, with the one that tells where `here` is.
///
/// # Errors
/// When a rule has another form. Whether its place can be taken is for the core to say.
pub(crate) fn scope(allow: &[String], deny: &[String], here: &Here) -> Result<Scope, CliError> {
    let mut allow = rules(allow, here)?;
    // It may have been typed.
    let anchor = here.anchor().filter(|anchor| !allow.contains(anchor));
    allow.extend(anchor);
    Ok(Scope {
        allow,
        deny: rules(deny, here)?,
    })
}

/// What may be handed on by these rules.
///
/// # Errors
/// As [`scope`].
pub(crate) fn delegation(allow: &[String], here: &Here) -> Result<Scope, CliError> {
    Ok(Scope {
        allow: rules(allow, here)?,
        deny: Vec::new(),
    })
}

fn rules(texts: &[String], here: &Here) -> Result<Vec<ScopeRule>, CliError> {
    texts.iter().map(|text| rule(text, here)).collect()
}

fn rule(text: &str, here: &Here) -> Result<ScopeRule, CliError> {
    let (permission, path) = match text.split_once(':') {
        Some(("write", path)) => (Permission::Write, path),
        Some(("read", path)) => (Permission::Read, path),
        _ => {
            let message = format!(
                "{text:?} is no rule: it must be read:PATH or write:PATH, such as write:src"
            );
            return Err(CliError::new(Code::ScopeInvalid, message)
                .hint(Suggestion::help(&["worker", "create"])));
        }
    };
    let (path, recursive) = match path.strip_suffix(":direct") {
        Some(path) => (path, false),
        None => (path, true),
    };
    // What is below the directory may be typed in full; anything else the core refuses by name.
    let below = Path::new(path).strip_prefix(here.path()).ok();
    let path = below.and_then(Path::to_str).unwrap_or(path);
    Ok(ScopeRule {
        mount: here.mount().to_owned(),
        path: here.below(if path == "." { "" } else { path }),
        permission,
        recursive,
    })
}

#[cfg(test)]
mod tests;
