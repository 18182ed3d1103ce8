//! Reading a table in the order of its keys: ranges, and where to go on.

use std::ops::Bound;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tidelog_storage::ids::Offset;

/// Keys from one on, up to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    start: Bytes,
    /// The first key beyond.
    end: Option<Bytes>,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> Self {
        Self::prefix(&[])
    }

    /// The keys that begin with these bytes.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self {
            start: Bytes::copy_from_slice(prefix),
            end: successor(prefix),
        }
    }

    /// The keys from `start` to below `end`.
    pub fn between(start: Bytes, end: Bytes) -> Self {
        let end = Some(end);
        Self { start, end }
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        key >= &self.start[..] && self.end.as_ref().is_none_or(|end| key < &end[..])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    pub(crate) fn start(&self) -> &[u8] {
        &self.start
    }

    /// The part of the range behind a key.
    pub(crate) fn behind(&self, key: &[u8]) -> Self {
        // The smallest key that is greater.
        let next = Bytes::from([key, &[0]].concat());
        Self {
            start: next.max(self.start.clone()),
            end: self.end.clone(),
        }
    }

    pub(crate) fn bounds(&self) -> (Bound<Bytes>, Bound<Bytes>) {
        let end = self.end.clone();
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        (Bound::Included(self.start.clone()), end)
    }
}

/// The first key beyond all that begin with `prefix`; `None` if there is none.
fn successor(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next.into())
}

/// Where a scan stands, to be handed out and taken back. Whoever goes on with it in a view of the
/// same offset misses nothing and sees nothing twice; in a later view it sees the rows behind the
/// key as they are then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// What the scan's view reflects.
    pub reflects: Offset,
    /// The last key that was given out.
    pub after: Bytes,
}

/// First byte of a cursor.
const CURSOR_VERSION: u8 = 1;

impl Cursor {
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(9 + self.after.len());
        out.put_u8(CURSOR_VERSION);
        out.put_i64(self.reflects);
        out.extend_from_slice(&self.after);
        out.freeze()
    }

    /// `None` for bytes that are no cursor.
    pub fn from_bytes(mut bytes: Bytes) -> Option<Self> {
        let is_ours = bytes.try_get_u8() == Ok(CURSOR_VERSION);
        let reflects = bytes.try_get_i64().ok()?;
        is_ours.then_some(Self {
            reflects,
            after: bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_the_next_begins() {
        let range = KeyRange::prefix(b"a\xff");
        for (key, inside) in [
            (&b"a"[..], false),
            (b"a\xff", true),
            (b"a\xff\xff", true),
            (b"b", false),
        ] {
            assert_eq!(range.contains(key), inside, "{key:?}");
        }
        assert!(KeyRange::prefix(b"\xff").contains(b"\xff\xff\xff"));
        assert!(KeyRange::all().contains(b""));
    }

    #[test]
    fn behind_a_key_is_not_the_key() {
        let range = KeyRange::prefix(b"a").behind(b"ab");
        assert!(!range.contains(b"ab") && range.contains(b"ab\0"));
        assert_eq!(KeyRange::prefix(b"b").behind(b"a"), KeyRange::prefix(b"b"));
        assert!(KeyRange::prefix(b"a").behind(b"b").is_empty());
    }

    #[test]
    fn a_cursor_comes_back() {
        let cursor = Cursor {
            reflects: 77,
            after: Bytes::from_static(b"key"),
        };
        assert_eq!(cursor.to_bytes(), &b"\x01\0\0\0\0\0\0\0\x4dkey"[..]);
        assert_eq!(Cursor::from_bytes(cursor.to_bytes()), Some(cursor));
        for bytes in [&b""[..], b"\x01\0", b"\x02\0\0\0\0\0\0\0\0"] {
            assert_eq!(Cursor::from_bytes(Bytes::copy_from_slice(bytes)), None);
        }
    }
}
