//! Settings about another server: where it is, and what to show it.

use std::fmt;

use super::value::{Kind, Value};

/// Where an HTTP server is, without the slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl(String);

impl HttpUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A URL that may be left out, written as the empty text.
impl Value for Option<HttpUrl> {
    const KIND: Kind = Kind::String;

    fn form() -> String {
        "http://HOST:PORT with a path if there is one (https needs a proxy that speaks TLS), or nothing"
            .into()
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end_matches('/');
        if text.is_empty() {
            return Some(None);
        }
        let rest = text.strip_prefix("http://")?;
        // Who logs in is a setting of its own, which nobody shows.
        let legal = !rest.is_empty() && !rest.contains([' ', '@', '?', '#']);
        legal.then(|| Some(HttpUrl(text.to_owned())))
    }

    fn render(&self) -> String {
        let url = self.as_ref();
        url.map_or_else(String::new, |url| url.0.clone())
    }
}

/// A text that may be left out, written as the empty text.
impl Value for Option<String> {
    const KIND: Kind = Kind::String;

    fn form() -> String {
        "a text, or nothing".into()
    }

    fn parse(text: &str) -> Option<Self> {
        Some((!text.is_empty()).then(|| text.to_owned()))
    }

    fn render(&self) -> String {
        self.clone().unwrap_or_default()
    }
}

/// A text nobody is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for the server it is meant for.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A secret that may be left out, written as the empty text.
impl Value for Option<Secret> {
    const KIND: Kind = Kind::String;

    fn form() -> String {
        "a text, or nothing".into()
    }

    fn parse(text: &str) -> Option<Self> {
        Some((!text.is_empty()).then(|| Secret(text.to_owned())))
    }

    fn render(&self) -> String {
        self.as_ref()
            .map_or_else(String::new, |_| "hidden".to_owned())
    }
}
