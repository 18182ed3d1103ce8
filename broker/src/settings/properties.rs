//! Java `.properties` text, as `server.properties` files are written.
//!
//! Understood: `#` and `!` comments, `=`, `:` or blanks between key and value, a trailing
//! backslash that continues the line, the escapes `\t \n \r \f \uXXXX` and `\` before any other
//! character. A later entry for the same key wins; the reader of the list decides that, so every
//! entry keeps the number of the line it began on.

/// One `key = value` of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Line the entry began on, counted from 1.
    pub line: usize,
    pub key: String,
    pub value: String,
}

/// A `\u` escape that is not followed by four hexadecimal digits of a character.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: \\u must be followed by four hexadecimal digits")]
pub struct BadEscape {
    /// Line of the entry that holds the escape, counted from 1.
    pub line: usize,
}

/// Reads every entry of `text`, in order.
///
/// # Errors
/// Only an incomplete `\u` escape is an error: every other text is some list of entries.
pub fn parse(text: &str) -> Result<Vec<Entry>, BadEscape> {
    logical_lines(text)
        .into_iter()
        .map(|(line, content)| entry(line, &content).ok_or(BadEscape { line }))
        .collect()
}

/// Joins continued lines and drops comments and blank lines.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, raw) in text.lines().enumerate() {
        let line = raw.trim_start_matches(is_blank);
        if open.is_none() && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let continued = line.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1;
        let content = if continued {
            &line[..line.len() - 1]
        } else {
            line
        };
        let (start, mut whole) = open.take().unwrap_or((index + 1, String::new()));
        whole.push_str(content);
        if continued {
            open = Some((start, whole));
        } else {
            lines.push((start, whole));
        }
    }
    lines.extend(open);
    lines
}

/// Splits one logical line at the first separator that is not escaped.
fn entry(line: usize, content: &str) -> Option<Entry> {
    let mut escaped = false;
    let end = content.find(|c: char| {
        if escaped {
            escaped = false;
            return false;
        }
        escaped = c == '\\';
        c == '=' || c == ':' || is_blank(c)
    });
    let (key, rest) = content.split_at(end.unwrap_or(content.len()));
    let rest = rest.trim_start_matches(is_blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    Some(Entry {
        line,
        key: unescape(key)?,
        // Java keeps blanks at the end of a value; for settings they are always an accident.
        value: unescape(value.trim_matches(is_blank))?,
    })
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\x0c'),
            Some('u') => out.push(unicode_escape(&mut chars)?),
            Some(other) => out.push(other),
            None => {}
        }
    }
    Some(out)
}

fn unicode_escape(chars: &mut std::str::Chars<'_>) -> Option<char> {
    let mut code = 0;
    for _ in 0..4 {
        code = code * 16 + chars.next()?.to_digit(16)?;
    }
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_java_reads() {
        type Entries = &'static [(usize, &'static str, &'static str)];
        let cases: &[(&str, Entries)] = &[
            ("", &[]),
            ("# a\n! b\n\n  # c\n", &[]),
            (
                "a=1\nb: 2\nc 3\nd\n",
                &[(1, "a", "1"), (2, "b", "2"), (3, "c", "3"), (4, "d", "")],
            ),
            ("  a  =  1  \r\n", &[(1, "a", "1")]),
            ("a=x\\\n   y\\\n z\nb=1", &[(1, "a", "xyz"), (4, "b", "1")]),
            ("a=x\\\\\nb=1", &[(1, "a", "x\\"), (2, "b", "1")]),
            ("a=x\\\n# y\n", &[(1, "a", "x# y")]),
            ("a\\=b=c\\:d", &[(1, "a=b", "c:d")]),
            ("a=PLAINTEXT://:9092", &[(1, "a", "PLAINTEXT://:9092")]),
            ("a==b", &[(1, "a", "=b")]),
            ("a=\\u0041\\t\\n", &[(1, "a", "A\t\n")]),
            ("a=b\\", &[(1, "a", "b")]),
        ];
        for (text, expected) in cases {
            let got = parse(text).unwrap();
            let got: Vec<_> = got
                .iter()
                .map(|e| (e.line, e.key.as_str(), e.value.as_str()))
                .collect();
            assert_eq!(&got, expected, "{text:?}");
        }
    }

    #[test]
    fn an_incomplete_escape_names_its_line() {
        for text in ["a=1\nb=\\u12", "a=1\nb=\\uzzzz", "a=1\nb=\\ud800"] {
            assert_eq!(parse(text), Err(BadEscape { line: 2 }), "{text:?}");
        }
    }
}
