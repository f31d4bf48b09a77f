//! `version`.

use serde_json::json;

use crate::{error::Failure, exit::Exit, output::Printer};

pub(crate) fn run(printer: &mut Printer) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    if printer.format().is_json() {
        printer.json(&json!({ "name": "worker-runtime", "version": version }))?;
    } else {
        printer.line(format_args!("worker-runtime {version}"))?;
    }
    Ok(Exit::Done)
}
