//! An input's text, as it is named on the command line: itself, or `-` for standard input.

use std::io::{self, Read};

use worker_runtime_core::{Code, limits::Limits};

use crate::error::CliError;

/// The text that is meant.
///
/// # Errors
/// When standard input can't be read, is no UTF-8, or is longer than any Runtime takes.
pub(crate) fn read(text: &str) -> Result<String, CliError> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    // One byte more than is taken, so that too much is told from just enough.
    let bytes_max = Limits::default().input_bytes_max as u64;
    let mut bytes = Vec::new();
    let read = io::stdin()
        .lock()
        .take(bytes_max + 1)
        .read_to_end(&mut bytes);
    read.map_err(|error| {
        CliError::new(
            Code::StateIo,
            format!("standard input can't be read: {error}"),
        )
    })?;
    if bytes.len() as u64 > bytes_max {
        let message = format!("standard input has more than {bytes_max} bytes, which is the limit");
        return Err(CliError::new(Code::InputTooLarge, message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        CliError::new(
            Code::FieldInvalid,
            format!("standard input is no UTF-8 at byte {at}"),
        )
    })
}
