//! Patterns of `LIKE`: `%` for any text, `_` for one character.

use std::str::Chars;

/// Longest pattern, in bytes. Matching takes at most so many steps for each byte of a value.
const BYTES_MAX: usize = 256;

/// A pattern that was checked. There is no escape character unless one is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    escape: Option<char>,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("a pattern has at most {BYTES_MAX} bytes")]
    TooLong,
    #[error("in a pattern only %, _ and the escape character itself can be escaped")]
    Escape,
}

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// `%`
    Any,
    /// `_`
    One,
    Char(char),
}

impl Pattern {
    /// # Errors
    /// [`PatternError`].
    pub fn new(text: impl Into<String>, escape: Option<char>) -> Result<Self, PatternError> {
        let text = text.into();
        if text.len() > BYTES_MAX {
            return Err(PatternError::TooLong);
        }
        let pattern = Self { text, escape };
        let is_whole = pattern.parts().all(|part| part.is_some());
        match is_whole {
            true => Ok(pattern),
            false => Err(PatternError::Escape),
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn escape(&self) -> Option<char> {
        self.escape
    }

    /// `None` for what is escaped and must not be.
    fn parts(&self) -> impl Iterator<Item = Option<Part>> {
        let mut chars: Chars<'_> = self.text.chars();
        std::iter::from_fn(move || {
            let part = match chars.next()? {
                one if Some(one) == self.escape => chars
                    .next()
                    .filter(|next| matches!(next, '%' | '_') || Some(*next) == self.escape)
                    .map(Part::Char),
                '%' => Some(Part::Any),
                '_' => Some(Part::One),
                other => Some(Part::Char(other)),
            };
            Some(part)
        })
    }
}

/// A pattern made ready to match values. It works on bytes: in a text `_` is a character, in other
/// bytes also a byte that is part of none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Matcher {
    /// What every match begins with.
    prefix: Vec<u8>,
    /// What stands between one `%` and the next, or the pattern's end, after the prefix; the first
    /// run follows the prefix directly.
    runs: Vec<Vec<Step>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Byte(u8),
    One,
}

impl Matcher {
    pub(crate) fn new(pattern: &Pattern) -> Self {
        let mut matcher = Self {
            prefix: Vec::new(),
            runs: vec![Vec::new()],
        };
        // Checked when the pattern was made.
        for part in pattern.parts().flatten() {
            matcher.push(part);
        }
        matcher
    }

    fn push(&mut self, part: Part) {
        let mut bytes = [0; 4];
        let is_prefix = self.exact().is_some();
        match part {
            Part::Any => self.runs.push(Vec::new()),
            Part::Char(one) if is_prefix => {
                self.prefix
                    .extend_from_slice(one.encode_utf8(&mut bytes).as_bytes());
            }
            part => {
                let steps = match part {
                    Part::Char(one) => one.encode_utf8(&mut bytes).as_bytes(),
                    _ => &[],
                };
                let steps = steps.iter().map(|byte| Step::Byte(*byte));
                let one = (part == Part::One).then_some(Step::One);
                if let Some(run) = self.runs.last_mut() {
                    run.extend(steps.chain(one));
                }
            }
        }
    }

    /// The only text that matches, if the pattern has neither `%` nor `_`.
    pub(crate) fn exact(&self) -> Option<&[u8]> {
        matches!(&self.runs[..], [only] if only.is_empty()).then_some(&self.prefix[..])
    }

    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Whether everything that begins with the prefix matches.
    pub(crate) fn is_prefix(&self) -> bool {
        matches!(&self.runs[..], [first, last] if first.is_empty() && last.is_empty())
    }

    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        let Some(rest) = value.strip_prefix(&self.prefix[..]) else {
            return false;
        };
        let Some((first, others)) = self.runs.split_first() else {
            return false;
        };
        let Some(used) = match_here(first, rest) else {
            return false;
        };
        let mut rest = &rest[used..];
        let Some((last, middle)) = others.split_last() else {
            return rest.is_empty();
        };
        // The first place is the best one for each, since what follows may stand anywhere after it.
        for run in middle {
            let found = starts(rest).find_map(|at| Some(at + match_here(run, &rest[at..])?));
            match found {
                Some(end) => rest = &rest[end..],
                None => return false,
            }
        }
        starts(rest).any(|at| match_here(last, &rest[at..]) == Some(rest.len() - at))
    }
}

