//! The operator's names for places, and how a scope enters: absolute and normalised.
//!
//! What enters has been looked up in the file system: symlinks are followed, `.` and `..` are gone,
//! and the target lies below its mount. So I6 can be decided by comparing texts (`overlap`). What
//! does not exist yet is taken as it is named, below its nearest existing parent.
//!
//! A scope is what it was when it entered. A symlink that is made later does not move it; to keep a
//! process inside is for whoever confines it. Names are compared byte by byte, as Linux file systems
//! do: where case is folded, two spellings of one place would be two places. Hard links and bind
//! mounts are not seen through.
//!
//! Called by whoever takes a request, on its own thread: this reads the file system, so the writer
//! only ever sees scopes that have entered. Errors name a rule as `mount:path` and never an
//! absolute path (I11).

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{HeldRule, HeldScope, Scope, ScopeRule};
use crate::{Code, view::Place};

/// The most rules of a scope, of `allow` and `deny` together.
pub const RULES_MAX: usize = 256;
/// The longest path of a rule, in bytes: what Linux takes.
pub const PATH_MAX_BYTES: usize = 4096;
/// The longest name of a mount, in bytes.
pub const MOUNT_NAME_MAX_BYTES: usize = 64;

/// Names for absolute paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mounts(BTreeMap<String, PathBuf>);

/// A mount or a rule that can't be taken. A rule is named as `mount:path`, cut to 256 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// No mount can have this name.
    #[error("{mount:?} is no name of a mount: {reason}")]
    MountName {
        /// The name.
        mount: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The mount's own path is no place.
    #[error("the path of mount {mount:?} is not taken: {reason}")]
    MountPath {
        /// The mount's name.
        mount: String,
        /// What is wrong with its path.
        reason: &'static str,
    },
    /// No mount has this name.
    #[error("rule {rule:?} names mount {mount:?}, which is not configured")]
    UnknownMount {
        /// The rule.
        rule: String,
        /// The name.
        mount: String,
    },
    /// The scope has more rules than are taken.
    #[error("the scope has {count} rules, more than {RULES_MAX}")]
    TooManyRules {
        /// How many.
        count: usize,
    },
    /// The path is too long.
    #[error("rule {rule:?} is longer than {PATH_MAX_BYTES} bytes")]
    TooLong {
        /// The rule.
        rule: String,
    },
    /// The path has a NUL or another control character.
    #[error("rule {rule:?} has a control character")]
    ControlCharacter {
        /// The rule.
        rule: String,
    },
    /// The path begins with `/`; a rule's path is relative to its mount.
    #[error("rule {rule:?} has an absolute path; it must be relative to its mount")]
    Absolute {
        /// The rule.
        rule: String,
    },
    /// A place that is named without a mount is named by its absolute path.
    #[error("{path:?} is no place: it must be an absolute path, or have a mount")]
    NoPlace {
        /// What was asked.
        path: String,
    },
    /// `..` leads out of the mount.
    #[error("rule {rule:?} leads out of its mount with \"..\"")]
    Escapes {
        /// The rule.
        rule: String,
    },
    /// A symlink on the way leads out of the mount.
    #[error("rule {rule:?} leads out of its mount through a symlink")]
    LinkEscapes {
        /// The rule.
        rule: String,
    },
    /// A symlink on the way points to nothing: whoever makes that place later decides where it is.
    #[error("rule {rule:?} has a symlink on its way that points to nothing")]
    LinkDangles {
        /// The rule.
        rule: String,
    },
    /// The file system can't tell what the rule stands for: a loop of symlinks, a file in the
    /// middle of the path, a name that is too long, a directory that may not be searched.
    #[error("rule {rule:?} can't be looked up: {kind}")]
    LookUp {
        /// The rule.
        rule: String,
        /// What the system answered.
        kind: io::ErrorKind,
    },
    /// The place has a name that is no UTF-8 or has a control character.
    #[error("rule {rule:?} stands for a place whose name is not plain UTF-8 text")]
    NotText {
        /// The rule.
        rule: String,
    },
}

impl ScopeError {
    /// The code of every error here.
    pub const fn code(&self) -> Code {
        Code::ScopeInvalid
    }
}

impl Mounts {
    /// Gives a name to an absolute path, in place of what had the name before. The path need not
    /// exist, and a symlink in it is followed each time a scope enters.
    ///
    /// # Errors
    /// [`ScopeError::MountName`] for an empty or long name or one with `:`, `/` or a control
    /// character, which would make `mount:path` ambiguous; [`ScopeError::MountPath`] for a path
    /// that is relative.
    pub fn set(
        &mut self,
        mount: impl Into<String>,
        path: impl Into<PathBuf>,
    ) -> Result<(), ScopeError> {
        let (mount, path) = (mount.into(), path.into());
        check_mount_name(&mount)?;
        if !path.is_absolute() {
            let reason = "it is not absolute";
            return Err(ScopeError::MountPath { mount, reason });
        }
        self.0.insert(mount, path);
        Ok(())
    }

