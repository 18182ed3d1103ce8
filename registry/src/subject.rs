//! Names of subjects.
//!
//! Confluent's registry can keep several *contexts*, each a world of its own; a name says which by
//! `:.context:subject`. There is only the default one here, whose own prefix is `:.:`.

use crate::Refusal;

/// Longest name in bytes.
const NAME_BYTES_MAX: usize = 1024;

/// The default context, written out.
const DEFAULT_CONTEXT: &str = ":.:";
/// Where Confluent's tools write settings for all contexts.
const GLOBAL_CONTEXT: &str = ":.__GLOBAL:";
/// Every context.
const ANY_CONTEXT: &str = ":*:";

/// Names Confluent's registry keeps for itself.
const RESERVED: [&str; 2] = ["__GLOBAL", "__EMPTY"];

/// What a setting is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every subject that has none of its own.
    Global,
    Subject(String),
}

impl Scope {
    pub fn subject(&self) -> Option<&str> {
        match self {
            Self::Global => None,
            Self::Subject(name) => Some(name),
        }
    }
}

/// A subject's name without the prefix of the default context.
///
/// # Errors
/// It cannot be one, or is of another context.
pub fn subject(name: &str) -> Result<String, Refusal> {
    let bare = name.strip_prefix(DEFAULT_CONTEXT).unwrap_or(name);
    if bare.starts_with(":.") || bare.starts_with(ANY_CONTEXT) {
        return Err(Refusal::OtherContext(name.to_owned()));
    }
    let is_name = !bare.is_empty()
        && bare.len() <= NAME_BYTES_MAX
        && !bare.contains(|letter: char| letter.is_control())
        && !RESERVED.contains(&bare);
    match is_name {
        true => Ok(bare.to_owned()),
        false => Err(Refusal::InvalidSubject(shortened(name))),
    }
}

/// The scope a path of the config and mode routes names.
///
/// # Errors
/// As [`subject`].
pub fn scope(name: &str) -> Result<Scope, Refusal> {
    match name {
        DEFAULT_CONTEXT | ":.:*" | GLOBAL_CONTEXT => Ok(Scope::Global),
        name => subject(name).map(Scope::Subject),
    }
}

/// A prefix to list subjects by, without its context; `None` if it is of another one, which holds
/// nothing.
pub fn prefix(text: &str) -> Option<&str> {
    let bare = [ANY_CONTEXT, DEFAULT_CONTEXT]
        .iter()
        .find_map(|context| text.strip_prefix(context))
        .unwrap_or(text);
    (!bare.starts_with(":.")).then_some(bare)
}

/// Enough of a name to know it again in a message.
fn shortened(name: &str) -> String {
    name.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (given, expected) in [
            ("orders-value", Ok("orders-value")),
            (":.:orders-value", Ok("orders-value")),
            ("a/b c:d", Ok("a/b c:d")),
            (":.dev:orders", Err(42208)),
            (":*:orders", Err(42208)),
            ("", Err(42208)),
            ("a\nb", Err(42208)),
            ("__GLOBAL", Err(42208)),
        ] {
            let found = subject(given).map_err(|refusal| refusal.code());
            assert_eq!(
                found.as_deref().map_err(|code| *code),
                expected,
                "{given:?}"
            );
        }
        assert!(subject(&"x".repeat(NAME_BYTES_MAX + 1)).is_err());
        assert_eq!(scope(":.:"), Ok(Scope::Global));
        assert_eq!(prefix(":*:ord"), Some("ord"));
        assert_eq!(prefix(":.dev:"), None);
    }
}
