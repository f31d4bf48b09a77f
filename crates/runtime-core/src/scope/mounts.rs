//! The operator's names for places, and how a rule enters: absolute and normalised.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{HeldScope, Scope, ScopeRule};

/// Names for absolute paths.
#[derive(Debug, Clone, Default)]
pub struct Mounts(BTreeMap<String, PathBuf>);

/// A rule that can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// No mount has this name.
    #[error("rule {rule:?} names mount {mount:?}, which is not configured")]
    UnknownMount {
        /// The rule, as `mount:path`.
        rule: String,
        /// The name.
        mount: String,
    },
}
