//! Damaged record batches through Produce, onto a disk in memory whose power is cut in the end.
//!
//! What is taken must be whole: it comes back byte for byte but for what the broker sets, its records can be
//! read, and it is there after the cut. What is refused leaves nothing behind. The same bytes in every run;
//! `TIDELOG_FUZZ_SECONDS=60` goes on with further seeds for a minute.

mod support;

use bytes::Bytes;
use support::Client;
use support::data::*;
use support::fuzz::{Dice, seeds};
use support::power::SimBroker;
use support::txn::transactional_id;
use tidelog_records::{BatchBuilder, BatchHeader, Codec, Records};
use tidelog_storage::disk::SimDisk;

/// Batches of one life of a broker.
const BATCHES: usize = 250;
/// The time of records: a fixed one, so that every run sends the same bytes.
const TIME_MS: i64 = 1_700_000_000_000;
/// Where the checksum stands, and where what it covers begins.
const CRC: std::ops::Range<usize> = 17..21;
const COVERED: usize = 21;
/// The greatest time of its records.
const TIME: std::ops::Range<usize> = 35..43;

/// A batch that is right.
fn right(dice: &mut Dice) -> Bytes {
    let codec = [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ][dice.below(5)];
    let mut builder = BatchBuilder::new().codec(codec, None);
    if dice.one_in(4) {
        builder = builder.producer(dice.below(3) as i64, 0, dice.below(4) as i32);
        if dice.one_in(3) {
            builder = builder.transactional();
        }
    }
    for _ in 0..=dice.below(5) {
        let size = dice.below(60);
        let value = dice.bytes(size);
        let header = (&b"h"[..], Some(&b"v"[..]));
        let headers = dice.one_in(3).then_some(header);
        let time_ms = TIME_MS + dice.below(1_000) as i64;
        builder
            .append(time_ms, Some(b"k"), Some(&value), headers)
            .expect("small");
    }
    builder.finish().expect("small")
}

/// The batch damaged, but for some; every other time with a checksum that fits, so that the damage is
/// looked at.
fn damaged(dice: &mut Dice) -> Bytes {
    let mut bytes = right(dice).to_vec();
    match dice.below(8) {
        0..=2 => {}
        3 => bytes.extend(right(dice)),
        _ => dice.damage(&mut bytes),
    }
    if dice.one_in(2) && bytes.len() > COVERED {
        let length = i32::try_from(bytes.len() - 12).expect("small");
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        let crc = crc32c(&bytes[COVERED..]);
        bytes[CRC].copy_from_slice(&crc.to_be_bytes());
    }
    bytes.into()
}

/// CRC-32C, bit by bit: nobody else's code says what is right here.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| match crc & 1 {
            1 => crc >> 1 ^ 0x82f6_3b78,
            _ => crc >> 1,
        })
    };
    !bytes.iter().fold(!0, step)
}

/// Every batch of a partition, all of them readable, without a gap.
async fn read_all(client: &mut Client, topic: &str) -> Vec<Bytes> {
    let (mut all, mut at) = (Vec::new(), 0);
    loop {
        let part = client.fetch(topic, 0, at).await;
        assert_eq!(part.error_code, 0, "{part:?}");
        let some = batches(&part.records);
        if some.is_empty() {
            assert_eq!(at, part.high_watermark);
            return all;
        }
        for batch in some {
            let header = BatchHeader::read(&batch).expect("a batch");
            assert_eq!(header.base_offset, at, "no gap");
            assert_eq!(crc32c(&batch[COVERED..]).to_be_bytes(), batch[CRC]);
            let records = Records::open(&batch, 1 << 20).expect("what was taken can be opened");
            let offsets: Vec<_> = (&records)
                .into_iter()
                .map(|r| r.expect("a record").offset)
                .collect();
            assert!(offsets.is_sorted());
            assert_eq!(
                offsets.last(),
                Some(&header.last_offset()),
                "the records are all there"
            );
            at = header.last_offset() + 1;
            all.push(batch);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_is_whole_and_stays() {
    for seed in seeds(4) {
        let mut dice = Dice::new(seed);
        let disk = SimDisk::new();
        let broker = SimBroker::start(&disk).await;
        let mut client = broker.client().await;
        client.make_topic("t", 1, &[]).await;
        client
            .make_topic("zstd", 1, &[("compression.type", "zstd")])
            .await;
        let mut kept: Vec<(Bytes, i64)> = Vec::new();
        let mut refused = 0;
        for _ in 0..BATCHES {
            let batch = damaged(&mut dice);
            let mut request = produce_request(-1, "t", &[(0, batch.clone())]);
            if dice.one_in(20) {
                request = request.with_transactional_id(Some(transactional_id("fuzz")));
            }
            let answer = client.call(PRODUCE, &request).await;
            let part = &answer.responses[0].partition_responses[0];
            match part.error_code {
                0 => kept.push((batch.clone(), part.base_offset)),
                -1 => panic!("seed {seed}: {part:?} for {batch:02x?}"),
                _ => refused += 1,
            }
            // Through the codec of the topic, too.
            let request = produce_request(-1, "zstd", &[(0, batch.clone())]);
            let answer = client.call(PRODUCE, &request).await;
            let again = &answer.responses[0].partition_responses[0];
            assert_ne!(
                again.error_code, -1,
                "seed {seed}: {again:?} for {batch:02x?}"
            );
        }
        assert!(
            refused > BATCHES / 10 && kept.len() > BATCHES / 10,
            "seed {seed}: {refused}"
        );

        let before = read_all(&mut client, "t").await;
        let recoded = read_all(&mut client, "zstd").await;
        // A batch that was sent again is there once.
        kept.sort_by_key(|(_, offset)| *offset);
        kept.dedup_by_key(|(_, offset)| *offset);
        assert_eq!(before.len(), kept.len(), "seed {seed}");
        for (stored, (sent, offset)) in before.iter().zip(&kept) {
            let header = BatchHeader::read(stored).expect("a batch");
            assert_eq!(header.base_offset, *offset);
            // Offset and leader epoch are ours to set, and a wrong greatest time is put right, as in
            // Kafka; the rest is the producer's.
            assert_eq!(stored[8..12], sent[8..12], "seed {seed}");
            assert_eq!(
                stored[COVERED..TIME.start],
                sent[COVERED..TIME.start],
                "seed {seed}"
            );
            assert_eq!(stored[TIME.end..], sent[TIME.end..], "seed {seed}");
            if stored[TIME] == sent[TIME] {
                assert_eq!(stored[CRC], sent[CRC], "seed {seed}");
            }
        }
        broker.drop_dead(&disk).await;
        let disk = disk.after_power_cut(seed);
        let broker = SimBroker::start(&disk).await;
        let mut client = broker.client().await;
        assert_eq!(read_all(&mut client, "t").await, before, "seed {seed}");
        assert_eq!(read_all(&mut client, "zstd").await, recoded, "seed {seed}");
        broker.drop_dead(&disk).await;
    }
}
