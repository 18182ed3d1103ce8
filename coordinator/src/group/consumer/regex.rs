//! Subscriptions by regular expression: RE2 syntax ([`super::re2`]), matched against whole topic names.
//!
//! The engine takes time linear in the name and its memory is bounded, so an expression from a
//! client can be compiled and run where the group is decided on. Kafka resolves in the background
//! and lets a member wait for its topics; here they are known at once.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use regex::{Regex, RegexBuilder};

use super::re2;
use super::topics::TopicImage;

/// Most memory for one compiled expression.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Longest expression that is looked at.
const REGEX_BYTES_MAX: usize = 4 << 10;

/// Checks an expression before it is taken.
///
/// # Errors
/// Why it is not taken: it is not valid, or too large.
pub(super) fn validate(regex: &str) -> Result<(), String> {
    if regex.len() > REGEX_BYTES_MAX {
        return Err(format!("longer than {REGEX_BYTES_MAX} bytes"));
    }
    // On its own first: `a)|(b` must not become valid by what is put around it.
    compiled(&re2::translated(regex)?)?;
    whole(regex).map(|_| ())
}

/// Names of the topics that `regex` stands for; none of one that was not validated and is wrong.
pub(super) fn matching(regex: &str, topics: &TopicImage) -> BTreeSet<String> {
    match whole(regex) {
        Ok(regex) => {
            let names = topics.names().filter(|name| regex.is_match(name));
            names.cloned().collect()
        }
        Err(_) => BTreeSet::new(),
    }
}

/// An expression that must match from the first character to the last.
fn whole(regex: &str) -> Result<Regex, String> {
    let regex = re2::translated(regex)?;
    compiled(&format!(r"\A(?:{regex})\z"))
}

fn compiled(regex: &str) -> Result<Regex, String> {
    let compiled = RegexBuilder::new(regex)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .build();
    compiled.map_err(|error| error.to_string())
}
