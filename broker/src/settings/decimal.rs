//! Settings that are not whole numbers.

use super::value::{Kind, Value};

impl Value for f64 {
    const KIND: Kind = Kind::Double;

    fn form() -> String {
        "a number".into()
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|number: &f64| number.is_finite())
    }

    fn render(&self) -> String {
        self.to_string()
    }

    /// The whole part: limits are whole numbers.
    fn number(&self) -> Option<i64> {
        Some(*self as i64)
    }
}

/// A part of a whole: from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio(pub f64);

impl Value for Ratio {
    const KIND: Kind = Kind::Double;

    fn form() -> String {
        "a number from 0 to 1".into()
    }

    fn parse(text: &str) -> Option<Self> {
        let number = text.parse().ok();
        number
            .filter(|number| (0.0..=1.0).contains(number))
            .map(Ratio)
    }

    fn render(&self) -> String {
        self.0.to_string()
    }
}
