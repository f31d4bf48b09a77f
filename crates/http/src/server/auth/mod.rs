//! Who may ask what: access tokens with scopes, and the names and origins that are served.
//!
//! - `tokens`: the tokens there are, kept as digests
//! - `guard`: the checks before a handler

mod guard;
mod tokens;

pub(super) use guard::{Access, Guarded, Takes, check_names, guard};
pub use tokens::{Tokens, TokensError};
