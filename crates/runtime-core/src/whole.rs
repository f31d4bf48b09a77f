//! Whole numbers as JSON has them: `5` and `5.0` are one number there, and some languages write only
//! the second. Beyond 2^53 a float does not tell a number from its neighbour, and whoever writes one
//! does not either.
//!
//! Named by `deserialize_with` in what clients send.

use std::fmt;

use serde::{Deserializer, de};

/// The first float beyond `u64`.
const END: f64 = 18_446_744_073_709_551_616.0;

/// A whole number, or nothing.
///
/// # Errors
/// What is negative, broken, or too large.
pub fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    deserializer.deserialize_any(Optional)
}

/// A whole number.
///
/// # Errors
/// What is negative, broken, too large, or nothing.
pub fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = optional(deserializer)?;
    number.ok_or_else(|| de::Error::invalid_type(de::Unexpected::Unit, &Optional))
}

struct Optional;

impl de::Visitor<'_> for Optional {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number that is not negative")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        if number.fract() == 0.0 && (0.0..END).contains(&number) {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it was just checked"
            )]
            return Ok(Some(number as u64));
        }
        Err(E::invalid_value(de::Unexpected::Float(number), &self))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
