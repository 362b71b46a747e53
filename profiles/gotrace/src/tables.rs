//! Strings and stacks, addressed by small numbers.
//!
//! On the wire every generation numbers its strings and stacks anew and defines each number once. A generation's tables
//! are flat: one allocation for all text, one for all frames, both reused for the next generation.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::ops::Range;

use crate::ids::{StackId, StringId, index};

/// Strings as bytes: Go cuts long strings at 1,024 bytes, and users log any bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringTable {
    text: Vec<u8>,
    /// Where each string ends in `text`. Invariant: starts with the empty string, never decreases.
    ends: Vec<u32>,
}

impl Default for StringTable {
    fn default() -> Self {
        Self {
            text: Vec::new(),
            ends: vec![0],
        }
    }
}

impl StringTable {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.truncate(1);
    }

    /// `None` once 4 GiB of text or 2^32 strings are stored.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Option<StringId> {
        let id = u32::try_from(self.ends.len()).ok()?;
        let end = u32::try_from(self.text.len().checked_add(bytes.len())?).ok()?;
        self.text.extend_from_slice(bytes);
        self.ends.push(end);
        Some(StringId(id))
    }

    /// The bytes of a string; empty for an id of another table.
    #[inline]
    pub fn bytes(&self, id: StringId) -> &[u8] {
        self.text.get(span(&self.ends, id.index())).unwrap_or_default()
    }

    /// The string as text; bytes that are not UTF-8 become U+FFFD. Borrowed in all but that case.
    pub fn text(&self, id: StringId) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes(id))
    }

    /// The strings from a position on, by id.
    pub(crate) fn iter_from(&self, position: usize) -> impl Iterator<Item = &[u8]> {
        let texts = (position..self.ends.len()).map(|position| self.text.get(span(&self.ends, position)));
        texts.map(Option::unwrap_or_default)
    }

    /// How many strings there are, the empty one included.
    pub fn count(&self) -> usize {
        self.ends.len()
    }
}

/// One frame of a stack. The runtime has already expanded inlined calls and dropped `runtime.goexit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Program counter.
    pub pc: u64,
    /// Function, with its package path.
    pub function: StringId,
    /// Source file.
    pub file: StringId,
    /// Line in the file.
    pub line: u64,
}

/// Stacks, each a run of frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackTable {
    frames: Vec<Frame>,
    /// Where each stack ends in `frames`. Invariant: never decreases.
    ends: Vec<u32>,
}

impl StackTable {
    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.ends.clear();
    }

    /// Adds a frame to the stack that [`StackTable::close`] will end.
    pub(crate) fn push_frame(&mut self, frame: Frame) {
        self.frames.push(frame);
    }

    /// Ends the stack of the frames that were pushed. `None` once 2^32 frames or stacks are stored.
    pub(crate) fn close(&mut self) -> Option<StackId> {
        self.ends.push(u32::try_from(self.frames.len()).ok()?);
        u32::try_from(self.ends.len())
            .ok()
            .and_then(NonZeroU32::new)
            .map(StackId)
    }

    /// The frames of a stack, leaf first; empty for an id of another table.
    #[inline]
    pub fn frames(&self, id: StackId) -> &[Frame] {
        self.frames.get(span(&self.ends, id.index())).unwrap_or_default()
    }

    /// All stacks with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (StackId, &[Frame])> {
        (1..)
            .map_while(NonZeroU32::new)
            .map(StackId)
            .take(self.ends.len())
            .map(|id| (id, self.frames(id)))
    }

    /// The stacks from a position on, by id.
    pub(crate) fn iter_from(&self, position: usize) -> impl Iterator<Item = &[Frame]> {
        let frames = (position..self.ends.len()).map(|position| self.frames.get(span(&self.ends, position)));
        frames.map(Option::unwrap_or_default)
    }

    /// How many stacks there are.
    pub fn count(&self) -> usize {
        self.ends.len()
    }
}

/// What lies between the end before `position` and its own; empty beyond the last.
#[inline]
fn span(ends: &[u32], position: usize) -> Range<usize> {
    let start = match position.checked_sub(1) {
        Some(before) => ends.get(before).copied().unwrap_or(0),
        None => 0,
    };
    let end = ends.get(position).copied().unwrap_or(start);
    index(start)..index(end)
}

/// A generation's own numbering: wire id to value.
#[derive(Debug)]
pub(crate) struct WireTable<T> {
    dense: Vec<Option<T>>,
    // Invariant: sorted by id; used only when the ids are too far apart for `dense`.
    sparse: Vec<(u64, T)>,
}

/// One definition in a generation's table.
#[derive(Debug)]
pub(crate) struct Definition<T> {
    pub(crate) wire_id: u64,
    pub(crate) offset: usize,
    pub(crate) value: T,
}

