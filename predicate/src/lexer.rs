//! Words of a predicate's text.

/// One word.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// A name or a keyword, not quoted.
    Word(String),
    /// `"a name"`, without its quotes.
    Quoted(String),
    /// `#17` or `#-2`, with the mark.
    Id(String),
    /// As written, without a sign.
    Number(String),
    /// `'text'`, without its quotes.
    Text(String),
    /// `x'00ff'`.
    Bytes(Vec<u8>),
    /// An operator, a bracket, a comma, a point, or a sign.
    Symbol(&'static str),
    End,
}

/// Longer ones first.
const SYMBOLS: [&str; 13] = [
    "<>", "!=", "<=", ">=", "=", "<", ">", "(", ")", ",", ".", "-", "+",
];

/// The words of `text` with where they begin, [`Token::End`] last; or where there is none, and why.
pub(crate) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, (usize, &'static str)> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (token, len) = token(&text[at..], first).map_err(|what| (at, what))?;
        tokens.push((token, at));
        at += len;
    }
    tokens.push((Token::End, at));
    Ok(tokens)
}

fn token(rest: &str, first: char) -> Result<(Token, usize), &'static str> {
    if let Some(digits) = rest.strip_prefix(['x', 'X'])
        && digits.starts_with('\'')
    {
        let (digits, len) = quoted(digits, '\'')?;
        return Ok((Token::Bytes(hex(&digits)?), 1 + len));
    }
    Ok(match first {
        '\'' => quoted(rest, '\'').map(|(text, len)| (Token::Text(text), len))?,
        '"' => quoted(rest, '"').map(|(name, len)| (Token::Quoted(name), len))?,
        '#' => {
            let digits = rest[1..].strip_prefix('-').unwrap_or(&rest[1..]);
            let sign = rest.len() - digits.len();
            let len = sign + span(digits, |one| one.is_ascii_digit());
            if len == sign {
                return Err("a field id is # and a number");
            }
            (Token::Id(rest[..len].to_owned()), len)
        }
        '0'..='9' => number(rest),
        '.' if rest[1..].starts_with(|next: char| next.is_ascii_digit()) => number(rest),
        _ if is_word_start(first) => {
            let len = span(rest, is_word);
            (Token::Word(rest[..len].to_owned()), len)
        }
        _ => {
            let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
            let symbol = symbol.ok_or("this character means nothing here")?;
            (Token::Symbol(symbol), symbol.len())
        }
    })
}

pub(crate) fn is_word_start(one: char) -> bool {
    one.is_alphabetic() || one == '_'
}

pub(crate) fn is_word(one: char) -> bool {
    one.is_alphanumeric() || one == '_'
}

/// Bytes at the beginning whose characters are `wanted`.
fn span(text: &str, wanted: impl Fn(char) -> bool) -> usize {
    text.find(|one| !wanted(one)).unwrap_or(text.len())
}

fn number(rest: &str) -> (Token, usize) {
    let digits = |from: usize| span(&rest[from..], |one| one.is_ascii_digit());
    let mut len = digits(0);
    if rest[len..].starts_with('.') {
        len += 1;
        len += digits(len);
    }
    if rest[len..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[len + 1..].starts_with(['-', '+']));
        match digits(len + 1 + sign) {
            0 => {}
            exponent => len += 1 + sign + exponent,
        }
    }
    (Token::Number(rest[..len].to_owned()), len)
}

/// What stands between two `quote`s, two of which stand for one; and its length with them.
fn quoted(rest: &str, quote: char) -> Result<(String, usize), &'static str> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, one)) = chars.next() {
        if one != quote {
            text.push(one);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            text.push(quote);
        } else {
            return Ok((text, at + 1));
        }
    }
    Err("this quote is never closed")
}

fn hex(digits: &str) -> Result<Vec<u8>, &'static str> {
    const FAULT: &str = "bytes are pairs of hexadecimal digits";
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return Err(FAULT);
    };
    let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(FAULT);
    pairs
        .iter()
        // Two digits of four bits.
        .map(|[high, low]| Ok((digit(*high)? * 16 + digit(*low)?) as u8))
        .collect()
}
