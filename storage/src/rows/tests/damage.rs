//! Rotten bytes: every flipped bit is found, and no bytes make a header that panics.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::super::*;
use super::sample::*;
use crate::disk::SimDisk;

#[test]
fn any_flipped_bit_is_found_by_verify() {
    let disk = SimDisk::new();
    let (meta, _) = file(&disk, Compression::Zstd);
    let mut rng = SmallRng::seed_from_u64(2);
    for _ in 0..300 {
        let disk = SimDisk::new();
        file(&disk, Compression::Zstd);
        let at = rng.random_range(0..meta.file_len);
        disk.flip_bit(&FILE.path(), at);
        assert!(reader(&disk, &meta).verify(&shape()).is_err(), "byte {at}");
    }
}

#[test]
fn a_flipped_bit_of_a_block_names_its_place() {
    let disk = SimDisk::new();
    let (meta, _) = file(&disk, Compression::None);
    let block = &meta.blocks[1];
    let all = Projection::all(&shape());
    for at in [
        block.pos,
        block.pos + u64::from(block.header_len),
        block.pos + 300,
    ] {
        let disk = SimDisk::new();
        file(&disk, Compression::None);
        disk.flip_bit(&FILE.path(), at);
        let error = reader(&disk, &meta)
            .read(block, &all)
            .unwrap_err()
            .to_string();
        assert!(error.contains("is corrupt at offset 40 of "), "{error}");
    }
}

#[test]
fn a_client_sees_damage_by_the_checksum() {
    let disk = SimDisk::new();
    let (meta, _) = file(&disk, Compression::Lz4);
    let block = &meta.blocks[0];
    disk.flip_bit(&FILE.path(), block.pos + u64::from(block.header_len));
    // A cut reads no column: the damage goes to the client with the crc that gives it away.
    let offsets = select(&["_offset"]);
    let message = reader(&disk, &meta).project(block, &offsets, 0).unwrap();
    let bytes = message.read().unwrap();
    assert_ne!(
        crc32c::crc32c(&bytes[message.header.len()..]),
        message.checksums[0]
    );
}

#[test]
fn random_headers_never_panic() {
    let shape = shape();
    let projection = select(&["city", "address.geo.lat", "tags"]);
    let (_, block) = block(1, 0, 60, Compression::Zstd);
    let mut taken = 0;
    for seed in 0..20_000 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut header = block.header().to_vec();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..header.len());
            header[at] = rng.random();
        }
        if rng.random_bool(0.1) {
            header.truncate(rng.random_range(0..header.len()));
        }
        if let Ok(layout) = BlockLayout::parse(&header, &shape) {
            taken += 1;
            let changed = EncodedBlock {
                layout: layout.into(),
                ..block.clone()
            };
            // Decoding is not tried: it takes only headers that the manifest's crc has proved.
            if changed.layout.body_len() == block.body().len() as u64 {
                let message = changed.project(&projection, 0);
                assert!(message.is_err() || message.is_ok_and(|message| message.read().is_ok()));
            }
        }
    }
    assert!(taken > 0, "some changes are harmless");
}

#[test]
fn wild_manifests_never_panic() {
    let disk = SimDisk::new();
    let (meta, _) = file(&disk, Compression::Zstd);
    let all = Projection::all(&shape());
    for seed in 0..2_000 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut wild = meta.clone();
        let number = match rng.random_range(0..3) {
            0 => u64::MAX,
            1 => rng.random(),
            _ => rng.random_range(0..meta.file_len),
        };
        let block = &mut wild.blocks[0];
        match rng.random_range(0..8) {
            0 => block.base_offset = number as i64,
            1 => block.end_offset = number as i64,
            2 => block.rows = number,
            3 => block.pos = number,
            4 => block.header_len = number as u32,
            5 => block.body_len = number,
            6 => wild.file_len = number,
            _ => wild.format_version = number as u16 | 2,
        }
        let reader = reader(&disk, &wild);
        for block in reader.blocks_from(0) {
            let _ = reader.project(block, &all, 20);
            let _ = reader.read(block, &all);
        }
    }
}
