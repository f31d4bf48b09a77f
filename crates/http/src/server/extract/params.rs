//! The ids in a path, and query parameters.

use axum::{
    RequestPartsExt,
    extract::{FromRequestParts, rejection::PathRejection},
    http::request::Parts,
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use worker_runtime_core::Code;

use crate::server::{app::App, refusal::Refusal};

/// The ids in a path.
pub(in crate::server) struct Path<T>(pub(in crate::server) T);

impl<T: DeserializeOwned + Send + 'static> FromRequestParts<App> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Refusal> {
        let path = parts.extract::<axum::extract::Path<T>>().await;
        let axum::extract::Path(value) = path.map_err(|error| match error {
            PathRejection::FailedToDeserializePathParams(error) => Refusal::new(
                Code::FieldInvalid,
                format!("the path: {}", error.body_text()),
            ),
            // The path is not what the list of routes says; no client can cause that.
            error => Refusal::new(Code::Bug, error.body_text()),
        })?;
        Ok(Self(value))
    }
}

/// Query parameters; one that is not known is refused, as it would be silently without effect.
pub(in crate::server) struct Query<T>(pub(in crate::server) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Refusal> {
        let text = parts.uri.query().unwrap_or_default();
        let value = serde_html_form::Deserializer::from_bytes(text.as_bytes());
        serde_path_to_error::deserialize(value)
            .map(Self)
            .map_err(|error| {
                let field = error.path().to_string();
                let refusal = Refusal::new(Code::QueryInvalid, error.inner().to_string());
                match field.as_str() {
                    "." | "" => refusal,
                    _ => refusal.with_field(field),
                }
            })
    }
}

/// A parameter that is there has a value: an empty one is not the same as none, as `?cursor=` would
/// begin at the beginning.
pub(in crate::server) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    value: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}
