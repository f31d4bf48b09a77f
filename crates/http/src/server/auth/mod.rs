//! Who may ask what: access tokens with scopes, and the names and origins that are served.
//!
//! - `tokens`: the tokens there are, kept as digests
//! - `local`: the one of whoever may read the state directory
//! - `guard`: the checks before a handler

mod guard;
mod local;
mod tokens;

pub(super) use guard::{Access, Guarded, Takes, check_names, guard};
pub use tokens::{Tokens, TokensError};
