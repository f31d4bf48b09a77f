//! How long something may take, as it is typed: `30s`, `5m`, `1h 30m`.

use jiff::SignedDuration;

/// The time in milliseconds.
///
/// # Errors
/// When the text is no length of time, or none that lies ahead.
pub(crate) fn parse_ms(text: &str) -> Result<u64, String> {
    let duration: SignedDuration = text
        .parse()
        .map_err(|_| format!("{text:?} is no length of time, such as 30s or 5m"))?;
    match u64::try_from(duration.as_millis()) {
        Ok(ms) if ms > 0 => Ok(ms),
        _ => Err(format!("{text:?} is not a time that anything could take")),
    }
}

#[cfg(test)]
mod tests;
