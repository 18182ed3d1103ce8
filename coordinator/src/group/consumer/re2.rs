//! Patterns in the syntax of RE2, as Kafka reads them (RE2/J), put into that of the engine here.
//!
//! The two are sisters. RE2 alone has `\Q…\E`, octal numbers and braces that stand for themselves; the
//! engine alone has operations on classes, names of Unicode properties and more flags and escapes. So a
//! pattern is taken apart by RE2's rules, and only what both know is written: what RE2 refuses does not
//! get through. Groups capture nothing. How parentheses nest is left to the engine.
//!
//! Grammar: <https://github.com/google/re2/wiki/Syntax>.

use std::collections::BTreeSet;

use regex::escape;

/// The most that a repetition may count.
const REPEAT_MAX: u32 = 1_000;

const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// The pattern as the engine reads it.
///
/// # Errors
/// What RE2 would not take.
pub(super) fn translated(pattern: &str) -> Result<String, String> {
    let mut translator = Translator {
        rest: pattern,
        ..Translator::default()
    };
    while let Some(next) = translator.take() {
        translator.step(next)?;
    }
    Ok(translator.written)
}

#[derive(Default)]
struct Translator<'a> {
    rest: &'a str,
    written: String,
    /// What was written last is a repetition, which cannot be repeated.
    repeats: bool,
    group_names: BTreeSet<&'a str>,
}

impl<'a> Translator<'a> {
    fn step(&mut self, next: char) -> Result<(), String> {
        let repeated = std::mem::take(&mut self.repeats);
        match next {
            '*' | '+' | '?' => self.repeat(repeated, next.encode_utf8(&mut [0; 4]))?,
            '{' => match self.take_bounds()? {
                Some(bounds) => self.repeat(repeated, &bounds)?,
                None => self.literal('{'),
            },
            '\\' => self.escape()?,
            '[' => self.class()?,
            '(' => self.group()?,
            '.' | '^' | '$' | '|' | ')' => self.written.push(next),
            literal => self.literal(literal),
        }
        Ok(())
    }

