//! Headers that change what a call does: conditions on what is there (RFC 9110, 13.1), and the key by
//! which a call is repeated; and the cursor that a stream goes on at.
//!
//! One that a route would not look at is refused (`auth::guard`): a condition without effect loses what
//! it was to protect.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use schemars::{Schema, json_schema};
use sha2::{Digest, Sha256};
use worker_runtime_core::{Code, Cursor, InputId, RuntimeId};

use crate::server::refusal::Refusal;

/// A header that only some routes look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Header {
    /// The change is made only while what it is about has one of these tags.
    IfMatch,
    /// It is given only when it has none of these tags.
    IfNoneMatch,
    /// What stands for the id that a body leaves out.
    IdempotencyKey,
    /// The cursor that was seen last.
    LastEventId,
}

impl Header {
    /// All of them.
    pub(in crate::server) const ALL: [Self; 4] = [
        Self::IfMatch,
        Self::IfNoneMatch,
        Self::IdempotencyKey,
        Self::LastEventId,
    ];

    /// As it is written in documents.
    pub(in crate::server) const fn as_str(self) -> &'static str {
        match self {
            Self::IfMatch => "If-Match",
            Self::IfNoneMatch => "If-None-Match",
            Self::IdempotencyKey => "Idempotency-Key",
            Self::LastEventId => "Last-Event-ID",
        }
    }

    pub(in crate::server) const fn name(self) -> HeaderName {
        match self {
            Self::IfMatch => header::IF_MATCH,
            Self::IfNoneMatch => header::IF_NONE_MATCH,
            Self::IdempotencyKey => HeaderName::from_static("idempotency-key"),
            Self::LastEventId => HeaderName::from_static("last-event-id"),
        }
    }

    /// What it says, for the document.
    pub(in crate::server) const fn about(self) -> &'static str {
        match self {
            Self::IfMatch => "Only while the Worker's `ETag` is one of these, compared strongly",
            Self::IfNoneMatch => "Only when the `ETag` is none of these, compared weakly; else 304",
            Self::IdempotencyKey => "Stands for the id that the body leaves out",
            Self::LastEventId => {
                "The cursor to go on after, as a client sends it that comes back; it wins over `cursor`"
            }
        }
    }

    /// What it may be.
    pub(in crate::server) fn schema(self) -> Schema {
        match self {
            Self::IfMatch | Self::IfNoneMatch => json_schema!({
                "type": "string",
                "minLength": 1,
                "pattern": "^(\\*|(W/)?\"[!#-~]*\"( *, *(W/)?\"[!#-~]*\")*)$",
            }),
            Self::LastEventId => json_schema!({
                "type": "string",
                "minLength": 1,
                "maxLength": 64,
                "pattern": "^[!-~]+$",
            }),
            Self::IdempotencyKey => json_schema!({
                "type": "string",
                "minLength": 1,
                "maxLength": 258,
                "pattern": "^(\"[ -~]{1,256}\"|[!#-~]|[!#-~][ -~]{0,254}[!#-~])$",
            }),
        }
    }

    /// # Errors
    /// A value that says nothing that can be looked at.
    pub(in crate::server) fn check(self, headers: &HeaderMap) -> Result<(), Refusal> {
        match self {
            Self::IfMatch | Self::IfNoneMatch => tags(headers, self).map(drop),
            Self::IdempotencyKey => idempotency_key(headers).map(drop),
            Self::LastEventId => last_event_id(headers).map(drop),
        }
    }

    /// The refusal of its value, or of itself.
    pub(in crate::server) fn refused(self, detail: &str) -> Refusal {
        let detail = format!("`{}`: {detail}", self.as_str());
        Refusal::new(Code::HeaderInvalid, detail).with_field(self.name().as_str())
    }
}

/// The tags that a condition names.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) enum Tags {
    /// `*`: whatever there is.
    Any,
    These(Vec<Tag>),
}

/// An entity tag.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) struct Tag {
    weak: bool,
    /// What is between the quotes.
    opaque: Vec<u8>,
}

impl Tags {
    /// Whether a strong tag, without its quotes, is one of these; a weak one never is (RFC 9110, 8.8.3.2).
    pub(in crate::server) fn have_strongly(&self, opaque: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags
                .iter()
                .any(|tag| !tag.weak && tag.opaque == opaque.as_bytes()),
        }
    }

    /// Whether a tag, without its quotes, is one of these, weak or not.
    pub(in crate::server) fn have_weakly(&self, opaque: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|tag| tag.opaque == opaque.as_bytes()),
        }
    }
}

