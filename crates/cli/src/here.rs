//! The directory in which the command is started, as a mount, and those in which it was started
//! before: a Worker works where it was made, wherever its next input is sent from.
//!
//! The name of such a mount is the directory's own and a digest of its whole path, so it means the
//! same in every call, and no absolute path is on the wire (I11). The path itself is in the store: a
//! Worker that is made here holds a rule to read the mount's top, and what a rule stands for is kept
//! with it. Reading meets with nothing, so the rule is in nobody's way.

use std::path::{Path, PathBuf};

use worker_runtime_core::{
    Code, Digest, Mounts, Permission, ScopeError, ScopeRule, store::Loaded, worker::MountRef,
};

use crate::error::CliError;

/// The longest part of a directory's own name in a mount's.
const NAME_CHARS_MAX: usize = 24;

/// A directory that commands are started in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Here {
    path: PathBuf,
    mount: String,
    /// Where it is below the mount; empty at its top.
    below: String,
    /// Whether an operator's name stands for it, which needs no rule to be known by.
    configured: bool,
}

impl Here {
    /// The directory of this process.
    ///
    /// # Errors
    /// When it is gone or can't be named.
    pub(crate) fn current() -> Result<Self, CliError> {
        let current = std::env::current_dir().and_then(std::fs::canonicalize);
        let path = current.map_err(|error| {
            let message = format!("the directory in which this was started can't be used: {error}");
            CliError::new(Code::StateIo, message)
        })?;
        Ok(Self::of(path))
    }

    /// A directory by its own name. Whether anybody knows it by that is another question.
    pub(crate) fn of(path: PathBuf) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.chars().take(NAME_CHARS_MAX).map(|c| match c {
            c if c.is_ascii_alphanumeric() || "._-".contains(c) => c,
            _ => '_',
        });
        let name: String = name.collect();
        let name = if name.is_empty() { "root" } else { &name };
        let digest = Digest::of(path.as_os_str().as_encoded_bytes()).to_string();
        let digest: String = digest.chars().take(8).collect();
        Self {
            mount: format!("{name}-{digest}"),
            path,
            below: String::new(),
            configured: false,
        }
    }

    /// The same directory by the name that an operator gave it or one above it, the closest one; by
    /// its own where there is none. A server knows the operator's names.
    pub(crate) fn named_by(self, mounts: &Mounts) -> Self {
        let above = mounts.iter().filter_map(|(mount, top)| {
            let below = self.path.strip_prefix(top).ok()?.to_str()?;
            Some((mount.to_owned(), below.to_owned()))
        });
        match above.min_by_key(|(_, below)| below.len()) {
            None => self,
            Some((mount, below)) => Self {
                mount,
                below,
                configured: true,
                ..self
            },
        }
    }

    /// A place that somebody else gave a name to, for what is typed to be below it. What is typed in
    /// full is below no such place.
    pub(crate) fn elsewhere(self, mount: String, below: String) -> Self {
        Self {
            path: PathBuf::new(),
            mount,
            below,
            configured: true,
        }
    }

    #[cfg(test)]
    pub(crate) fn at(path: &str) -> Self {
        Self::of(PathBuf::from(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The mount's name.
    pub(crate) fn mount(&self) -> &str {
        &self.mount
    }

    /// Where a Worker that is made here works.
    pub(crate) fn workspace(&self) -> MountRef {
        MountRef {
            mount: self.mount.clone(),
            path: self.below.clone(),
        }
    }

    /// A path below this directory, as one below the mount.
    pub(crate) fn below(&self, path: &str) -> String {
        match (self.below.as_str(), path) {
            (below, "") => below.to_owned(),
            ("", path) => path.to_owned(),
            (below, path) => format!("{below}/{path}"),
        }
    }

    /// The rule by which the store knows what the mount's name stands for, where nothing else tells.
    pub(crate) fn anchor(&self) -> Option<ScopeRule> {
        (!self.configured).then(|| ScopeRule {
            mount: self.mount.clone(),
            path: String::new(),
            permission: Permission::Read,
            recursive: true,
        })
    }

    /// This directory, and each one that a Worker of the store was made in, or that a lease was taken in.
    ///
    /// # Errors
    /// When a path can't be a mount.
    pub(crate) fn mounts(&self, loaded: &Loaded) -> Result<Mounts, ScopeError> {
        let mut mounts = Mounts::default();
        let scopes = loaded
            .workers
            .iter()
            .filter_map(|worker| worker.scope.as_ref());
        let rules = scopes.flat_map(|scope| &scope.allow);
        for rule in rules.filter(|rule| rule.path.is_empty()) {
            // The root is kept as the empty text.
            let path = PathBuf::from(format!("{}/", rule.target));
            let known = Self::of(path.components().collect());
            // A name that somebody else gave is for somebody else to explain.
            if known.mount == rule.mount {
                mounts.set(known.mount, known.path)?;
            }
        }
        // A lease holds no rule for the top alone, but what it holds lies below that.
        let held = loaded.leases.iter().flat_map(|lease| &lease.scope.allow);
        for rule in held {
            let Some(top) = rule.target.strip_suffix(rule.path.as_str()) else {
                continue;
            };
            let known = Self::of(PathBuf::from(format!("{top}/")).components().collect());
            if known.mount == rule.mount {
                mounts.set(known.mount, known.path)?;
            }
        }
        mounts.set(self.mount.clone(), self.path.clone())?;
        Ok(mounts)
    }
}

#[cfg(test)]
mod tests;
