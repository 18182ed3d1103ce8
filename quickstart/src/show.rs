//! What people see: one line a step, and on a terminal its progress while it runs.

use std::io::{self, IsTerminal as _, Write as _};

/// The terminal, or whatever stdout is. A reader that went away is its own business.
#[derive(Debug)]
pub(crate) struct Show {
    is_terminal: bool,
}

impl Show {
    pub(crate) fn new() -> Self {
        Self {
            is_terminal: io::stdout().is_terminal(),
        }
    }

    /// A line that stays.
    pub(crate) fn line(&self, text: &str) {
        let clear = if self.is_terminal { "\r\x1b[K" } else { "" };
        self.write(&format!("{clear}{text}\n"));
    }

    /// A line that the next one replaces; shown on a terminal only.
    pub(crate) fn progress(&self, text: &str) {
        if self.is_terminal {
            self.write(&format!("\r\x1b[K{text}"));
        }
    }

    #[expect(
        clippy::unused_self,
        reason = "stdout is reached through the value that describes it"
    )]
    fn write(&self, text: &str) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// A count with its thousands apart: `1 234 567`.
pub(crate) fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(0).to_string();
    let groups: Vec<_> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(String::from_utf8_lossy)
        .collect();
    groups.join(" ")
}

/// A count and what it counts: `1 file`, `2 files`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// Bytes in units of thousands.
pub(crate) fn bytes(number: u64) -> String {
    match number {
        0..1_000 => format!("{number} B"),
        1_000..1_000_000 => format!("{:.1} kB", number as f64 / 1e3),
        _ => format!("{:.1} MB", number as f64 / 1e6),
    }
}

/// How many a second, as a whole number.
pub(crate) fn rate(number: u64, seconds: f64) -> String {
    format!("{}/s", count((number as f64 / seconds.max(1e-9)) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!(count(0_u64), "0");
        assert_eq!(count(999_u64), "999");
        assert_eq!(count(1_000_u64), "1 000");
        assert_eq!(count(1_234_567_u64), "1 234 567");
        assert_eq!(counted(1, "file"), "1 file");
        assert_eq!(counted(2_000, "file"), "2 000 files");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_500), "1.5 kB");
        assert_eq!(bytes(2_640_000), "2.6 MB");
        assert_eq!(rate(200_000, 0.5), "400 000/s");
    }
}
