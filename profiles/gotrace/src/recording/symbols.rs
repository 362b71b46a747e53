//! Strings and stacks of a whole trace, each stored once.
//!
//! Generations number their strings and stacks anew. The first time that a generation's string or stack is used it gets
//! the one id that its content has in the recording; what no event uses costs nothing.

use std::collections::HashMap;

use crate::decoder::Tables;
use crate::event::{EventKind, GoEvent};
use crate::ids::{StackId, StringId};
use crate::tables::{Frame, StackTable, StringTable};

/// The tables of a recording, and the way from the current generation's ids to them.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    pub(super) strings: StringTable,
    pub(super) stacks: StackTable,
    string_ids: HashMap<Box<[u8]>, StringId>,
    stack_ids: HashMap<Box<[Frame]>, StackId>,
    /// By position in the generation's tables.
    known_strings: Vec<Option<StringId>>,
    known_stacks: Vec<Option<StackId>>,
}

impl Symbols {
    /// The tables of another generation apply.
    pub(super) fn begin_generation(&mut self, tables: &Tables) {
        self.known_strings.clear();
        self.known_strings.resize(tables.strings.count(), None);
        self.known_stacks.clear();
        self.known_stacks.resize(tables.stacks.count(), None);
    }

    /// The same event with the recording's ids.
    #[inline]
    pub(super) fn translate(&mut self, event: &GoEvent, tables: &Tables) -> GoEvent {
        GoEvent {
            stack: event.stack.and_then(|stack| self.stack(stack, tables)),
            kind: self.kind(event.kind, tables),
            ..*event
        }
    }

    fn kind(&mut self, kind: EventKind, tables: &Tables) -> EventKind {
        let mut string = |id| self.string(id, tables);
        match kind {
            EventKind::GoStop { goroutine, reason } => EventKind::GoStop {
                goroutine,
                reason: string(reason),
            },
            EventKind::GoBlock { goroutine, reason } => EventKind::GoBlock {
                goroutine,
                reason: reason.map(string),
            },
            EventKind::StwBegin { kind } => EventKind::StwBegin { kind: string(kind) },
            EventKind::GoLabel { label } => EventKind::GoLabel { label: string(label) },
            EventKind::UserTaskBegin { task, parent, name } => EventKind::UserTaskBegin {
                task,
                parent,
                name: string(name),
            },
            EventKind::UserRegionBegin { task, name } => EventKind::UserRegionBegin {
                task,
                name: string(name),
            },
            EventKind::UserRegionEnd { task, name } => EventKind::UserRegionEnd {
                task,
                name: string(name),
            },
            EventKind::UserLog { task, key, value } => EventKind::UserLog {
                task,
                key: string(key),
                value: string(value),
            },
            EventKind::GoCreate {
                goroutine,
                entry,
                blocked,
            } => EventKind::GoCreate {
                goroutine,
                entry: entry.and_then(|entry| self.stack(entry, tables)),
                blocked,
            },
            kind => kind,
        }
    }

    #[inline]
    fn string(&mut self, id: StringId, tables: &Tables) -> StringId {
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

    #[inline]
    fn stack(&mut self, id: StackId, tables: &Tables) -> Option<StackId> {
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
        assert_eq!(symbols.strings.text(seen[0].0), "main.run");
    }
}