/// The tags of a condition, over all headers of its name: several are one list.
///
/// # Errors
/// What is no list of tags.
pub(in crate::server) fn tags(headers: &HeaderMap, name: Header) -> Result<Option<Tags>, Refusal> {
    let sent: Vec<&[u8]> = headers
        .get_all(name.name())
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    match sent.as_slice() {
        [] => Ok(None),
        [only] if only.trim_ascii() == b"*" => Ok(Some(Tags::Any)),
        several => {
            let lists: Option<Vec<Vec<Tag>>> = several.iter().map(|list| parse(list)).collect();
            let tags: Option<Vec<Tag>> = lists.map(|lists| lists.into_iter().flatten().collect());
            match tags {
                Some(tags) if !tags.is_empty() => Ok(Some(Tags::These(tags))),
                _ => Err(name.refused("it is neither `*` nor a list of entity tags in quotes")),
            }
        }
    }
}

/// A list of tags. A comma may be part of one, and empty elements are passed over (RFC 9110, 5.6.1.2).
fn parse(list: &[u8]) -> Option<Vec<Tag>> {
    let mut tags = Vec::new();
    let mut rest = list.trim_ascii();
    loop {
        while let Some(after) = rest.strip_prefix(b",") {
            rest = after.trim_ascii_start();
        }
        if rest.is_empty() {
            return Some(tags);
        }
        let (weak, quoted) = match rest.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let opaque = quoted.strip_prefix(b"\"")?;
        let end = opaque.iter().position(|byte| *byte == b'"')?;
        let (opaque, after) = opaque.split_at_checked(end)?;
        if !opaque.iter().all(|byte| *byte > b' ' && *byte != 0x7f) {
            return None;
        }
        tags.push(Tag {
            weak,
            opaque: opaque.to_vec(),
        });
        rest = after.strip_prefix(b"\"")?.trim_ascii_start();
        if !rest.is_empty() && !rest.starts_with(b",") {
            return None;
        }
    }
}

/// What a client repeats a call by. It stands for the id that the body leaves out, so it is as
/// durable as what was made by it.
///
/// # Errors
/// A key that can't be taken.
pub(in crate::server) fn idempotency_key(headers: &HeaderMap) -> Result<Option<InputId>, Refusal> {
    let name = Header::IdempotencyKey;
    let mut sent = headers.get_all(name.name()).iter();
    let Some(value) = sent.next() else {
        return Ok(None);
    };
    if sent.next().is_some() {
        return Err(name.refused("it is there twice"));
    }
    let text = value
        .to_str()
        .map_err(|_| name.refused("it is no plain text"))?;
    // A structured string in quotes (as the header's draft has it) or the bare text.
    let inner = text.strip_prefix('"');
    let text = match (inner, text.ends_with('"')) {
        (None, false) => text,
        (Some(inner), _) => inner
            .strip_suffix('"')
            .ok_or_else(|| name.refused("its quotes are not closed"))?,
        (None, true) => return Err(name.refused("its quotes are not opened")),
    };
    let key = InputId::new(text).map_err(|error| name.refused(error.reason))?;
    Ok(Some(key))
}

/// What an idempotency key stands for: one key names one of each, and they are no two of one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Named {
    Worker,
    Lease,
}

/// The id that an idempotency key stands for in this Runtime: the same one each time.
pub(in crate::server) fn named_by(key: &InputId, runtime_id: RuntimeId, what: Named) -> [u8; 16] {
    let salt: &[u8] = match what {
        // As they were before there was anything else: a request that is repeated finds what it made.
        Named::Worker => b"",
        // No key has this byte, so no key of the one is the salted key of the other.
        Named::Lease => b"\0lease\0",
    };
    let digest = Sha256::new()
        .chain_update(runtime_id.to_bytes())
        .chain_update(salt)
        .chain_update(key.as_str())
        .finalize();
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(digest) {
        *to = from;
    }
    // A UUID of version 8: its bits are whoever's makes it (RFC 9562, 5.8).
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes
}

/// The cursor that a client had last when it was cut off.
///
/// # Errors
/// What is no cursor.
pub(in crate::server) fn last_event_id(headers: &HeaderMap) -> Result<Option<Cursor>, Refusal> {
    let name = Header::LastEventId;
    let mut sent = headers.get_all(name.name()).iter();
    let Some(value) = sent.next() else {
        return Ok(None);
    };
    if sent.next().is_some() {
        return Err(name.refused("it is there twice"));
    }
    let text = value.to_str().unwrap_or_default();
    let cursor = text.parse::<Cursor>().map_err(|error| {
        let refusal = Refusal::new(Code::CursorMalformed, error.to_string());
        refusal.with_field(name.name().as_str())
    })?;
    Ok(Some(cursor))
}

#[cfg(test)]
mod tests;
