//! JSON bodies, bounded in bytes and time.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use worker_runtime_core::Code;

use crate::server::{app::App, refusal::Refusal};

/// How much of a body that was refused is taken all the same, and for how long.
const REFUSED_BYTES_MAX: usize = 16 << 20;
const REFUSED_MAX: Duration = Duration::from_secs(2);

/// A body that must be there.
pub(in crate::server) struct Json<T>(pub(in crate::server) T);

/// A body that may be left out, which means that all of its fields are.
pub(in crate::server) struct OptionalJson<T>(pub(in crate::server) T);

impl<T: DeserializeOwned + Serialize> FromRequest<App> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        let (headers, bytes) = read(request, app).await?;
        check_media_type(&headers)?;
        parse(&bytes).map(Self)
    }
}

impl<T: DeserializeOwned + Serialize + Default> FromRequest<App> for OptionalJson<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        let (headers, bytes) = read(request, app).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        check_media_type(&headers)?;
        parse(&bytes).map(Self)
    }
}

/// A request whose route takes no body. Clients that always send an object may send one with nothing
/// in it.
///
/// # Errors
/// When it has a body that says something: it would be silently without effect.
pub(in crate::server) async fn bodiless(request: Request, app: &App) -> Result<Request, Refusal> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let bytes = read_whole(body, app).await?;
    match bytes.trim_ascii() {
        b"" | b"{}" => Ok(Request::from_parts(parts, Body::empty())),
        _ => Err(Refusal::new(Code::BodyInvalid, "this takes no body")),
    }
}

async fn read(request: Request, app: &App) -> Result<(HeaderMap, Bytes), Refusal> {
    let (parts, body) = request.into_parts();
    Ok((parts.headers, read_whole(body, app).await?))
}

async fn read_whole(body: Body, app: &App) -> Result<Bytes, Refusal> {
    let limits = &app.0.limits;
    let too_large = || {
        let detail = format!("the body has more than {} bytes", limits.body_bytes_max);
        Refusal::new(Code::BodyTooLarge, detail)
    };
    // What is said to be too large is not waited for.
    if body.size_hint().lower() > limits.body_bytes_max as u64 {
        tokio::spawn(let_come(body));
        return Err(too_large());
    }
    let whole = Limited::new(body, limits.body_bytes_max).collect();
    let whole = tokio::time::timeout(limits.body_read_max, whole).await;
    let whole = whole.map_err(|_| {
        let detail = format!("the body did not come within {:?}", limits.body_read_max);
        Refusal::new(Code::BodyInvalid, detail).with_status(StatusCode::REQUEST_TIMEOUT)
    })?;
    let whole = whole.map_err(|error| {
        if error.downcast_ref::<LengthLimitError>().is_some() {
            too_large()
        } else {
            Refusal::new(Code::BodyInvalid, "the body broke off")
        }
    })?;
    Ok(whole.to_bytes())
}

/// Takes some of a body that was refused, and drops it: whoever is sending it when its connection is reset
/// is told of that, and not what was answered.
async fn let_come(mut body: Body) {
    let mut left = REFUSED_BYTES_MAX;
    let come = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(REFUSED_MAX, come).await;
}

/// A form of a web page has another type, and none of its kinds may be taken for JSON.
fn check_media_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let sent = headers.get(header::CONTENT_TYPE);
    let sent = sent
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = sent.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = "the body is not said to be `application/json`";
    Err(Refusal::new(Code::MediaType, detail))
}

fn parse<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        let refusal = Refusal::new(Code::BodyInvalid, error.inner().to_string());
        match field.as_str() {
            "." | "" => refusal,
            _ => refusal.with_field(field),
        }
    })?;
    json.end()
        .map_err(|error| Refusal::new(Code::BodyInvalid, error.to_string()))?;
    let bug = |error: serde_json::Error| Refusal::new(Code::Bug, error.to_string());
    let sent: Value = serde_json::from_slice(bytes).map_err(bug)?;
    let understood = serde_json::to_value(&value).map_err(bug)?;
    match misread(&sent, &understood) {
        None => Ok(value),
        Some(path) => {
            let detail = format!(
                "it is {}, and must be {}",
                kind_of(path.sent),
                kind_of(path.understood)
            );
            Err(Refusal::new(Code::BodyInvalid, detail).with_field(path.field))
        }
    }
}

/// A place where what was understood is of another kind than what was sent.
struct Misread<'a> {
    field: String,
    sent: &'a Value,
    understood: &'a Value,
}

/// serde takes more than the document says: the number of a variant for its name, and a list of
/// values for an object. Whoever sent that meant something else.
fn misread<'a>(sent: &'a Value, understood: &'a Value) -> Option<Misread<'a>> {
    let inside = |name: String, sent, understood| {
        misread(sent, understood).map(|mut inner| {
            inner.field = match inner.field.as_str() {
                "" => name,
                rest => format!("{name}.{rest}"),
            };
            inner
        })
    };
    match (sent, understood) {
        (Value::Null, _) => None,
        (Value::Object(sent), Value::Object(understood)) => {
            sent.iter().find_map(|(name, value)| {
                let understood = understood.get(name)?;
                inside(name.clone(), value, understood)
            })
        }
        (Value::Array(sent), Value::Array(understood)) => {
            let mut both = sent.iter().zip(understood).enumerate();
            both.find_map(|(index, (sent, understood))| inside(index.to_string(), sent, understood))
        }
        _ if kind_of(sent) == kind_of(understood) => None,
        _ => Some(Misread {
            field: String::new(),
            sent,
            understood,
        }),
    }
}

const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
