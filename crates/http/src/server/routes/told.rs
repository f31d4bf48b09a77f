//! Headers of answers that a client may go by: named here once, for who sets them and for the document.

use axum::http::{HeaderName, header};
use serde_json::{Map, Value, json};

/// A header that says something of the answer or of what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum AnswerHeader {
    /// The name of the request: the client's own, or the server's.
    RequestId,
    /// What the Worker is now, for a later condition.
    ETag,
    /// Where to go on reading.
    Cursor,
    /// Where what was made is.
    Location,
    /// When to ask again.
    RetryAfter,
    /// How to show who asks.
    WwwAuthenticate,
}

impl AnswerHeader {
    /// All of them.
    pub(super) const ALL: [Self; 6] = [
        Self::RequestId,
        Self::ETag,
        Self::Cursor,
        Self::Location,
        Self::RetryAfter,
        Self::WwwAuthenticate,
    ];

    pub(in crate::server) const fn name(self) -> HeaderName {
        match self {
            Self::RequestId => HeaderName::from_static("x-request-id"),
            Self::ETag => header::ETAG,
            Self::Cursor => HeaderName::from_static("x-cursor"),
            Self::Location => header::LOCATION,
            Self::RetryAfter => header::RETRY_AFTER,
            Self::WwwAuthenticate => header::WWW_AUTHENTICATE,
        }
    }

    /// As it is written in documents.
    const fn as_str(self) -> &'static str {
        match self {
            Self::RequestId => "X-Request-Id",
            Self::ETag => "ETag",
            Self::Cursor => "X-Cursor",
            Self::Location => "Location",
            Self::RetryAfter => "Retry-After",
            Self::WwwAuthenticate => "WWW-Authenticate",
        }
    }

    const fn about(self) -> &'static str {
        match self {
            Self::RequestId => "The id of the request: the one that it bore, or a new one",
            Self::ETag => {
                "What the representation is, without its cursor; for `If-None-Match`, and a Worker's for \
                 `If-Match`"
            }
            Self::Cursor => "The position that the answer is of, from which events can be read on",
            Self::Location => "The path of what was made; not with `dry_run`",
            Self::RetryAfter => "With 429 and 503: seconds to wait before asking again",
            Self::WwwAuthenticate => "With 401: that an access token is wanted",
        }
    }

    fn schema(self) -> Value {
        match self {
            Self::RequestId => json!({ "type": "string", "minLength": 1, "maxLength": 64 }),
            Self::ETag => json!({ "type": "string", "pattern": "^\"[0-9a-f]+\"$" }),
            Self::Cursor | Self::Location | Self::WwwAuthenticate => json!({ "type": "string" }),
            Self::RetryAfter => json!({ "type": "integer", "minimum": 1 }),
        }
    }
}

/// Every header, described, by its name.
pub(super) fn described() -> Map<String, Value> {
    let described = AnswerHeader::ALL.iter().map(|told| {
        let header = json!({ "description": told.about(), "schema": told.schema() });
        (told.as_str().to_owned(), header)
    });
    described.collect()
}

/// References to those that an answer may have; each has the id of its request.
pub(super) fn references(told: &[AnswerHeader]) -> Map<String, Value> {
    let references = [AnswerHeader::RequestId].iter().chain(told).map(|told| {
        let to = format!("#/components/headers/{}", told.as_str());
        (told.as_str().to_owned(), json!({ "$ref": to }))
    });
    references.collect()
}
