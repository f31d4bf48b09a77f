//! A field that was added behind the last one of a stored record: `#[serde(with = "crate::trailing")]`.
//!
//! The codec of records is not self-describing, so a record can't skip what it lacks. But the end of a
//! record is known: where nothing follows, such a field is `None`, and `None` is written as nothing. So
//! what was stored before there was the field is read, and an older program reads what does not use it.
//! It must be the very last thing of the whole record. Used by the records (`crate::record`), and by what a
//! store keeps of its own with the same codec.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Visitor},
};

/// What stands before a value that is there.
const IS_THERE: u8 = 1;

/// Writes what is there.
///
/// # Errors
/// The serializer's.
pub fn serialize<T: Serialize, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        value if serializer.is_human_readable() => value.serialize(serializer),
        Some(value) => (IS_THERE, value).serialize(serializer),
        None => serializer.serialize_unit(),
    }
}

/// Reads what is there, if anything is.
///
/// # Errors
/// The deserializer's.
pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    if deserializer.is_human_readable() {
        return Option::deserialize(deserializer);
    }
    deserializer.deserialize_tuple(2, Trailing(PhantomData))
}

struct Trailing<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Trailing<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, or the end of the record")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        // Any byte is a number: that there is none means that the record ends here.
        let Ok(Some(mark)) = fields.next_element::<u8>() else {
            return Ok(None);
        };
        if mark != IS_THERE {
            let detail = format!("{mark} does not say that a field follows");
            return Err(A::Error::custom(detail));
        }
        fields.next_element()
    }
}

#[cfg(test)]
mod tests;
