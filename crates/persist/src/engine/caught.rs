//! Panics of the engine, held: redb can panic on a damaged file.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
};

thread_local! {
    static HOLDING: Cell<bool> = const { Cell::new(false) };
}

/// Whether the store would hold a panic of this thread and tell it as an error.
///
/// A program's panic hook asks it, so that a damaged file is one error message on its terminal and not a
/// backtrace before it. Without such a hook the standard one prints each panic that is held.
#[must_use]
pub fn holds_panics() -> bool {
    HOLDING.get()
}

/// Calls the engine; a panic of it is an error, which says where it came from.
pub(crate) fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    let outer = HOLDING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    HOLDING.set(outer);
    result.map_err(|panic| text(panic.as_ref()))
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!(
        "the engine stopped at what it read: {}",
        text.unwrap_or("no reason was given")
    )
}

#[cfg(test)]
mod tests;
