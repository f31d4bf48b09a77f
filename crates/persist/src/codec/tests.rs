//! Tests of the record codec and of the seal.

#![allow(clippy::unwrap_used, reason = "tests")]

mod seal;
mod wincode;
