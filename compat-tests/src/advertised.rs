//! Which APIs a broker serves, asked over the wire: what a story needs decides whether it can be told.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, TxnOffsetCommit: who serves them serves transactions.
pub const TRANSACTIONS: &[i16] = &[24, 25, 26, 28];

/// An ApiVersions answer has about 80 rows of 6 bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// API key → (lowest, highest) version, by an ApiVersions request of version 0 (every Kafka answers it).
pub fn apis(address: &str) -> Result<BTreeMap<i16, (i16, i16)>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    // Length 10; key 18, version 0, correlation id 7; the client id is null.
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff])?;

    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length))?;
    ensure!(length <= ANSWER_BYTES_MAX, "an answer of {length} bytes");
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    rows(&answer).context("ApiVersions answer")
}

/// Body: correlation id (4 bytes), error code (2), count (4), then key, lowest, highest (2 each).
fn rows(answer: &[u8]) -> Option<BTreeMap<i16, (i16, i16)>> {
    let rows = answer.get(10..)?.chunks_exact(6);
    rows.map(|row| {
        let number = |at: usize| Some(i16::from_be_bytes(row.get(at..at + 2)?.try_into().ok()?));
        Some((number(0)?, (number(2)?, number(4)?)))
    })
    .collect()
}

/// Which of these APIs the broker at `address` does not serve. A story that needs them says so and ends;
/// the list is to become empty.
pub fn missing(address: &str, keys: &[i16]) -> Result<Vec<i16>> {
    let served = apis(address)?;
    let missing = keys.iter().filter(|key| !served.contains_key(key));
    Ok(missing.copied().collect())
}
