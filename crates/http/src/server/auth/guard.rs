//! The checks before a handler: the name that the request was sent to, where it came from, what its
//! access token allows (I11), and that it says nothing that its route would not look at.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use worker_runtime_core::{Code, Runtime, Timestamp, operation::Operator};

use super::tokens::Good;
use crate::{
    server::{
        app::App,
        extract::{Header, bodiless},
        refusal::Refusal,
    },
    wire::AccessScope,
};

/// What the token of a request allows; every handler behind a guard can take it.
#[derive(Debug, Clone)]
pub(in crate::server) struct Access {
    good: Good,
}

impl Access {
    /// # Errors
    /// When the scope is too narrow.
    pub(in crate::server) fn require(&self, needed: AccessScope) -> Result<(), Refusal> {
        if self.good.scope >= needed {
            return Ok(());
        }
        let detail = format!(
            "this needs an access token of scope {needed}, and this one's is {}",
            self.good.scope
        );
        Err(Refusal::new(Code::TokenScope, detail).with_scope(needed))
    }

    /// The Runtime, for a change that this token's holder asks for, for this reason.
    ///
    /// # Errors
    /// A reason that is too long.
    pub(in crate::server) fn operate(
        &self,
        app: &App,
        reason: Option<String>,
    ) -> Result<Runtime, Refusal> {
        // Blanks are taken for a name, and name nobody.
        let name = match self.good.name.trim().is_empty() {
            true => "unnamed".to_owned(),
            false => self.good.name.clone(),
        };
        let by = Operator::Token {
            name,
            scope: self.good.scope.to_string(),
        };
        Ok(app.0.runtime.operated_by(by, reason)?)
    }

    /// Whether the token is still good.
    pub(in crate::server) fn is_good(&self, app: &App) -> bool {
        app.0.tokens.is_good(&self.good)
    }

    /// Which token it is.
    pub(in crate::server) fn token_id(&self) -> &str {
        &self.good.token_id
    }

    /// When it stops being good.
    pub(in crate::server) fn expires_at(&self) -> Option<Timestamp> {
        self.good.expires_at
    }
}

/// What a route needs of its caller.
#[derive(Clone)]
pub(in crate::server) struct Guarded {
    pub(in crate::server) app: App,
    /// `None`: anybody may ask.
    pub(in crate::server) needs: Option<AccessScope>,
    pub(in crate::server) takes: Takes,
}

/// What a route looks at beside its path.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct Takes {
    pub(in crate::server) query: bool,
    pub(in crate::server) body: bool,
    pub(in crate::server) headers: &'static [Header],
}

/// Lets a request through to its handler, or refuses it.
pub(in crate::server) async fn guard(
    State(guarded): State<Guarded>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(needed) = guarded.needs {
        match access(&guarded.app, request.headers(), needed) {
            Ok(access) => {
                request.extensions_mut().insert(access);
            }
            Err(refusal) => return refusal.into_response(),
        }
        request = match only_what_is_taken(&guarded, request).await {
            Ok(request) => request,
            Err(refusal) => return refusal.into_response(),
        };
    }
    next.run(request).await
}

/// Refuses what would be silently without effect: `?dry_run=true` where nothing is tried out.
async fn only_what_is_taken(guarded: &Guarded, request: Request) -> Result<Request, Refusal> {
    for header in Header::ALL {
        let is_there = request.headers().contains_key(header.name());
        match guarded.takes.headers.contains(&header) {
            true => header.check(request.headers())?,
            false if is_there => return Err(header.refused("this does not look at it")),
            false => {}
        }
    }
    let query = request.uri().query().unwrap_or_default();
    if !guarded.takes.query && !query.is_empty() {
        let detail = "this takes no parameters";
        return Err(Refusal::new(Code::QueryInvalid, detail));
    }
    match guarded.takes.body {
        true => Ok(request),
        false => bodiless(request, &guarded.app).await,
    }
}

fn access(app: &App, headers: &HeaderMap, needed: AccessScope) -> Result<Access, Refusal> {
    let mut sent = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = sent.next() else {
        let detail = "no access token: send `Authorization: Bearer TOKEN`";
        return Err(Refusal::new(Code::TokenMissing, detail));
    };
    let invalid = |detail: &str| Refusal::new(Code::TokenInvalid, detail);
    if sent.next().is_some() {
        return Err(invalid("there are two `Authorization` headers"));
    }
    let text = value.to_str().unwrap_or_default();
    let token = match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => return Err(invalid("`Authorization` is not `Bearer TOKEN`")),
    };
    let good = app.0.tokens.check(token);
    let good = good.ok_or_else(|| invalid("the access token is not known, or not any more"))?;
    let access = Access { good };
    access.require(needed)?;
    Ok(access)
}

/// Refuses a request that names a host that is not ours, or comes from a web page.
///
/// # Errors
/// A name of somebody else that points here is how a page reaches what listens on loopback.
pub(in crate::server) fn check_names(app: &App, request: &Request) -> Result<(), Refusal> {
    let headers = request.headers();
    // An absolute request target comes before the header (RFC 9112, 3.2.2).
    let named = match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => only(headers, &header::HOST),
    };
    let host = named.and_then(host_of).unwrap_or_default();
    if !app.0.hosts.iter().any(|known| known == &host) {
        let detail = match named {
            None => "the request has no `Host`, or more than one".to_owned(),
            Some(_) => {
                "the request's `Host` is not a name of this server: whoever runs it adds names \
                        with `serve --host`"
                    .to_owned()
            }
        };
        return Err(Refusal::new(Code::HostRefused, detail));
    }
    if !headers.contains_key(header::ORIGIN) {
        return Ok(());
    }
    let origin = only(headers, &header::ORIGIN).unwrap_or_default();
    if app.0.origins.iter().any(|allowed| allowed == origin) {
        return Ok(());
    }
    let detail =
        "the request has an `Origin` that is not allowed: browsers don't talk to a Runtime";
    Err(Refusal::new(Code::OriginRefused, detail))
}

fn only<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

/// The name without its port, lower case.
fn host_of(authority: &str) -> Option<String> {
    if authority.contains('@') {
        return None;
    }
    let host = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            is_port(port).then_some(address)?
        }
        None => match authority.split_once(':') {
            Some((host, port)) => is_port(&format!(":{port}")).then_some(host)?,
            None => authority,
        },
    };
    Some(host.trim_end_matches('.').to_ascii_lowercase())
}

fn is_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        Some(port) => port.parse::<u16>().is_ok(),
        None => text.is_empty(),
    }
}
