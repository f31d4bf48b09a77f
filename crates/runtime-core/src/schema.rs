//! JSON Schemas of the types that are written as text: ids, cursors, times, codes.
//!
//! Schemas of all other types are derived beside the types. Called by whoever documents an interface
//! that speaks them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::{
    ActionId, AsJson, BlockId, Code, Cursor, EventType, InputId, LeaseId, RunId, RuntimeId,
    Timestamp, WorkerId,
    input::Segment,
    limits::{LABELS_MAX, TEXT_BYTES_MAX},
};

/// A line of text that is not blank: what is checked of names. Regular expressions of different
/// languages mean different characters by `\\s`, so those of Unicode are spelled out.
pub(crate) const LINE: &str = concat!(
    "^[^\\u0000-\\u001f\\u007f-\\u009f]*",
    "[^\\u0000-\\u0020\\u007f-\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]",
    "[^\\u0000-\\u001f\\u007f-\\u009f]*$",
);
/// A text that is not blank.
pub(crate) const SAID: &str = concat!(
    "[^\\u0009-\\u000d\\u0020\\u0085\\u00a0\\u1680\\u2000-\\u200a",
    "\\u2028\\u2029\\u202f\\u205f\\u3000]",
);
/// A text without control characters, which may be empty.
pub(crate) const PLAIN: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";
/// The name of a mount.
pub(crate) const MOUNT: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f:/]+$";
/// A path below a mount; one that leads out of it by `..` is refused, which needs a look at the disk.
pub(crate) const PATH: &str =
    "^([^\\u0000-\\u001f\\u007f-\\u009f/][^\\u0000-\\u001f\\u007f-\\u009f]*)?$";

macro_rules! schemas {
    ($($type:ident: $schema:tt;)*) => {
        $(impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        })*
    };
}

schemas! {
    RuntimeId: {
        "type": "string", "format": "uuid", "not": { "const": "00000000-0000-0000-0000-000000000000" },
        "description": "The Runtime"
    };
    WorkerId: {
        "type": "string", "format": "uuid", "not": { "const": "00000000-0000-0000-0000-000000000000" },
        "description": "A Worker inside one Runtime"
    };
    RunId: {
        "type": "string", "format": "uuid", "not": { "const": "00000000-0000-0000-0000-000000000000" },
        "description": "One execution of one input"
    };
    LeaseId: {
        "type": "string", "format": "uuid", "not": { "const": "00000000-0000-0000-0000-000000000000" },
        "description": "What an outside holder holds for a time"
    };
    InputId: {
        "type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$",
        "description": "The caller's idempotency key: 1 to 256 bytes without control characters"
    };
    ActionId: {
        "type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$",
        "description": "What a run waits for, named by the execution backend"
    };
    BlockId: {
        "type": "string", "pattern": "^[0-9]+\\.[0-9]+$",
        "description": "A block of output: its run's generation and its index"
    };
    Cursor: {
        "type": "string", "pattern": "^c1[0-9a-f]{48}$",
        "description": "After this position, in one stream. Opaque"
    };
    Timestamp: { "type": "string", "format": "date-time", "description": "A moment, RFC 3339" };
    Code: {
        "type": "string", "pattern": "^WR-[A-Z]+(-[A-Z]+)*$",
        "description": "The stable code of an error"
    };
    EventType: { "type": "string", "minLength": 1, "description": "A dotted word" };
    Segment: {
        "type": "object", "required": ["type"],
        "properties": { "type": { "type": "string" } },
        "oneOf": [
            {
                "properties": { "type": { "const": "text" }, "text": { "type": "string" } },
                "required": ["text"]
            },
            {
                "properties": {
                    "type": { "const": "image" },
                    "media_type": { "type": "string" },
                    "data": { "type": "string" }
                },
                "required": ["media_type", "data"]
            },
            {
                "properties": {
                    "type": { "const": "resource" },
                    "uri": { "type": "string" },
                    "text": { "type": ["string", "null"] }
                },
                "required": ["uri"]
            },
            { "properties": { "type": { "not": { "enum": ["text", "image", "resource"] } } } }
        ],
        "description": "A part of an input; kinds that this version doesn't know are kept as they came"
    };
}

/// Labels, as a Worker is made with them.
pub(crate) fn labels(_: &mut SchemaGenerator) -> Schema {
    labels_of(&json!("string"))
}

/// Labels to set and, with `null`, to remove.
pub(crate) fn label_changes(_: &mut SchemaGenerator) -> Schema {
    labels_of(&json!(["string", "null"]))
}

fn labels_of(value: &Value) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": LABELS_MAX,
        "propertyNames": { "type": "string", "minLength": 1, "maxLength": TEXT_BYTES_MAX, "pattern": LINE },
        "additionalProperties": { "type": value, "maxLength": TEXT_BYTES_MAX, "pattern": PLAIN }
    })
}

/// What is said: at least one segment that is not empty text.
pub(crate) fn segments(generator: &mut SchemaGenerator) -> Schema {
    let segment = generator.subschema_for::<Segment>();
    json_schema!({
        "type": "array",
        "minItems": 1,
        "items": segment,
        "contains": {
            "not": {
                "type": "object",
                "properties": { "type": { "const": "text" }, "text": { "const": "" } },
                "required": ["type", "text"]
            }
        }
    })
}

/// Its value's own schema: on the wire it is written as its value.
impl<T: JsonSchema> JsonSchema for AsJson<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