    fn take(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    fn take_if(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// What comes before `end`, and steps over both.
    fn take_until(&mut self, end: &str) -> Option<&'a str> {
        let (taken, rest) = self.rest.split_once(end)?;
        self.rest = rest;
        Some(taken)
    }

    fn literal(&mut self, literal: char) {
        self.written
            .push_str(&escape(literal.encode_utf8(&mut [0; 4])));
    }

    fn repeat(&mut self, repeated: bool, operator: &str) -> Result<(), String> {
        if repeated {
            return Err(format!("{operator:?} repeats a repetition"));
        }
        self.written.push_str(operator);
        if self.take_if("?") {
            self.written.push('?');
        }
        self.repeats = true;
        Ok(())
    }

    /// `{n}`, `{n,}` or `{n,m}` behind its brace; anything else stands for itself.
    fn take_bounds(&mut self) -> Result<Option<String>, String> {
        let Some((bounds, rest)) = self.rest.split_once('}') else {
            return Ok(None);
        };
        let (least, most) = bounds.split_once(',').unwrap_or((bounds, bounds));
        let is_number = |text: &str| {
            let has_no_padding = text.len() == 1 || !text.starts_with('0');
            !text.is_empty() && has_no_padding && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(least) || !(most.is_empty() || is_number(most)) {
            return Ok(None);
        }
        let count = |text: &str| text.parse::<u32>().unwrap_or(u32::MAX);
        let most = if most.is_empty() { least } else { most };
        if count(most) > REPEAT_MAX || count(least) > count(most) {
            return Err(format!("{{{bounds}}} is not a number of repetitions"));
        }
        self.rest = rest;
        Ok(Some(format!("{{{bounds}}}")))
    }

    /// What stands behind a backslash, outside of classes.
    fn escape(&mut self) -> Result<(), String> {
        let before = self.rest;
        match self.take() {
            Some('Q') => {
                // Without an end it reaches to that of the pattern.
                let quoted = self.take_until(r"\E");
                let quoted = quoted.unwrap_or_else(|| std::mem::take(&mut self.rest));
                quoted.chars().for_each(|literal| self.literal(literal));
            }
            Some(place @ ('A' | 'z' | 'b' | 'B')) => {
                self.written.push('\\');
                self.written.push(place);
            }
            _ => {
                self.rest = before;
                if !self.escaped_class()? {
                    let literal = self.escaped_char()?;
                    self.literal(literal);
                }
            }
        }
        Ok(())
    }

    /// `\d` and its like, `\pN` and `\p{Greek}`, behind the backslash. Whether it was one.
    fn escaped_class(&mut self) -> Result<bool, String> {
        let before = self.rest;
        match self.take() {
            Some(class @ ('d' | 'D' | 's' | 'S' | 'w' | 'W')) => {
                self.written.push('\\');
                self.written.push(class);
            }
            Some(sign @ ('p' | 'P')) => self.unicode_class(sign == 'P')?,
            _ => {
                self.rest = before;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One or two letters are a general category, more of them a script.
    fn unicode_class(&mut self, negated: bool) -> Result<(), String> {
        let before = self.rest;
        let name = if self.take_if("{") {
            self.take_until("}")
        } else {
            let length = self.take().map_or(0, char::len_utf8);
            Some(&before[..length])
        };
        let name = name.ok_or("a Unicode class is not closed")?;
        let (inverted, name) = match name.strip_prefix('^') {
            Some(name) => (true, name),
            None => (false, name),
        };
        let is_name = name.starts_with(|first: char| first.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
        if !is_name {
            return Err(format!("{name:?} is no Unicode class"));
        }
        let kind = match name.len() {
            _ if name == "Any" => "",
            1 | 2 => "General_Category=",
            _ => "Script=",
        };
        let sign = if negated == inverted { 'p' } else { 'P' };
        self.written.push_str(&format!("\\{sign}{{{kind}{name}}}"));
        Ok(())
    }

    /// The one character that an escape stands for, behind the backslash.
    fn escaped_char(&mut self) -> Result<char, String> {
        let Some(escaped) = self.take() else {
            return Err("it ends with a backslash".to_owned());
        };
        let control = |code: u8| Ok(char::from(code));
        match escaped {
            'a' => control(0x07),
            'f' => control(0x0c),
            'n' => control(b'\n'),
            'r' => control(b'\r'),
            't' => control(b'\t'),
            'v' => control(0x0b),
            'x' => self.hexadecimal(),
            '0' => Ok(self.octal(0)),
            // A single digit would be a reference to a group.
            '1'..='7' if self.rest.starts_with(|next| matches!(next, '0'..='7')) => {
                Ok(self.octal(escaped.to_digit(8).unwrap_or_default()))
            }
            mark if mark.is_ascii() && !mark.is_ascii_alphanumeric() => Ok(mark),
            other => Err(format!("\\{other} is no escape")),
        }
    }

    /// Up to two more digits.
    fn octal(&mut self, mut code: u32) -> char {
        for _ in 0..2 {
            let digit = self.rest.chars().next().and_then(|next| next.to_digit(8));
            let Some(digit) = digit else { break };
            self.rest = &self.rest[1..];
            code = code * 8 + digit;
        }
        // Three octal digits stay below the surrogates.
        char::from_u32(code).unwrap_or_default()
    }

    /// Two digits, or any number of them in braces.
    fn hexadecimal(&mut self) -> Result<char, String> {
        let digits = if self.take_if("{") {
            self.take_until("}")
        } else {
            let digits = self.rest.get(..2);
            self.rest = digits.map_or(self.rest, |digits| &self.rest[digits.len()..]);
            digits
        };
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let character = code.and_then(char::from_u32);
        character.ok_or_else(|| "\\x stands before no character's number".to_owned())
    }

    /// Behind the opening parenthesis: `?P<name>`, `?<name>`, `?flags:`, `?flags)` or nothing special.
    fn group(&mut self) -> Result<(), String> {
        if !self.take_if("?") {
            self.written.push_str("(?:");
            return Ok(());
        }
        if self.take_if("P<") || self.take_if("<") {
            let name = self.take_until(">").unwrap_or_default();
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(is_name) || !self.group_names.insert(name) {
                return Err(format!("{name:?} cannot be the name of a group"));
            }
            self.written.push_str("(?:");
            return Ok(());
        }
        let end = self.rest.find([':', ')']).ok_or("a group is not closed")?;
        let (flags, rest) = self.rest.split_at(end);
        let (on, off) = flags.split_once('-').unwrap_or((flags, "i"));
        let are_flags = |text: &str| {
            text.chars()
                .all(|flag| matches!(flag, 'i' | 'm' | 's' | 'U'))
        };
        if !are_flags(on) || !are_flags(off) || off.is_empty() {
            return Err(format!("(?{flags} opens no group"));
        }
        if rest.starts_with(':') {
            self.written.push_str("(?:");
        }
        self.rest = &rest[1..];
        // One by one: the engine takes no flag twice.
        on.chars()
            .for_each(|flag| self.written.push_str(&format!("(?{flag})")));
        if flags.contains('-') {
            off.chars()
                .for_each(|flag| self.written.push_str(&format!("(?-{flag})")));
        }
        Ok(())
    }

    /// A class in brackets, behind the first of them.
    fn class(&mut self) -> Result<(), String> {
        self.written.push('[');
        if self.take_if("^") {
            self.written.push('^');
        }
        let mut is_first = true;
        // Right behind the opening bracket a closing one stands for itself.
        while is_first || !self.take_if("]") {
            is_first = false;
            self.class_item()?;
        }
        self.written.push(']');
        Ok(())
    }

    fn class_item(&mut self) -> Result<(), String> {
        if self.rest.starts_with("[:")
            && let Some(end) = self.rest.find(":]")
        {
            let name = &self.rest[2..end];
            if !POSIX_CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
                return Err(format!("[:{name}:] is no class"));
            }
            self.written.push_str(&self.rest[..end + 2]);
            self.rest = &self.rest[end + 2..];
            return Ok(());
        }
        if self.rest.starts_with('\\') {
            let before = self.rest;
            self.rest = &self.rest[1..];
            if self.escaped_class()? {
                return Ok(());
            }
            self.rest = before;
        }
        let low = self.class_char()?;
        self.literal(low);
        if self.rest.starts_with('-') && !self.rest.starts_with("-]") && self.rest.len() > 1 {
            self.rest = &self.rest[1..];
            let high = self.class_char()?;
            if high < low {
                return Err(format!("{low}-{high} is no range"));
            }
            self.written.push('-');
            self.literal(high);
        }
        Ok(())
    }

    fn class_char(&mut self) -> Result<char, String> {
        match self.take() {
            Some('\\') => self.escaped_char(),
            Some(literal) => Ok(literal),
            None => Err("a class is not closed".to_owned()),
        }
    }
}
