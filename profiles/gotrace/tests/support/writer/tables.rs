//! The strings and stacks of one generation, numbered when they are first used.

use std::collections::BTreeMap;

use super::{Arg, Layout, Random, Stack, Text};
use gotrace::WireEvent;

/// The tables of a generation.
pub(super) struct Tables<'a> {
    layout: &'a Layout,
    texts: BTreeMap<Text, u64>,
    stacks: BTreeMap<Stack, u64>,
    /// Entries of the string table, encoded.
    pub(super) string_entries: Vec<Vec<u8>>,
    /// Entries of the stack table, encoded.
    pub(super) stack_entries: Vec<Vec<u8>>,
}

impl<'a> Tables<'a> {
    pub(super) fn new(layout: &'a Layout) -> Self {
        Self {
            layout,
            texts: BTreeMap::new(),
            stacks: BTreeMap::new(),
            string_entries: Vec::new(),
            stack_entries: Vec::new(),
        }
    }

    /// The number that an argument is on the wire.
    pub(super) fn number(&mut self, arg: &Arg, random: &mut Random) -> u64 {
        match arg {
            Arg::Number(number) => *number,
            Arg::Text(text) => self.text(text, random),
            Arg::Unique(text) if text.is_empty() => 0,
            Arg::Unique(text) => self.add_text(text, random),
            Arg::Stack(None) => 0,
            Arg::Stack(Some(stack)) => self.stack(stack, random),
        }
    }

    fn text(&mut self, text: &Text, random: &mut Random) -> u64 {
        if text.is_empty() {
            return 0;
        }
        if let Some(id) = self.texts.get(text) {
            return *id;
        }
        let id = self.add_text(text, random);
        self.texts.insert(text.clone(), id);
        id
    }

    fn add_text(&mut self, text: &Text, random: &mut Random) -> u64 {
        let id = self.layout.id(self.string_entries.len() as u64 + 1);
        let mut entry = vec![WireEvent::String.byte()];
        for number in [id, text.len() as u64] {
            self.layout.number(&mut entry, number, random);
        }
        entry.extend(text.iter());
        self.string_entries.push(entry);
        id
    }

    pub(super) fn stack(&mut self, stack: &Stack, random: &mut Random) -> u64 {
        if let Some(id) = self.stacks.get(stack) {
            return *id;
        }
        let id = self.layout.id(self.stack_entries.len() as u64 + 1);
        let mut entry = vec![WireEvent::Stack.byte()];
        let mut numbers = vec![id, stack.len() as u64];
        for frame in stack.iter() {
            let (function, file) = (self.text(&frame.function, random), self.text(&frame.file, random));
            numbers.extend([frame.pc, function, file, frame.line]);
        }
        for number in numbers {
            self.layout.number(&mut entry, number, random);
        }
        self.stack_entries.push(entry);
        self.stacks.insert(stack.clone(), id);
        id
    }
}
