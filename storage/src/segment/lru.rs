//! A least-recently-used map bounded by the sum of its entries' costs.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

pub(crate) struct Lru<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Keys by last use; the first one goes first.
    by_use: BTreeMap<u64, K>,
    clock: u64,
    cost: usize,
    cost_max: usize,
}

struct Entry<V> {
    value: V,
    cost: usize,
    used: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> Lru<K, V> {
    pub(crate) fn new(cost_max: usize) -> Self {
        let (entries, by_use) = (HashMap::new(), BTreeMap::new());
        Self {
            entries,
            by_use,
            clock: 0,
            cost: 0,
            cost_max,
        }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.get_mut(key)?;
        self.clock += 1;
        self.by_use.remove(&entry.used);
        self.by_use.insert(self.clock, key.clone());
        entry.used = self.clock;
        Some(entry.value.clone())
    }

    /// Keeps `value`, dropping the longest unused others; one dearer than all is not kept.
    pub(crate) fn put(&mut self, key: K, value: V, cost: usize) {
        self.remove(&key);
        if cost > self.cost_max {
            return;
        }
        while self.cost + cost > self.cost_max {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            self.remove(&oldest);
        }
        self.clock += 1;
        self.cost += cost;
        self.by_use.insert(self.clock, key.clone());
        self.entries.insert(
            key,
            Entry {
                value,
                cost,
                used: self.clock,
            },
        );
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_use.remove(&entry.used);
            self.cost -= entry.cost;
        }
    }

    pub(crate) fn remove_where(&mut self, gone: impl Fn(&K) -> bool) {
        let keys: Vec<_> = self
            .entries
            .keys()
            .filter(|key| gone(key))
            .cloned()
            .collect();
        keys.iter().for_each(|key| self.remove(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_goes_first() {
        let mut lru = Lru::new(10);
        lru.put("a", 1, 4);
        lru.put("b", 2, 4);
        assert_eq!(lru.get(&"a"), Some(1));
        lru.put("c", 3, 4);
        assert_eq!(
            (lru.get(&"a"), lru.get(&"b"), lru.get(&"c")),
            (Some(1), None, Some(3))
        );
        assert_eq!(lru.cost, 8);
    }

    #[test]
    fn what_cannot_fit_is_not_kept() {
        let mut lru = Lru::new(10);
        lru.put("a", 1, 4);
        lru.put("huge", 2, 11);
        assert_eq!((lru.get(&"a"), lru.get(&"huge")), (Some(1), None));
    }

    #[test]
    fn replacing_and_removing_give_the_cost_back() {
        let mut lru = Lru::new(10);
        lru.put(1, 'a', 6);
        lru.put(1, 'b', 7);
        lru.put(2, 'c', 3);
        assert_eq!((lru.cost, lru.get(&1)), (10, Some('b')));
        lru.remove_where(|key| *key == 1);
        assert_eq!((lru.cost, lru.by_use.len(), lru.get(&2)), (3, 1, Some('c')));
    }
}
