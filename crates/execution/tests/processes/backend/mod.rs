//! The `exec` backend in a real Runtime, with real commands.

mod lines;
mod lines_faults;
mod quiet;
mod recorded;
mod simple;
mod support;

use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    [
        simple::trials(),
        quiet::trials(),
        lines::trials(),
        lines_faults::trials(),
        recorded::trials(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
