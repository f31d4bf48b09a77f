//! Scope rules as they are asked for, and as they are held.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a rule allows. `Write` includes `Read`; only write against write conflicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// To look.
    Read,
    /// To change.
    Write,
}

/// One rule, as it is sent: a place below a mount.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ScopeRule {
    /// The operator's name for a place.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = crate::scope::MOUNT_NAME_MAX_BYTES), regex(pattern = crate::schema::MOUNT)))]
    pub mount: String,
    /// A path relative to it; empty for the mount itself.
    #[cfg_attr(feature = "schema", schemars(length(max = crate::scope::PATH_MAX_BYTES), regex(pattern = crate::schema::PATH)))]
    #[serde(default)]
    pub path: String,
    /// What is allowed or denied.
    pub permission: Permission,
    /// Whether everything below the target is covered, or only the target and its direct children.
    #[serde(default = "yes")]
    pub recursive: bool,
}

impl fmt::Display for ScopeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permission = match self.permission {
            Permission::Read => "read",
            Permission::Write => "write",
        };
        let depth = if self.recursive {
            ""
        } else {
            " (not below its children)"
        };
        write!(f, "{permission} {}:{}{depth}", self.mount, self.path)
    }
}

fn yes() -> bool {
    true
}

/// What a Worker asks to touch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// What it may touch.
    #[cfg_attr(feature = "schema", schemars(length(max = crate::scope::RULES_MAX)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<ScopeRule>,
    /// What it may not, although a rule of `allow` covers it.
    #[cfg_attr(feature = "schema", schemars(length(max = crate::scope::RULES_MAX)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<ScopeRule>,
}

impl Scope {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty()
    }
}

/// A rule that has entered: its target is absolute and normalised.
///
/// The target is for the store, the offline command and scope `admin`; the wire sees `mount` and
/// `path` (I11).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeldRule {
    /// The operator's name for the place.
    pub mount: String,
    /// The path relative to it, as it was asked for.
    pub path: String,
    /// The absolute, normalised path, in the one form that is compared: each name with a `/` before
    /// it, no `.`, `..`, symlink or trailing slash. So the root is the empty text, and a target is
    /// above another exactly when that one begins with it and a `/`.
    pub target: String,
    /// What is allowed or denied.
    pub permission: Permission,
    /// Whether everything below the target is covered, or only the target and its direct children.
    pub recursive: bool,
}

/// A scope that has entered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct HeldScope {
    /// What its holder may touch.
    pub allow: Vec<HeldRule>,
    /// What it may not.
    pub deny: Vec<HeldRule>,
}
