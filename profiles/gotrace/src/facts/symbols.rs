//! Strings and stacks of a whole trace, each stored once.
//!
//! Generations number their strings and stacks anew. The first time that a generation's string or stack is used it gets
//! the one id that its content has in the recording; what no event uses costs nothing.

use std::borrow::Cow;

use foldhash::HashMap;

use super::WaitReason;
use crate::decoder::Tables;
use crate::ids::{StackId, StringId};
use crate::tables::{Frame, StackTable, StringTable};

/// The strings and stacks of a trace that its facts refer to.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    strings: StringTable,
    stacks: StackTable,
    string_ids: HashMap<Box<[u8]>, StringId>,
    stack_ids: HashMap<Box<[Frame]>, StackId>,
    /// By position in the generation's tables.
    known_strings: Vec<Option<StringId>>,
    known_stacks: Vec<Option<StackId>>,
}

impl Symbols {
    /// The text of a string; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self, id: StringId) -> Cow<'_, str> {
        self.strings.text(id)
    }

    /// The bytes of a string.
    #[inline]
    pub fn bytes(&self, id: StringId) -> &[u8] {
        self.strings.bytes(id)
    }

    /// The frames of a stack, leaf first.
    #[inline]
    pub fn frames(&self, id: StackId) -> &[Frame] {
        self.stacks.frames(id)
    }

    /// The name of a wait reason: the runtime's own word, "" where the runtime gave none.
    pub fn wait_reason(&self, reason: WaitReason) -> Cow<'_, str> {
        match reason {
            WaitReason::Runtime(id) => self.text(id),
            WaitReason::CoroutineSwitch | WaitReason::Unknown => Cow::Borrowed(""),
        }
    }

    /// All stacks, each once.
    pub fn stacks(&self) -> impl Iterator<Item = (StackId, &[Frame])> {
        self.stacks.iter()
    }

    /// Copies what was added since there were so many strings and stacks. Returns how many there are.
    pub(super) fn since(&self, (strings, stacks): (usize, usize), new: &mut NewSymbols) -> (usize, usize) {
        let now = (self.strings.count(), self.stacks.count());
        // The empty string is in every table.
        new.strings
            .extend(self.strings.iter_from(strings.max(1)).map(Box::from));
        new.stacks.extend(self.stacks.iter_from(stacks).map(Box::from));
        now
    }

    /// Adds what another set of symbols has that this one, up to now the same, has not.
    pub(super) fn add(&mut self, new: &mut NewSymbols) {
        for string in new.strings.drain(..) {
            self.strings.push(&string);
        }
        for frames in new.stacks.drain(..) {
            frames.iter().for_each(|frame| self.stacks.push_frame(*frame));
            self.stacks.close();
        }
    }

    /// The tables of another generation apply.
    pub(super) fn begin_generation(&mut self, tables: &Tables) {
        self.known_strings.clear();
        self.known_strings.resize(tables.strings.count(), None);
        self.known_stacks.clear();
        self.known_stacks.resize(tables.stacks.count(), None);
    }

    /// The id that a string of the current generation has in the whole trace.
    #[inline]
    pub(super) fn string(&mut self, id: StringId, tables: &Tables) -> StringId {
        if let Some(Some(known)) = self.known_strings.get(id.index()) {
            return *known;
        }
        self.add_string(id, tables)
    }

    /// A table that is full has no room for new strings: they are shown as the empty one.
    #[inline(never)]
    fn add_string(&mut self, id: StringId, tables: &Tables) -> StringId {
        let bytes = tables.strings.bytes(id);
        let shared = match self.string_ids.get(bytes) {
            Some(shared) => *shared,
            None if bytes.is_empty() => StringId::EMPTY,
            None => {
                let shared = self.strings.push(bytes).unwrap_or(StringId::EMPTY);
                self.string_ids.insert(bytes.into(), shared);
                shared
            }
        };
        if let Some(known) = self.known_strings.get_mut(id.index()) {
            *known = Some(shared);
        }
        shared
    }

    /// The id that a stack of the current generation has in the whole trace.
    #[inline]
    pub(super) fn stack(&mut self, id: StackId, tables: &Tables) -> Option<StackId> {
        if let Some(Some(known)) = self.known_stacks.get(id.index()) {
            return Some(*known);
        }
        self.add_stack(id, tables)
    }

    #[inline(never)]
    fn add_stack(&mut self, id: StackId, tables: &Tables) -> Option<StackId> {
        let shared_frame = |frame: &Frame| Frame {
            function: self.string(frame.function, tables),
            file: self.string(frame.file, tables),
            ..*frame
        };
        let frames: Box<[Frame]> = tables.stacks.frames(id).iter().map(shared_frame).collect();
        let shared = match self.stack_ids.get(&frames) {
            Some(shared) => *shared,
            None => {
                for frame in &frames {
                    self.stacks.push_frame(*frame);
                }
                let shared = self.stacks.close()?;
                self.stack_ids.insert(frames, shared);
                shared
            }
        };
        if let Some(known) = self.known_stacks.get_mut(id.index()) {
            *known = Some(shared);
        }
        Some(shared)
    }
}

/// Strings and stacks in the order of their ids.
#[derive(Debug, Default)]
pub(super) struct NewSymbols {
    strings: Vec<Box<[u8]>>,
    stacks: Vec<Box<[Frame]>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_generations_share_has_one_id() {
        let mut symbols = Symbols::default();
        let mut seen = Vec::new();
        for before in [0, 3] {
            let mut tables = Tables::default();
            for number in 0..before {
                tables.strings.push(&[number]).unwrap();
            }
            let run = tables.strings.push(b"main.run").unwrap();
            tables.stacks.push_frame(Frame {
                pc: 1,
                function: run,
                file: StringId::EMPTY,
                line: 7,
            });
            let stack = tables.stacks.close().unwrap();
            symbols.begin_generation(&tables);
            seen.push((symbols.string(run, &tables), symbols.stack(stack, &tables)));
        }
        assert_eq!(seen[0], seen[1]);
        assert_eq!(symbols.strings.count(), 2);
        assert_eq!(symbols.stacks.count(), 1);
        assert_eq!(symbols.text(seen[0].0), "main.run");
    }
}
