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

/// The time in seconds, for what lies far ahead: days (`30d`) too.
///
/// # Errors
/// As [`parse_ms`], and when it is no whole seconds.
pub(crate) fn parse_seconds(text: &str) -> Result<u64, String> {
    let days = text.strip_suffix('d').map(str::parse::<u64>);
    if let Some(Ok(days)) = days {
        return match days.checked_mul(24 * 60 * 60) {
            Some(seconds) if seconds > 0 => Ok(seconds),
            _ => Err(format!("{text:?} is not a time that anything could take")),
        };
    }
    match parse_ms(text)? {
        ms if ms % 1_000 == 0 => Ok(ms / 1_000),
        _ => Err(format!("{text:?} is no whole seconds")),
    }
}

#[cfg(test)]
mod tests;
