//! The rows whose keys begin alike, for Lookup.
//!
//! Partition by partition, and in each in the order of the keys' bytes. All prefixes of a request
//! see a partition at one offset. Where an answer stops (at a limit, or because it is full) it says
//! where to go on, in the table as it will be then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tidelog_keyed::scan::KeyRange;
use tidelog_protocol_ext::ErrorCode;
use tidelog_protocol_ext::ext::lookup::{LookupPrefix, PrefixResult};
use tokio::time::Instant;

use super::key_tables::{self, KeyFault, Part};
use super::rows_of_keys::FoundRow;
use crate::api::context::Context;
use crate::api::error::Coded;
use crate::owners::keyed::{Snapshot, Table};

/// Stands for every partition.
const ANY_PARTITION: i32 = -1;
/// Most rows that the prefixes of one request find, and that are read at a time.
const ROWS_MAX: usize = 100_000;
const ROWS_PER_STEP: usize = 1_024;

/// A prefix, and where to look.
#[derive(Debug)]
pub struct Wanted {
    range: KeyRange,
    limit: usize,
    from: Place,
    /// The last partition to look in.
    last: i32,
}

/// Behind what was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    partition: i32,
    after: Option<Bytes>,
}

/// What all prefixes found.
#[derive(Debug, Default)]
pub struct PrefixRows {
    /// Those of the first prefix, then those of the second, ….
    pub rows: Vec<FoundRow>,
    pub results: Vec<PrefixResult>,
    /// What each partition's rows reflect.
    pub reflected: BTreeMap<i32, i64>,
}

/// First byte of a cursor.
const CURSOR_VERSION: u8 = 1;

impl Place {
    fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(CURSOR_VERSION);
        out.put_i32(self.partition);
        out.put_u8(self.after.is_some().into());
        out.extend_from_slice(self.after.as_deref().unwrap_or_default());
        out.freeze()
    }

    /// `None` for bytes that are no cursor.
    fn from_bytes(mut bytes: Bytes) -> Option<Self> {
        let is_ours = bytes.try_get_u8() == Ok(CURSOR_VERSION);
        let partition = bytes.try_get_i32().ok()?;
        let after = match bytes.try_get_u8().ok()? {
            0 if bytes.is_empty() => None,
            1 => Some(bytes),
            _ => return None,
        };
        is_ours.then_some(Self { partition, after })
    }
}

impl Wanted {
    /// # Errors
    /// Bytes that are no cursor of this prefix, or a partition that does not exist.
    pub fn read(wanted: &LookupPrefix, partitions: i32) -> Result<Self, KeyFault> {
        let (first, last) = match wanted.partition {
            ANY_PARTITION => (0, partitions - 1),
            named if (0..partitions).contains(&named) => (named, named),
            _ => return Err(KeyFault::NoPartition),
        };
        let from = match &wanted.cursor {
            None => Place {
                partition: first,
                after: None,
            },
            // Kept while the request waits, which keeps its frame otherwise.
            Some(cursor) => Place::from_bytes(Bytes::copy_from_slice(cursor))
                .filter(|place| (first..=last).contains(&place.partition))
                .ok_or(KeyFault::BadCursor)?,
        };
        let limit = usize::try_from(wanted.limit)
            .ok()
            .filter(|limit| *limit > 0);
        Ok(Self {
            range: KeyRange::prefix(&wanted.prefix),
            limit: limit.unwrap_or(usize::MAX),
            from,
            last,
        })
    }

    /// Where it has to look.
    pub fn partitions(&self) -> impl Iterator<Item = i32> + use<> {
        self.from.partition..=self.last
    }
}

type Snapshots = BTreeMap<i32, Result<Arc<Snapshot>, KeyFault>>;