/// Where a character begins, and the end.
fn starts(text: &[u8]) -> impl Iterator<Item = usize> {
    (0..=text.len()).filter(|at| *at == 0 || !is_inside(text, *at))
}

/// Bytes of `text` that match the whole of `run`, from its beginning.
fn match_here(run: &[Step], text: &[u8]) -> Option<usize> {
    let mut at = 0;
    for step in run {
        match step {
            Step::Byte(byte) => {
                text.get(at).filter(|own| *own == byte)?;
                at += 1;
            }
            Step::One => at += char_len(text.get(at..)?)?,
        }
    }
    Some(at)
}

/// Bytes of the first character; one for a byte that begins none.
fn char_len(text: &[u8]) -> Option<usize> {
    let first = *text.first()?;
    let len = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    let is_whole = text
        .get(..len)
        .is_some_and(|char| str::from_utf8(char).is_ok());
    Some(if is_whole { len } else { 1 })
}

/// Whether the byte at `at` goes on with a character begun before it.
fn is_inside(text: &[u8], at: usize) -> bool {
    let is_continuation = |byte: Option<&u8>| byte.is_some_and(|byte| byte & 0xc0 == 0x80);
    if !is_continuation(text.get(at)) {
        return false;
    }
    (at.saturating_sub(3)..at)
        .any(|start| char_len(&text[start..]).is_some_and(|len| start + len > at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_they_say() {
        for (pattern, escape, value, expected) in [
            ("", None, "", true),
            ("", None, "a", false),
            ("a", None, "a", true),
            ("a%", None, "a", true),
            ("a%", None, "ba", false),
            ("%a", None, "ba", true),
            ("%a", None, "ab", false),
            ("%a%", None, "xay", true),
            ("_", None, "é", true),
            ("_", None, "ée", false),
            ("%_", None, "", false),
            ("a_c%_e", None, "abcde", true),
            ("a%b%c", None, "aXbYbZc", true),
            ("%ab%ab", None, "ab", false),
            ("100!%", Some('!'), "100%", true),
            ("100!%", Some('!'), "1000", false),
            ("a!!b", Some('!'), "a!b", true),
            ("%é_", None, "caféx", true),
        ] {
            let pattern = Pattern::new(pattern, escape).unwrap();
            let matcher = Matcher::new(&pattern);
            assert_eq!(
                matcher.matches(value.as_bytes()),
                expected,
                "{pattern:?} {value:?}"
            );
        }
        assert_eq!(Pattern::new("a!b", Some('!')), Err(PatternError::Escape));
        assert_eq!(Pattern::new("a!", Some('!')), Err(PatternError::Escape));
        assert_eq!(
            Pattern::new("x".repeat(257), None),
            Err(PatternError::TooLong)
        );
    }

    #[test]
    fn forms_are_known() {
        let of = |text| Matcher::new(&Pattern::new(text, None).unwrap());
        assert_eq!(of("abc").exact(), Some(&b"abc"[..]));
        assert!(of("abc%").is_prefix() && of("%").is_prefix());
        assert!(!of("abc%d").is_prefix() && !of("ab_").is_prefix() && of("ab_").exact().is_none());
        assert_eq!(of("ab_c").prefix(), b"ab");
    }

    #[test]
    fn bytes_that_are_no_text_are_matched_one_by_one() {
        let of = |text| Matcher::new(&Pattern::new(text, None).unwrap());
        assert!(of("_").matches(&[0xff]) && of("__").matches(&[0xc3, 0x28]));
        assert!(of("%a%").matches(&[0xff, b'a', 0x80]));
    }
}
