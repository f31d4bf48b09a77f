//! What is printed, and where: stdout is data, stderr is words.
//!
//! # Layout
//! - `printer`: the one way to stdout and stderr
//! - `table`, `time`: how data looks for people
//! - `summary`: an event in a line
//! - `plain`: text of others, made harmless for a terminal

mod plain;
mod printer;
pub(crate) mod summary;
mod table;
mod time;

pub(crate) use plain::{one_line, shown};
pub(crate) use printer::{Printer, write_data, write_words};
pub(crate) use table::Table;
pub(crate) use time::{TimePrinter, duration_text};
