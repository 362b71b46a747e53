//! Strings, frames and stacks: sent once, in the packet that first uses them, and referred to by number from then on.

use std::collections::HashMap;
use std::hash::Hash;

use gotrace::{StackId, StringId, Symbols};

use super::proto::{Callstack, Frame, InternedData, Name};

/// How many frames, innermost first, an event names in words. The viewer shows the whole stack elsewhere.
const FRAMES_IN_WORDS: usize = 5;

/// What has been sent on the packet sequence so far. Numbers count from 1 in each of the tables.
#[derive(Default)]
pub(super) struct Interned {
    categories: HashMap<&'static str, u64>,
    event_names: HashMap<String, u64>,
    argument_names: HashMap<&'static str, u64>,
    texts: HashMap<String, u64>,
    functions: HashMap<StringId, u64>,
    files: HashMap<StringId, u64>,
    frames: HashMap<gotrace::Frame, u64>,
    stacks: HashMap<StackId, Stack>,
    /// What the next packet must bring.
    news: InternedData,
}

/// Where a stack is found.
#[derive(Clone, Copy)]
pub(super) struct Stack {
    /// In the table of call stacks.
    pub(super) callstack: u64,
    /// Its innermost frames in words, in the table of texts.
    pub(super) text: u64,
}

impl Interned {
    /// What has not been sent yet, if anything.
    pub(super) fn take_news(&mut self) -> Option<InternedData> {
        (self.news != InternedData::default()).then(|| std::mem::take(&mut self.news))
    }

    pub(super) fn category(&mut self, category: &'static str) -> u64 {
        let news = &mut self.news.event_categories;
        number(&mut self.categories, category, |iid| news.push(name(iid, category)))
    }

    pub(super) fn event_name(&mut self, text: &str) -> u64 {
        text_number(&mut self.event_names, text, &mut self.news.event_names)
    }

    pub(super) fn argument_name(&mut self, argument: &'static str) -> u64 {
        let news = &mut self.news.debug_annotation_names;
        number(&mut self.argument_names, argument, |iid| news.push(name(iid, argument)))
    }

    pub(super) fn text(&mut self, text: &str) -> u64 {
        text_number(&mut self.texts, text, &mut self.news.debug_annotation_string_values)
    }

    pub(super) fn stack(&mut self, id: StackId, symbols: &Symbols) -> Stack {
        if let Some(stack) = self.stacks.get(&id) {
            return *stack;
        }
        let frames = symbols.frames(id);
        let frame_ids = frames.iter().rev().map(|frame| self.frame(frame, symbols)).collect();
        let callstack = self.stacks.len() as u64 + 1;
        self.news.callstacks.push(Callstack {
            iid: Some(callstack),
            frame_ids,
        });
        let words = in_words(symbols, frames);
        let stack = Stack {
            callstack,
            text: self.text(&words),
        };
        self.stacks.insert(id, stack);
        stack
    }

    fn frame(&mut self, frame: &gotrace::Frame, symbols: &Symbols) -> u64 {
        let news = &mut self.news;
        let function = number(&mut self.functions, frame.function, |iid| {
            news.function_names.push(name(iid, symbols.text(frame.function)));
        });
        let file = number(&mut self.files, frame.file, |iid| {
            news.source_paths.push(name(iid, symbols.text(frame.file)));
        });
        number(&mut self.frames, *frame, |iid| {
            news.frames.push(Frame {
                iid: Some(iid),
                function_name_id: Some(function),
                rel_pc: Some(frame.pc),
                source_path_iid: Some(file),
                line_number: u32::try_from(frame.line).ok(),
            });
        })
    }
}

/// `sync.(*Mutex).Lock mutex.go:46 < main.work main.go:12 < ...`
fn in_words(symbols: &Symbols, frames: &[gotrace::Frame]) -> String {
    let mut words = Vec::new();
    for frame in frames.iter().take(FRAMES_IN_WORDS) {
        let file = symbols.text(frame.file);
        let file = file.rsplit(['/', '\\']).next().unwrap_or_default();
        words.push(format!("{} {file}:{}", symbols.text(frame.function), frame.line));
    }
    if frames.len() > FRAMES_IN_WORDS {
        words.push("...".to_owned());
    }
    words.join(" < ")
}

fn name(iid: u64, text: impl Into<String>) -> Name {
    Name {
        iid: Some(iid),
        name: Some(text.into()),
    }
}

/// The number of `key`, counted from 1. Calls `new` if it has not been there before.
fn number<K: Eq + Hash>(numbers: &mut HashMap<K, u64>, key: K, new: impl FnOnce(u64)) -> u64 {
    let next = numbers.len() as u64 + 1;
    let iid = *numbers.entry(key).or_insert(next);
    if iid == next {
        new(iid);
    }
    iid
}

/// As [`number`], without an allocation for a text that has been there before.
fn text_number(numbers: &mut HashMap<String, u64>, text: &str, news: &mut Vec<Name>) -> u64 {
    if let Some(iid) = numbers.get(text) {
        return *iid;
    }
    number(numbers, text.to_owned(), |iid| news.push(name(iid, text)))
}