impl<T: Copy> WireTable<T> {
    /// Builds the table. A wire id defined twice, or wire id 0 (which means "none"), is returned as the error.
    pub(crate) fn build(definitions: Vec<Definition<T>>) -> Result<Self, Definition<T>> {
        let last = definitions
            .iter()
            .map(|definition| definition.wire_id)
            .max()
            .unwrap_or(0);
        // At most three quarters of the slots may be in vain beyond a small table.
        let dense_limit = definitions.len().saturating_mul(4).saturating_add(64);
        match usize::try_from(last) {
            Ok(last) if last <= dense_limit => Self::dense(last, definitions),
            _ => Self::sparse(definitions),
        }
    }

    fn dense(last: usize, definitions: Vec<Definition<T>>) -> Result<Self, Definition<T>> {
        let mut dense = vec![None; last.saturating_add(1)];
        for definition in definitions {
            let slot = usize::try_from(definition.wire_id).ok().and_then(|i| dense.get_mut(i));
            let slot = slot.expect("the vector reaches to the largest id");
            if definition.wire_id == 0 || slot.is_some() {
                return Err(definition);
            }
            *slot = Some(definition.value);
        }
        Ok(Self {
            dense,
            sparse: Vec::new(),
        })
    }

    fn sparse(mut definitions: Vec<Definition<T>>) -> Result<Self, Definition<T>> {
        definitions.sort_by_key(|definition| definition.wire_id);
        let twice = definitions
            .windows(2)
            .position(|pair| matches!(pair, [a, b] if a.wire_id == b.wire_id));
        if let Some(first) = twice {
            return Err(definitions.swap_remove(first.saturating_add(1)));
        }
        if definitions.first().is_some_and(|definition| definition.wire_id == 0) {
            return Err(definitions.swap_remove(0));
        }
        let sparse = definitions
            .into_iter()
            .map(|definition| (definition.wire_id, definition.value))
            .collect();
        Ok(Self {
            dense: Vec::new(),
            sparse,
        })
    }

    #[inline]
    pub(crate) fn get(&self, wire_id: u64) -> Option<T> {
        if let Some(value) = usize::try_from(wire_id).ok().and_then(|i| self.dense.get(i)) {
            return *value;
        }
        self.find_sparse(wire_id)
    }

    #[cold]
    fn find_sparse(&self, wire_id: u64) -> Option<T> {
        let at = self.sparse.binary_search_by_key(&wire_id, |(id, _)| *id).ok()?;
        self.sparse.get(at).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(ids: &[u64]) -> Result<WireTable<u64>, u64> {
        let define = |(offset, id): (usize, &u64)| Definition {
            wire_id: *id,
            offset,
            value: id.wrapping_mul(10),
        };
        WireTable::build(ids.iter().enumerate().map(define).collect()).map_err(|twice| twice.wire_id)
    }

    #[test]
    fn finds_dense_and_far_apart_ids() {
        for ids in [vec![3, 1, 2], vec![5, u64::MAX - 1, 1 << 40]] {
            let table = table(&ids).unwrap();
            for id in ids {
                assert_eq!(table.get(id), Some(id.wrapping_mul(10)));
            }
            assert_eq!(table.get(4), None);
            assert_eq!(table.get(u64::MAX), None);
        }
    }

    #[test]
    fn a_huge_id_does_not_make_a_huge_table() {
        assert!(table(&[1, 1 << 30]).unwrap().dense.is_empty());
    }

    #[test]
    fn rejects_ids_defined_twice_and_the_reserved_id() {
        for far in [3, 1 << 40] {
            assert_eq!(table(&[1, far, 1]).unwrap_err(), 1);
            assert_eq!(table(&[0, far]).unwrap_err(), 0);
        }
    }

    #[test]
    fn strings_and_stacks_are_found_by_id() {
        let mut strings = StringTable::default();
        let run = strings.push(b"main.run").unwrap();
        let file = strings.push(b"main.go").unwrap();
        assert_eq!(
            (strings.text(run), strings.text(file)),
            ("main.run".into(), "main.go".into())
        );
        assert_eq!(strings.text(StringId::EMPTY), "");
        assert_eq!(strings.text(StringId(9)), "");

        let frame = |line| Frame {
            pc: 1,
            function: run,
            file,
            line,
        };
        let mut stacks = StackTable::default();
        stacks.push_frame(frame(1));
        stacks.push_frame(frame(2));
        let two = stacks.close().unwrap();
        let none = stacks.close().unwrap();
        stacks.push_frame(frame(3));
        let one = stacks.close().unwrap();
        assert_eq!(stacks.frames(two), [frame(1), frame(2)]);
        assert_eq!(stacks.frames(none), []);
        assert_eq!(stacks.frames(one), [frame(3)]);
        assert_eq!(stacks.iter().count(), 3);
    }
}
