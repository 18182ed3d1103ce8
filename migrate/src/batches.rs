//! Record batches as they come in answers: whole ones, in order, and what they amount to.

use bytes::Bytes;
use std::hash::Hasher as _;
use tidelog_records::{BatchError, BatchHeader, compact, validate};
use twox_hash::XxHash64;

/// First byte that neither offsets nor leader epochs touch; the crc before it follows from the rest.
const ATTRIBUTES_AT: usize = 21;

/// One batch as it is stored.
#[derive(Debug, Clone)]
pub struct Batch {
    pub header: BatchHeader,
    pub bytes: Bytes,
}

impl Batch {
    pub fn end(&self) -> i64 {
        self.header.last_offset() + 1
    }

    /// Stands for offsets that the source has no records for, and holds none.
    pub fn is_filler(&self) -> bool {
        self.header.record_count == 0 && self.header.producer_id < 0
    }

    /// Whether both hold the same bytes at the same offset.
    pub fn is_same(&self, other: &Self) -> bool {
        self.header.base_offset == other.header.base_offset
            && self.bytes[ATTRIBUTES_AT..] == other.bytes[ATTRIBUTES_AT..]
    }
}

/// Takes the batches apart that end after `offset`. A last one that was cut off is left out.
///
/// # Errors
/// What is damaged, or older than format v2.
pub fn take(mut records: Bytes, offset: i64) -> Result<Vec<Batch>, BatchError> {
    let mut batches = Vec::new();
    while let Some(len) = length(&records).filter(|&len| len <= records.len()) {
        let bytes = records.split_to(len);
        let header = validate::check_intact(&bytes)?;
        let batch = Batch { header, bytes };
        if batch.end() > offset {
            batches.push(batch);
        }
    }
    Ok(batches)
}

/// Length of the first batch, once enough of it is there to tell; all formats begin alike.
fn length(records: &Bytes) -> Option<usize> {
    let length: [u8; 4] = records.get(8..12)?.try_into().ok()?;
    // Not less than a format's smallest, so that what is damaged is looked at and not passed over.
    Some(usize::try_from(i32::from_be_bytes(length)).unwrap_or(0) + 12).map(|len| len.max(17))
}

/// Batches without records for the offsets from `first` to `end`.
pub fn fillers(mut first: i64, end: i64) -> Vec<Batch> {
    let mut batches = Vec::new();
    while first < end {
        let delta = i32::try_from(end - first - 1).unwrap_or(i32::MAX);
        let bytes = compact::without_records(&BatchHeader {
            base_offset: first,
            batch_length: 0,
            partition_leader_epoch: 0,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: delta,
            base_timestamp: -1,
            max_timestamp: -1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 0,
        });
        let header = BatchHeader::read(&bytes).expect("a batch begins with its header");
        first += i64::from(delta) + 1;
        batches.push(Batch { header, bytes });
    }
    batches
}

/// What many batches amount to: their count, their records (markers too), and a hash of their offsets
/// and their bytes from the attributes on.
#[derive(Clone)]
pub struct Digest {
    pub batches: u64,
    pub records: u64,
    pub bytes: u64,
    hash: XxHash64,
}

impl Default for Digest {
    fn default() -> Self {
        Self {
            batches: 0,
            records: 0,
            bytes: 0,
            hash: XxHash64::with_seed(0),
        }
    }
}

impl Digest {
    pub fn add(&mut self, batch: &Batch) {
        if batch.is_filler() {
            return;
        }
        self.batches += 1;
        self.records += u64::try_from(batch.header.record_count).unwrap_or(0);
        self.bytes += batch.bytes.len() as u64;
        self.hash.write(&batch.header.base_offset.to_be_bytes());
        self.hash.write(&batch.bytes[ATTRIBUTES_AT..]);
    }

    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        let sums = |digest: &Self| (digest.batches, digest.records, digest.bytes, digest.hash());
        sums(self) == sums(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidelog_records::BatchBuilder;

    fn batch(offset: i64, value: &[u8]) -> Bytes {
        let mut builder = BatchBuilder::new().base_offset(offset);
        for _ in 0..3 {
            let none: [(&[u8], Option<&[u8]>); 0] = [];
            builder.append(7, None, Some(value), none).expect("small");
        }
        builder.finish().expect("small")
    }

    #[test]
    fn whole_batches_from_an_offset_on() {
        let mut bytes = Vec::new();
        for offset in [0, 3, 10] {
            bytes.extend_from_slice(&batch(offset, b"v"));
        }
        let all = Bytes::from(bytes);
        let starts = |records: Bytes, offset| -> Vec<i64> {
            let batches = take(records, offset).expect("sound");
            batches.iter().map(|b| b.header.base_offset).collect()
        };
        assert_eq!(starts(all.clone(), 0), [0, 3, 10]);
        assert_eq!(starts(all.clone(), 5), [3, 10]);
        assert_eq!(starts(all.slice(..all.len() - 1), 3), [3]);
        assert_eq!(starts(Bytes::new(), 0), [0; 0]);
        let mut old = all.to_vec();
        old[16] = 1;
        assert!(matches!(take(old.into(), 0), Err(BatchError::Magic(1))));
        let mut damaged = all.to_vec();
        damaged[70] ^= 1;
        assert!(take(damaged.into(), 0).is_err());
    }

    #[test]
    fn digests_see_bytes_and_offsets_but_not_leader_epochs() {
        let digest = |offset, value: &[u8], epoch| {
            let mut bytes = batch(offset, value).to_vec();
            tidelog_records::set_leader_epoch(&mut bytes, epoch);
            let mut digest = Digest::default();
            for one in take(bytes.into(), 0).expect("sound") {
                digest.add(&one);
            }
            digest
        };
        assert!(digest(4, b"v", 0) == digest(4, b"v", 9));
        assert!(digest(4, b"v", 0) != digest(5, b"v", 0));
        assert!(digest(4, b"v", 0) != digest(4, b"w", 0));
        assert_eq!(digest(4, b"v", 0).records, 3);
    }

    #[test]
    fn fillers_cover_every_offset_and_count_for_nothing() {
        let end = 5 + (1 << 31) + 9;
        let fillers = fillers(5, end);
        assert_eq!(fillers.first().map(|b| b.header.base_offset), Some(5));
        assert_eq!(fillers.last().map(Batch::end), Some(end));
        assert!(
            fillers
                .windows(2)
                .all(|two| two[0].end() == two[1].header.base_offset)
        );
        let mut digest = Digest::default();
        for filler in &fillers {
            assert!(take(filler.bytes.clone(), 0).is_ok_and(|taken| taken.len() == 1));
            digest.add(filler);
        }
        assert!(digest == Digest::default());
    }
}
