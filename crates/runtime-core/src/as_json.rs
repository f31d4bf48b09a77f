//! A wire type inside a stored record.

use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, de::DeserializeOwned, ser};

/// Serialises as its value in JSON, and as one JSON text in the store's codec.
///
/// The codec of records is not self-describing; what clients send and see is tagged and grows. So
/// such a value is kept as the JSON it came as, and older records read with newer types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AsJson<T>(pub T);

impl<T> Deref for AsJson<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Serialize> Serialize for AsJson<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            self.0.serialize(serializer)
        } else {
            serializer.serialize_str(&serde_json::to_string(&self.0).map_err(ser::Error::custom)?)
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for AsJson<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            T::deserialize(deserializer).map(Self)
        } else {
            let text = String::deserialize(deserializer)?;
            serde_json::from_str(&text)
                .map(Self)
                .map_err(de::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests;
