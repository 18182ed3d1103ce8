//! Lines of a file or of standard input, as they come.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;
use std::thread;

use anyhow::{Context as _, Result};
use tokio::sync::mpsc::{self, Receiver};

/// Lines that wait to be taken: a few batches of short ones.
const LINES_MAX: usize = 4096;
const LINE_BYTES_MAX: usize = 32 << 20;

/// Begins to read a file, or standard input without one. Lines come without their ends.
///
/// # Errors
/// The file cannot be opened.
pub fn read(file: Option<&Path>) -> Result<Receiver<io::Result<Vec<u8>>>> {
    let mut from: Box<dyn BufRead + Send> = match file {
        Some(path) => {
            let file = File::open(path).with_context(|| format!("the file {}", path.display()))?;
            Box::new(BufReader::new(file))
        }
        None => Box::new(BufReader::new(io::stdin())),
    };
    let (lines, receiver) = mpsc::channel(LINES_MAX);
    // Not one of the runtime's threads, which would be waited for at the end.
    thread::spawn(move || {
        while let Some(line) = next_line(&mut from).transpose() {
            if lines.blocking_send(line).is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}

fn next_line(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let limit = LINE_BYTES_MAX as u64 + 1;
    from.take(limit).read_until(b'\n', &mut line)?;
    match line.pop() {
        None => return Ok(None),
        Some(b'\n') => {}
        Some(last) => line.push(last),
    }
    match line.len() > LINE_BYTES_MAX {
        true => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a line of more than 32 MiB",
        )),
        false => Ok(Some(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_they_end() {
        let mut from = &b"one\n\ntwo\r\nthree"[..];
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut from).expect("memory") {
            lines.push(line);
        }
        assert_eq!(lines, [&b"one"[..], b"", b"two\r", b"three"]);
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        assert!(next_line(&mut &long[..]).is_err());
        let mut just = vec![b'x'; LINE_BYTES_MAX];
        just.push(b'\n');
        assert!(next_line(&mut &just[..]).is_ok());
    }
}
