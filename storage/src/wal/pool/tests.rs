//! Files after a cut: what is read, what is used again, what goes.

use super::*;
use crate::disk::SimDisk;

fn pool(disk: &SimDisk) -> WalPool {
    let options = WalOptions {
        file_bytes: 4 * BLOCK as u64,
        budget_bytes: 64 * BLOCK as u64,
        mode: WriteMode::Buffered,
    };
    let (pool, names) = WalPool::open(Arc::new(disk.clone()), options).expect("opens");
    assert!(names.is_empty());
    pool
}

/// A file with the slots `first..end`, a block each.
fn write(pool: &WalPool, first: u64, end: u64) -> Arc<WalFile> {
    let file = pool.take(BLOCK as u64, first, Budget::Keep).expect("room");
    for number in first..end {
        let pos = (number - first) * BLOCK as u64;
        file.write_slot(number, &[1; BLOCK], pos).expect("written");
    }
    file
}

fn names(disk: &SimDisk) -> Vec<String> {
    disk.list(WAL_DIR).expect("lists")
}

#[test]
fn a_file_whose_sync_failed_is_read_and_then_removed() {
    let disk = SimDisk::new();
    let pool = pool(&disk);
    let suspect = write(&pool, 0, 3);
    pool.cut(2, 2).expect("cut");
    let next = write(&pool, 2, 3);
    assert_eq!(pool.drain(3), 0, "a reader has it in hand");
    drop(suspect);
    assert_eq!(pool.drain(3), 2);
    pool.low_slot_is_durable(3);
    assert_eq!(names(&disk), [next.name.as_str()]);

    // One that was synced is used again.
    let newer = write(&pool, 3, 4);
    let name = next.name.clone();
    drop(next);
    assert_eq!(pool.drain(4), 3);
    pool.low_slot_is_durable(3);
    assert_eq!(write(&pool, 4, 5).name, name);
    drop(newer);
}

#[test]
fn a_file_of_slots_that_were_cut_off_goes_and_moves_no_low_slot() {
    let disk = SimDisk::new();
    let pool = pool(&disk);
    let (durable, held, free) = (write(&pool, 0, 2), write(&pool, 3, 5), write(&pool, 5, 6));
    let gone = free.name.clone();
    drop(free);
    pool.cut(2, 2).expect("cut");
    assert!(!names(&disk).contains(&gone));
    let next = write(&pool, 2, 3);
    drop(durable);
    assert_eq!(
        pool.drain(3),
        2,
        "slot 2 is in the file behind the one from slot 3 on"
    );
    drop(held);
    assert_eq!(pool.drain(3), 2);
    drop(next);
}

#[test]
fn on_a_full_disk_a_note_goes_into_a_small_file() {
    let disk = SimDisk::new();
    let pool = pool(&disk);
    disk.set_capacity(Some(2 * BLOCK as u64));
    let refused = pool.take(BLOCK as u64, 0, Budget::Keep);
    assert!(matches!(refused, Err(TakeError::NoSpace(_))));
    let small = pool.take(100, 0, Budget::Exceed).expect("room for a note");
    assert_eq!(small.len, BLOCK as u64);

    // It is not kept for records.
    disk.set_capacity(None);
    let next = write(&pool, 1, 2);
    drop(small);
    assert_eq!(pool.drain(2), 1);
    pool.low_slot_is_durable(2);
    assert_eq!(names(&disk), [next.name.as_str()]);
}
