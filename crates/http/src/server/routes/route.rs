//! What is said of a route.

use axum::{
    handler::Handler,
    http::{Method, StatusCode},
    routing::{self, MethodRouter},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::told::AnswerHeader;
use crate::{
    server::{app::App, extract::Header},
    wire::AccessScope,
};

/// Makes the schema of a type, known by its name from then on.
pub(in crate::server) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A body of an answer.
pub(in crate::server) struct Answer {
    pub(in crate::server) status: StatusCode,
    pub(in crate::server) about: &'static str,
    /// `None`: the answer has no body.
    pub(in crate::server) body: Option<(&'static str, SchemaOf)>,
    /// What it is for who accepts only this.
    pub(in crate::server) or_body: Option<(&'static str, SchemaOf)>,
    /// The headers that it may have, beside those of every answer.
    pub(in crate::server) headers: &'static [AnswerHeader],
}

/// A body of a request.
pub(in crate::server) struct Body {
    pub(in crate::server) schema: SchemaOf,
    pub(in crate::server) required: bool,
}

/// One route: what is asked for how, who may, and what is answered.
pub(in crate::server) struct Route {
    pub(in crate::server) method: Method,
    pub(in crate::server) path: &'static str,
    /// Its name for programs that are made from the document.
    pub(in crate::server) name: &'static str,
    pub(in crate::server) about: &'static str,
    /// The scope that it needs; `None`: anybody may ask.
    pub(in crate::server) needs: Option<AccessScope>,
    pub(in crate::server) query: Option<SchemaOf>,
    pub(in crate::server) body: Option<Body>,
    /// The headers that it looks at, of those that not every route does.
    pub(in crate::server) headers: &'static [Header],
    pub(in crate::server) answers: Vec<Answer>,
    /// Which parameters of other routes an answer tells, each as the expression that finds it there.
    pub(in crate::server) tells: &'static [(&'static str, &'static str)],
    pub(in crate::server) handler: MethodRouter<App>,
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Query parameters are spelled out in the document, so their schema is not a reference.
fn whole_schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

impl Route {
    pub(super) fn get<H: Handler<T, App>, T: 'static>(
        path: &'static str,
        name: &'static str,
        about: &'static str,
        handler: H,
    ) -> Self {
        Self::new(Method::GET, path, name, about, routing::get(handler))
            .needing(AccessScope::Observe)
    }

    pub(super) fn post<H: Handler<T, App>, T: 'static>(
        path: &'static str,
        name: &'static str,
        about: &'static str,
        handler: H,
    ) -> Self {
        let handler = routing::post(handler);
        Self::new(Method::POST, path, name, about, handler).needing(AccessScope::Operate)
    }

    pub(super) fn patch<H: Handler<T, App>, T: 'static>(
        path: &'static str,
        name: &'static str,
        about: &'static str,
        handler: H,
    ) -> Self {
        let handler = routing::patch(handler);
        Self::new(Method::PATCH, path, name, about, handler).needing(AccessScope::Operate)
    }

    pub(super) fn put<H: Handler<T, App>, T: 'static>(
        path: &'static str,
        name: &'static str,
        about: &'static str,
        handler: H,
    ) -> Self {
        let handler = routing::put(handler);
        Self::new(Method::PUT, path, name, about, handler).needing(AccessScope::Operate)
    }

    pub(super) fn delete<H: Handler<T, App>, T: 'static>(
        path: &'static str,
        name: &'static str,
        about: &'static str,
        handler: H,
    ) -> Self {
        let handler = routing::delete(handler);
        Self::new(Method::DELETE, path, name, about, handler).needing(AccessScope::Operate)
    }

    fn new(
        method: Method,
        path: &'static str,
        name: &'static str,
        about: &'static str,
        handler: MethodRouter<App>,
    ) -> Self {
        Self {
            method,
            path,
            name,
            about,
            needs: None,
            query: None,
            body: None,
            headers: &[],
            answers: Vec::new(),
            tells: &[],
            handler,
        }
    }

    pub(super) fn needing(mut self, scope: AccessScope) -> Self {
        self.needs = Some(scope);
        self
    }

    pub(super) fn open(mut self) -> Self {
        self.needs = None;
        self
    }

    pub(super) fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(whole_schema_of::<T>);
        self
    }

    pub(super) fn looks_at(mut self, headers: &'static [Header]) -> Self {
        self.headers = headers;
        self
    }

    pub(super) fn body<T: JsonSchema>(mut self) -> Self {
        let schema = schema_of::<T>;
        self.body = Some(Body {
            schema,
            required: true,
        });
        self
    }

    pub(super) fn optional_body<T: JsonSchema>(mut self) -> Self {
        let schema = schema_of::<T>;
        self.body = Some(Body {
            schema,
            required: false,
        });
        self
    }

    pub(super) fn answers<T: JsonSchema>(self, status: StatusCode, about: &'static str) -> Self {
        self.answer(status, about, Some(("application/json", schema_of::<T>)))
    }

    pub(super) fn answers_text(
        self,
        status: StatusCode,
        media_type: &'static str,
        about: &'static str,
    ) -> Self {
        self.answer(status, about, Some((media_type, schema_of::<String>)))
    }

    pub(super) fn tells(mut self, parameters: &'static [(&'static str, &'static str)]) -> Self {
        self.tells = parameters;
        self
    }

    /// The names of the parameters in its path.
    pub(super) fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| {
            let name = part.strip_prefix('{')?;
            name.strip_suffix('}')
        })
    }

    pub(super) fn answers_nothing(self, status: StatusCode, about: &'static str) -> Self {
        self.answer(status, about, None)
    }

    fn answer(
        mut self,
        status: StatusCode,
        about: &'static str,
        body: Option<(&'static str, SchemaOf)>,
    ) -> Self {
        self.answers.push(Answer {
            status,
            about,
            body,
            or_body: None,
            headers: &[],
        });
        self
    }

    /// The answer that was described last is this for who accepts it: frames of such a shape.
    pub(super) fn or_streams<T: JsonSchema>(mut self, media_type: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.or_body = Some((media_type, schema_of::<T>));
        }
        self
    }

    /// The answer that was described last has these headers.
    pub(super) fn with(mut self, headers: &'static [AnswerHeader]) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers = headers;
        }
        self
    }
}
