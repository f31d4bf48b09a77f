//! The `exec` backend in a real Runtime, with real commands.

mod confined;
mod lines;
mod lines_faults;
mod pressure;
mod quiet;
mod recorded;
mod restart;
mod simple;
mod support;

use libtest_mimic::Trial;

pub(crate) use support::{Host, options, shell};

pub(crate) fn trials() -> Vec<Trial> {
    [
        simple::trials(),
        quiet::trials(),
        lines::trials(),
        lines_faults::trials(),
        recorded::trials(),
        restart::trials(),
        pressure::trials(),
        confined::trials(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
