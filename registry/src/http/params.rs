//! What stands behind the question mark.

use std::collections::HashMap;
use std::convert::Infallible;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

/// Parameters of a request; those nobody asks for are passed over.
pub struct Params(HashMap<String, String>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = Query::try_from_uri(&parts.uri);
        Ok(Self(query.map(|Query(map)| map).unwrap_or_default()))
    }
}

impl Params {
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Whether it is `true`; anything else is false, as in Java.
    pub fn flag(&self, name: &str) -> bool {
        self.text(name).eq_ignore_ascii_case("true")
    }

    /// Leaves the part of a list that `offset` and `limit` name; no limit, or one above `max`, is `max`.
    pub fn page<T>(&self, items: impl Iterator<Item = T>, max: usize) -> impl Iterator<Item = T> {
        let number = |name| self.text(name).parse::<usize>().ok();
        let limit = number("limit").filter(|limit| *limit <= max);
        items
            .skip(number("offset").unwrap_or(0))
            .take(limit.unwrap_or(max))
    }
}
