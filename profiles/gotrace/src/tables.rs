//! Strings and stacks of a whole trace, each stored once.
//!
//! On the wire every generation numbers its strings and stacks anew. The decoder gives each distinct string and each
//! distinct stack one id for the whole trace when it reads a generation's tables, so that events carry four bytes and
//! can be compared across generations.

use std::borrow::Cow;
use std::collections::HashMap;
use std::num::NonZeroU32;

use crate::ids::{StackId, StringId, index};

/// The distinct strings of a trace, as bytes: Go cuts long strings at 1,024 bytes, and users log any bytes.
#[derive(Clone, Debug)]
pub struct StringTable<'a> {
    // Invariant: position 0 is the empty string, and `ids` maps each string to its position.
    strings: Vec<&'a [u8]>,
    ids: HashMap<&'a [u8], StringId>,
}

impl<'a> StringTable<'a> {
    pub(crate) fn new() -> Self {
        Self {
            strings: vec![b""],
            ids: HashMap::from([(b"".as_slice(), StringId::EMPTY)]),
        }
    }

    /// `None` once 2^32 strings are stored.
    pub(crate) fn intern(&mut self, bytes: &'a [u8]) -> Option<StringId> {
        if let Some(id) = self.ids.get(bytes) {
            return Some(*id);
        }
        let id = StringId(u32::try_from(self.strings.len()).ok()?);
        self.strings.push(bytes);
        self.ids.insert(bytes, id);
        Some(id)
    }

    /// The bytes of a string; empty for an id of another trace.
    pub fn bytes(&self, id: StringId) -> &'a [u8] {
        self.strings.get(id.index()).copied().unwrap_or_default()
    }

    /// The string as text; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self, id: StringId) -> Cow<'a, str> {
        String::from_utf8_lossy(self.bytes(id))
    }

    /// How many distinct strings there are, the empty one included.
    pub fn count(&self) -> usize {
        self.strings.len()
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

/// The distinct stacks of a trace.
#[derive(Clone, Debug, Default)]
pub struct StackTable {
    // Invariant: `ids` maps each stack to its position in `stacks`.
    stacks: Vec<std::sync::Arc<[Frame]>>,
    ids: HashMap<std::sync::Arc<[Frame]>, StackId>,
}

impl StackTable {
    /// `None` once 2^32 - 1 stacks are stored.
    pub(crate) fn intern(&mut self, frames: &[Frame]) -> Option<StackId> {
        if let Some(id) = self.ids.get(frames) {
            return Some(*id);
        }
        let shared: std::sync::Arc<[Frame]> = frames.into();
        self.stacks.push(shared.clone());
        let id = StackId(u32::try_from(self.stacks.len()).ok().and_then(NonZeroU32::new)?);
        self.ids.insert(shared, id);
        Some(id)
    }

    /// The frames of a stack, leaf first; empty for an id of another trace.
    pub fn frames(&self, id: StackId) -> &[Frame] {
        self.stacks.get(id.index()).map_or(&[], |frames| frames)
    }

    /// All stacks with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (StackId, &[Frame])> {
        (1..)
            .map_while(NonZeroU32::new)
            .map(StackId)
            .zip(self.stacks.iter().map(|frames| &frames[..]))
    }

    /// How many distinct stacks there are.
    pub fn count(&self) -> usize {
        self.stacks.len()
    }
}

/// Owned text, for results that outlive the bytes of the trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TextTable {
    texts: Vec<Box<[u8]>>,
}

impl TextTable {
    pub(crate) fn from_strings(strings: &StringTable<'_>) -> Self {
        Self {
            texts: strings.strings.iter().map(|bytes| (*bytes).into()).collect(),
        }
    }

    /// The bytes of a string; empty for an id of another trace.
    pub(crate) fn bytes(&self, id: StringId) -> &[u8] {
        self.texts.get(index(id.0)).map_or(&[], |bytes| bytes)
    }

    /// The string as text; bytes that are not UTF-8 become U+FFFD. Borrowed in all but that case.
    pub(crate) fn text(&self, id: StringId) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes(id))
    }
}

/// A generation's own numbering: wire id to value.
#[derive(Debug)]
pub(crate) struct WireTable<T> {
    dense: Vec<Option<T>>,
    // Invariant: sorted by id; used only when the ids are too far apart for `dense`.
    sparse: Vec<(u64, T)>,
}

/// One definition in a generation's table.
pub(crate) struct Definition<T> {
    pub(crate) wire_id: u64,
    pub(crate) offset: usize,
    pub(crate) value: T,
}

impl<T: Copy> WireTable<T> {
    /// Builds the table. A wire id defined twice, or wire id 0 (which means "none"), is returned as the error.
    pub(crate) fn build(mut definitions: Vec<Definition<T>>) -> Result<Self, Definition<T>> {
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
        let last = definitions.last().map_or(0, |definition| definition.wire_id);
        // At most a quarter of the slots may be used in vain beyond a small table.
        let dense_limit = definitions.len().saturating_mul(4).saturating_add(64);
        match usize::try_from(last) {
            Ok(last) if last <= dense_limit => Ok(Self::dense(last, definitions)),
            _ => {
                let sparse = definitions
                    .into_iter()
                    .map(|definition| (definition.wire_id, definition.value))
                    .collect();
                Ok(Self {
                    dense: Vec::new(),
                    sparse,
                })
            }
        }
    }

    fn dense(last: usize, definitions: Vec<Definition<T>>) -> Self {
        let mut dense = vec![None; last.saturating_add(1)];
        for definition in definitions {
            let slot = usize::try_from(definition.wire_id).ok().and_then(|i| dense.get_mut(i));
            *slot.expect("the vector reaches to the largest id") = Some(definition.value);
        }
        Self {
            dense,
            sparse: Vec::new(),
        }
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
        assert_eq!(table(&[1, 2, 1]).unwrap_err(), 1);
        assert_eq!(table(&[0, 2]).unwrap_err(), 0);
    }

    #[test]
    fn equal_strings_and_stacks_share_an_id() {
        let mut strings = StringTable::new();
        let run = strings.intern(b"main.run").unwrap();
        assert_eq!(strings.intern(b"main.run"), Some(run));
        assert_eq!(strings.intern(b""), Some(StringId::EMPTY));
        assert_eq!(strings.text(run), "main.run");

        let mut stacks = StackTable::default();
        let frame = Frame {
            pc: 1,
            function: run,
            file: StringId::EMPTY,
            line: 7,
        };
        let id = stacks.intern(&[frame]).unwrap();
        assert_eq!(stacks.intern(&[frame]), Some(id));
        assert_ne!(stacks.intern(&[frame, frame]), Some(id));
        assert_eq!(stacks.frames(id), [frame]);
        assert_eq!(stacks.iter().count(), 2);
    }
}
