//! From ids that the trace chooses to positions that the decoder chooses.

use std::hash::Hash;

use foldhash::HashMap;

/// How many recently used ids are found without hashing. A power of two.
const RECENT_COUNT: usize = 4096;

/// A map from ids to positions in a vector.
///
/// Ids come from the input, so the map must not degrade when they are chosen to collide: its hash (foldhash) is seeded
/// anew by every process. In front of it stands a direct-mapped cache, because the goroutines that run at the same time have ids close to
/// each other: a look-up is one comparison in nearly all cases.
#[derive(Debug)]
pub(crate) struct IdIndex<K> {
    recent: Box<[Option<(K, u32)>; RECENT_COUNT]>,
    all: HashMap<K, u32>,
}

impl<K: Copy + Eq + Hash + Into<u64>> IdIndex<K> {
    pub(crate) fn new() -> Self {
        Self {
            recent: Box::new([None; RECENT_COUNT]),
            all: HashMap::default(),
        }
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "the remainder lies inside the array")]
    fn recent_slot(&mut self, id: K) -> &mut Option<(K, u32)> {
        let number: u64 = id.into();
        let low_bits = usize::try_from(number % 4096).expect("below 4096");
        &mut self.recent[low_bits % RECENT_COUNT]
    }

    #[inline]
    pub(crate) fn find(&mut self, id: K) -> Option<u32> {
        if let Some((found, position)) = *self.recent_slot(id)
            && found == id
        {
            return Some(position);
        }
        self.find_all(id)
    }

    #[inline(never)]
    fn find_all(&mut self, id: K) -> Option<u32> {
        let position = *self.all.get(&id)?;
        *self.recent_slot(id) = Some((id, position));
        Some(position)
    }

    /// Sets the position of an id, in place of an earlier one.
    pub(crate) fn insert(&mut self, id: K, position: u32) {
        self.all.insert(id, position);
        *self.recent_slot(id) = Some((id, position));
    }

    pub(crate) fn remove(&mut self, id: K) {
        self.all.remove(&id);
        let recent = self.recent_slot(id);
        if recent.is_some_and(|(cached, _)| cached == id) {
            *recent = None;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.recent.fill(None);
        // Emptying a map takes as long as it once was large.
        self.all = HashMap::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_share_a_cache_slot_do_not_hide_each_other() {
        let mut index: IdIndex<u64> = IdIndex::new();
        index.insert(1, 10);
        index.insert(1 + 4096, 20);
        assert_eq!(
            (index.find(1), index.find(4097), index.find(1)),
            (Some(10), Some(20), Some(10))
        );
        index.remove(4097);
        assert_eq!((index.find(1), index.find(4097)), (Some(10), None));
        index.insert(1, 11);
        assert_eq!(index.find(1), Some(11));
        index.clear();
        assert_eq!(index.find(1), None);
    }
}
