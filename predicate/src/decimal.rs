//! Decimal numbers as they are written: digits and where the point is.

use std::fmt;

/// `unscaled` · 10^−`scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    unscaled: i128,
    scale: u8,
}

impl Decimal {
    /// Most digits, before and after the point together.
    pub const DIGITS_MAX: u8 = 38;

    /// `None` for more than [`Self::DIGITS_MAX`] digits, on either count.
    pub fn new(unscaled: i128, scale: u8) -> Option<Self> {
        let fits = unscaled.unsigned_abs() < 10_u128.pow(u32::from(Self::DIGITS_MAX));
        (fits && scale <= Self::DIGITS_MAX).then_some(Self { unscaled, scale })
    }

    /// Reads digits with at most one point among or around them, and a sign before them.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !is_number(whole) || !is_number(fraction) {
            return None;
        }
        let mut unscaled = 0_i128;
        for digit in whole.bytes().chain(fraction.bytes()) {
            unscaled = unscaled
                .checked_mul(10)?
                .checked_add(i128::from(digit - b'0'))?;
        }
        let sign = if text.starts_with('-') { -1 } else { 1 };
        Self::new(sign * unscaled, u8::try_from(fraction.len()).ok()?)
    }

    pub fn unscaled(self) -> i128 {
        self.unscaled
    }

    pub fn scale(self) -> u8 {
        self.scale
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.unscaled < 0 { "-" } else { "" };
        let scale = usize::from(self.scale);
        let digits = format!("{:0>1$}", self.unscaled.unsigned_abs(), scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        // The point tells it from an integer.
        write!(f, "{sign}{whole}.{fraction}")
    }
}