/// Finds about `max_bytes` of rows.
pub async fn look_up(
    ctx: &Context,
    prefixes: Vec<Result<Wanted, KeyFault>>,
    parts: &BTreeMap<i32, Part>,
    max_bytes: usize,
    deadline: Instant,
) -> PrefixRows {
    let wanted = prefixes.iter().flatten().flat_map(Wanted::partitions);
    let wanted: BTreeSet<_> = wanted.collect();
    if wanted.is_empty() && prefixes.is_empty() {
        return PrefixRows::default();
    }
    let mut snapshots = Snapshots::new();
    for part in parts.values().filter(|part| wanted.contains(&part.index)) {
        let snapshot = key_tables::ask(ctx, part, deadline, Table::snapshot).await;
        snapshots.insert(part.index, snapshot.map(Arc::new));
    }
    let read = move || {
        let mut left = max_bytes;
        let mut all = PrefixRows::default();
        for prefix in prefixes {
            let found = prefix.and_then(|wanted| read(&wanted, &snapshots, &mut left, &mut all));
            all.results.push(found.unwrap_or_else(|fault| PrefixResult {
                error_code: fault.code().code(),
                ..PrefixResult::default()
            }));
        }
        let reflects = |(index, snapshot): (&i32, &Result<Arc<Snapshot>, _>)| {
            Some((*index, snapshot.as_ref().ok()?.reflects()))
        };
        all.reflected = snapshots.iter().filter_map(reflects).collect();
        all
    };
    ctx.broker.log().blocking(read).await
}

/// Adds the rows of one prefix to those of all; nothing of it if it fails.
fn read(
    wanted: &Wanted,
    snapshots: &Snapshots,
    left: &mut usize,
    all: &mut PrefixRows,
) -> Result<PrefixResult, KeyFault> {
    let before = all.rows.len();
    let next = read_rows(wanted, snapshots, left, &mut all.rows);
    if next.is_err() {
        all.rows.truncate(before);
    }
    let row_count = all.rows.len() - before;
    Ok(PrefixResult {
        error_code: ErrorCode::None.code(),
        cursor: next?.map(|place| place.to_bytes()),
        row_count: i32::try_from(row_count).unwrap_or(i32::MAX),
        undecodable_count: 0,
    })
}

/// Answers where to go on.
fn read_rows(
    wanted: &Wanted,
    snapshots: &Snapshots,
    left: &mut usize,
    rows: &mut Vec<FoundRow>,
) -> Result<Option<Place>, KeyFault> {
    let mut limit = wanted.limit;
    let mut after = wanted.from.after.clone();
    for partition in wanted.partitions() {
        let snapshot = match snapshots.get(&partition) {
            Some(snapshot) => snapshot.clone()?,
            None => return Err(KeyFault::NoPartition),
        };
        loop {
            let rows_max = limit.min(ROWS_MAX.saturating_sub(rows.len()));
            if rows_max == 0 || *left == 0 {
                return Ok(Some(Place { partition, after }));
            }
            let rows_max = rows_max.min(ROWS_PER_STEP);
            let page = snapshot.page(&wanted.range, after.as_deref(), rows_max, *left)?;
            limit -= page.rows.len();
            for (key, row) in page.rows {
                *left = left.saturating_sub(key.len() + row.value.len());
                rows.push(FoundRow {
                    partition,
                    key,
                    row,
                });
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_nothing_else_is_one() {
        for after in [None, Some(&b""[..]), Some(b"key")] {
            let place = Place {
                partition: 3,
                after: after.map(Bytes::from_static),
            };
            assert_eq!(Place::from_bytes(place.to_bytes()), Some(place));
        }
        for bytes in [
            &b""[..],
            b"\x01\0\0",
            b"\x02\0\0\0\0\0",
            b"\x01\0\0\0\0\x02",
            b"\x01\0\0\0\0\0x",
        ] {
            assert_eq!(Place::from_bytes(Bytes::from_static(bytes)), None);
        }
    }

    #[test]
    fn a_prefix_looks_where_its_cursor_says() {
        let wanted = LookupPrefix {
            partition: ANY_PARTITION,
            limit: -1,
            ..LookupPrefix::default()
        };
        let partitions = |wanted: &LookupPrefix| {
            Wanted::read(wanted, 4).map(|wanted| wanted.partitions().collect::<Vec<_>>())
        };
        assert_eq!(partitions(&wanted), Ok(vec![0, 1, 2, 3]));
        let place = Place {
            partition: 2,
            after: None,
        };
        let gone_on = LookupPrefix {
            cursor: Some(place.to_bytes()),
            ..wanted.clone()
        };
        assert_eq!(partitions(&gone_on), Ok(vec![2, 3]));
        let of_one = |partition| LookupPrefix {
            partition,
            ..gone_on.clone()
        };
        assert_eq!(partitions(&of_one(2)), Ok(vec![2]));
        assert_eq!(partitions(&of_one(1)), Err(KeyFault::BadCursor));
        assert_eq!(partitions(&of_one(4)), Err(KeyFault::NoPartition));
    }
}