    /// Every mount with its path, by name. The paths are for the operator only (I11).
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.0
            .iter()
            .map(|(mount, path)| (mount.as_str(), path.as_path()))
    }

    /// The absolute, normalised path that a path below a mount stands for now. It need not exist.
    ///
    /// # Errors
    /// As [`Mounts::enter`], of which this is the part for one rule.
    pub fn resolve(&self, mount: &str, path: &str) -> Result<PathBuf, ScopeError> {
        check_mount_name(mount)?;
        let rule = rule_name(mount, path);
        check_path(path, &rule)?;
        let Some(top) = self.0.get(mount) else {
            let mount = mount.to_owned();
            return Err(ScopeError::UnknownMount { rule, mount });
        };
        let top = top.to_str().ok_or_else(|| not_text(&rule))?;
        let top = look_up(Path::new("/"), top, &rule)?;
        look_up(&top, path, &rule)
    }

    /// The one form in which the place is compared: as [`HeldRule::target`].
    pub(crate) fn target(&self, mount: &str, path: &str) -> Result<String, ScopeError> {
        let resolved = self.resolve(mount, path)?;
        target(&resolved, &rule_name(mount, path))
    }

    /// The same of a place that is asked about.
    pub(crate) fn target_of(&self, place: &Place) -> Result<String, ScopeError> {
        match &place.mount {
            Some(mount) => self.target(mount, &place.path),
            None => absolute(&place.path),
        }
    }

    /// Takes a scope in: each rule gets its target.
    ///
    /// # Errors
    /// [`ScopeError`], which names the first rule that can't be taken and what is wrong with it.
    /// The scope enters whole or not at all.
    pub fn enter(&self, scope: &Scope) -> Result<HeldScope, ScopeError> {
        let count = scope.allow.len().saturating_add(scope.deny.len());
        if count > RULES_MAX {
            return Err(ScopeError::TooManyRules { count });
        }
        let enter = |rules: &[ScopeRule]| -> Result<Vec<HeldRule>, ScopeError> {
            rules.iter().map(|rule| self.enter_rule(rule)).collect()
        };
        Ok(HeldScope {
            allow: enter(&scope.allow)?,
            deny: enter(&scope.deny)?,
        })
    }

    fn enter_rule(&self, rule: &ScopeRule) -> Result<HeldRule, ScopeError> {
        let path = self.resolve(&rule.mount, &rule.path)?;
        Ok(HeldRule {
            mount: rule.mount.clone(),
            path: rule.path.clone(),
            target: target(&path, &rule_name(&rule.mount, &rule.path))?,
            permission: rule.permission,
            recursive: rule.recursive,
        })
    }
}

/// The target of an absolute path, which no mount stands for.
fn absolute(path: &str) -> Result<String, ScopeError> {
    let rule: String = path.chars().take(256).collect();
    let Some(below) = path.strip_prefix('/') else {
        return Err(ScopeError::NoPlace { path: rule });
    };
    let below = below.trim_start_matches('/');
    check_path(below, &rule)?;
    target(&look_up(Path::new("/"), below, &rule)?, &rule)
}

/// Walks from `top`, which is normalised, along `path` without leaving `top`.
///
/// The walk is physical: `..` goes to the parent of where a symlink led, as it does for a process.
fn look_up(top: &Path, path: &str, rule: &str) -> Result<PathBuf, ScopeError> {
    let rule = || rule.to_owned();
    let mut here = top.to_owned();
    for name in path.split('/').filter(|name| !matches!(*name, "" | ".")) {
        if name == ".." {
            if here != top {
                here.pop();
            } else if top.parent().is_some() {
                return Err(ScopeError::Escapes { rule: rule() });
            }
            continue;
        }
        here.push(name);
        match fs::symlink_metadata(&here) {
            Ok(found) if found.is_symlink() => here = follow(&here, rule)?,
            // What is not there has nothing below it either, so the rest is taken as named.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let kind = error.kind();
                return Err(ScopeError::LookUp { rule: rule(), kind });
            }
        }
        if !here.starts_with(top) {
            return Err(ScopeError::LinkEscapes { rule: rule() });
        }
    }
    Ok(here)
}

fn follow(link: &Path, rule: impl Fn() -> String) -> Result<PathBuf, ScopeError> {
    fs::canonicalize(link).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ScopeError::LinkDangles { rule: rule() },
        kind => ScopeError::LookUp { rule: rule(), kind },
    })
}

/// The one form in which targets are kept and compared; see [`HeldRule::target`].
fn target(path: &Path, rule: &str) -> Result<String, ScopeError> {
    let text = path.to_str().ok_or_else(|| not_text(rule))?;
    if text.chars().any(char::is_control) {
        return Err(not_text(rule));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn check_mount_name(mount: &str) -> Result<(), ScopeError> {
    let reason = if mount.is_empty() {
        "it is empty"
    } else if mount.len() > MOUNT_NAME_MAX_BYTES {
        "it is longer than 64 bytes"
    } else if mount.chars().any(char::is_control) {
        "it has a control character"
    } else if mount.contains([':', '/']) {
        "it has a colon or a slash"
    } else {
        return Ok(());
    };
    let mount = mount.chars().take(64).collect();
    Err(ScopeError::MountName { mount, reason })
}

fn check_path(path: &str, rule: &str) -> Result<(), ScopeError> {
    let rule = rule.to_owned();
    if path.len() > PATH_MAX_BYTES {
        Err(ScopeError::TooLong { rule })
    } else if path.chars().any(char::is_control) {
        Err(ScopeError::ControlCharacter { rule })
    } else if path.starts_with('/') {
        Err(ScopeError::Absolute { rule })
    } else {
        Ok(())
    }
}

fn rule_name(mount: &str, path: &str) -> String {
    format!("{mount}:{path}").chars().take(256).collect()
}

fn not_text(rule: &str) -> ScopeError {
    let rule = rule.to_owned();
    ScopeError::NotText { rule }
}

#[cfg(test)]
mod tests;
