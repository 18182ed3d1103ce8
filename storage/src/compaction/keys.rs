//! The newest offset of each key, in a fixed amount of memory.
//!
//! Open addressing over 128-bit hashes, never more than nine tenths full. Keys themselves are not
//! kept, so two keys of one hash would pass for one; the seed makes such a pair impossible to plan.

use twox_hash::xxhash3_128::Hasher;

use crate::ids::Offset;

/// Bytes of one slot: hash and offset.
const SLOT_BYTES: usize = size_of::<u128>() + size_of::<Offset>();

pub(super) struct KeyMap {
    seed: u64,
    /// 0 where the slot is free. Pages that no key fell into are never touched.
    hashes: Vec<u128>,
    offsets: Vec<Offset>,
    len: usize,
    len_max: usize,
}

impl KeyMap {
    /// Room for `keys_max` keys, or as many as `bytes_max` allows; for one at least.
    pub(super) fn new(bytes_max: usize, keys_max: u64, seed: u64) -> Self {
        let wanted = usize::try_from(keys_max).unwrap_or(usize::MAX);
        let slots = (wanted.saturating_add(wanted / 8).saturating_add(2))
            .min(bytes_max / SLOT_BYTES)
            .max(2);
        Self {
            seed,
            hashes: vec![0; slots],
            offsets: vec![0; slots],
            len: 0,
            len_max: (slots / 10 * 9 + slots % 10 * 9 / 10).max(1),
        }
    }

    /// Notes that `key` was written at `offset`, after all that was noted before. False, with
    /// nothing changed, if the key is new and there is no room.
    pub(super) fn note(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hash(key);
        let slot = self.find(hash);
        if self.hashes[slot] == 0 {
            if self.len == self.len_max {
                return false;
            }
            self.len += 1;
            self.hashes[slot] = hash;
        }
        self.offsets[slot] = offset;
        true
    }

    /// Where `key` was last written, if that was noted.
    pub(super) fn newest(&self, key: &[u8]) -> Option<Offset> {
        let hash = self.hash(key);
        let slot = self.find(hash);
        (self.hashes[slot] == hash).then(|| self.offsets[slot])
    }

    fn hash(&self, key: &[u8]) -> u128 {
        // 0 stands for a free slot.
        Hasher::oneshot_with_seed(self.seed, key).max(1)
    }

    /// The slot of `hash`, or the free one where it belongs. There always is a free one.
    fn find(&self, hash: u128) -> usize {
        let slots = self.hashes.len();
        // The upper half, scaled down to the number of slots.
        let mut slot = (((hash >> 64) * slots as u128) >> 64) as usize;
        while self.hashes[slot] != 0 && self.hashes[slot] != hash {
            slot = (slot + 1) % slots;
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn it_is_a_map_as_long_as_there_is_room() {
        let mut rng = SmallRng::seed_from_u64(1);
        for bytes_max in [0, 24, 48, 100, 1_000, 24_000] {
            let mut keys = KeyMap::new(bytes_max, 500, rng.random());
            let mut model: HashMap<Vec<u8>, i64> = HashMap::new();
            for offset in 0..2_000 {
                let key = rng.random_range(0..800u32).to_be_bytes().to_vec();
                let noted = keys.note(&key, offset);
                assert_eq!(
                    noted,
                    model.contains_key(&key) || model.len() < keys.len_max
                );
                if noted {
                    model.insert(key, offset);
                }
            }
            for key in 0..800u32 {
                let key = key.to_be_bytes();
                assert_eq!(keys.newest(&key), model.get(&key[..]).copied());
            }
            assert!(keys.len_max >= 1 && keys.len_max < keys.hashes.len());
        }
    }

    #[test]
    fn what_was_asked_for_fits_where_memory_allows() {
        for wanted in [0, 1, 7, 9, 10, 1_000] {
            let mut keys = KeyMap::new(1 << 20, wanted, 3);
            assert!(
                (0..wanted).all(|key| keys.note(&key.to_be_bytes(), 1)),
                "{wanted}"
            );
        }
        let small = KeyMap::new(24_000, 1 << 40, 3);
        assert_eq!(small.len_max, 900);
    }
}
