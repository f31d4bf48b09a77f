//! What the Runtime is measured beside: the disk itself, and a store that everybody has.

pub mod raw;
pub mod sqlite;
