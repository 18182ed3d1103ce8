//! What a command prints: tables and sentences for people, JSON for scripts.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context as _, Result};

use serde_json::Value;

/// Standard output or a file; [`done`](Self::done) writes through what is left.
pub struct Out {
    to: BufWriter<Box<dyn Write + Send>>,
}

impl Out {
    pub fn new() -> Self {
        Self {
            to: BufWriter::new(Box::new(io::stdout())),
        }
    }

    /// A file, made anew, or standard output without one.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn to(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self::new());
        };
        let file = File::create(path).with_context(|| format!("the file {}", path.display()))?;
        Ok(Self {
            to: BufWriter::new(Box::new(file)),
        })
    }

    /// Writes through what is left.
    ///
    /// # Errors
    /// As [`json`](Self::json).
    pub fn done(mut self) -> Result<()> {
        Ok(self.flush()?)
    }

    /// One document or one line of many.
    ///
    /// # Errors
    /// The reader went away, or the disk is full.
    pub fn json(&mut self, value: &Value) -> io::Result<()> {
        writeln!(self.to, "{value}")
    }

    /// # Errors
    /// As [`json`](Self::json).
    pub fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.to, "{}", line.trim_end())
    }

    /// Columns side by side, each as wide as its widest cell.
    ///
    /// # Errors
    /// As [`json`](Self::json).
    pub fn table(&mut self, heads: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
        let heads = heads.iter().map(|&head| head.to_owned()).collect();
        let widths = widths(&heads, rows);
        self.row(&heads, &widths)?;
        rows.iter().try_for_each(|row| self.row(row, &widths))
    }

    /// One row of a table, cells padded to `widths`.
    ///
    /// # Errors
    /// As [`json`](Self::json).
    pub fn row(&mut self, cells: &[String], widths: &[usize]) -> io::Result<()> {
        let padded = cells.iter().zip(widths).map(|(cell, &width)| {
            let cell = printable(cell);
            format!("{cell:width$}")
        });
        let line = padded.collect::<Vec<_>>().join("  ");
        self.line(&line)
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// How wide each column is, heads included, in characters.
pub fn widths(heads: &Vec<String>, rows: &[Vec<String>]) -> Vec<usize> {
    let mut widths = vec![0; heads.len()];
    for row in std::iter::once(heads).chain(rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(printable(cell).chars().count());
        }
    }
    widths
}

/// A cell on one line, without characters that would move a terminal's cursor.
fn printable(cell: &str) -> String {
    cell.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_cells_stay_on_their_line() {
        let heads = vec!["a".to_owned(), "bc".to_owned()];
        let rows = vec![vec!["ünï".to_owned(), "x".to_owned()]];
        assert_eq!(widths(&heads, &rows), [3, 2]);
        assert_eq!(printable("a\nb\u{1b}[2J"), "a\\nb\\u{1b}[2J");
    }
}
