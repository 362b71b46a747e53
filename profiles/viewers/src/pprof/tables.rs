//! The tables that samples refer to: locations, functions and strings, each once.

use std::collections::HashMap;
use std::hash::Hash;

use gotrace::{Frame, StringId, Symbols};

use super::proto::{self, Function, Location};
use crate::totals::{Line, UNRECORDED};

/// Id of the only mapping. It says that everything is symbolized, so that `go tool pprof` looks for no binary.
pub(super) const MAPPING: u64 = 1;

pub(super) struct Tables<'a> {
    symbols: &'a Symbols,
    pub(super) strings: Strings,
    /// Ids count from 1, in the order of first use.
    locations: HashMap<LocationKey, u64>,
    location_rows: Vec<Location>,
    functions: HashMap<FunctionKey, u64>,
    function_rows: Vec<Function>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum LocationKey {
    Frame(Frame),
    Entry(StringId),
    Unrecorded,
}

/// Name and file; `None` for what the trace does not have.
type FunctionKey = (Option<StringId>, Option<StringId>);

impl<'a> Tables<'a> {
    pub(super) fn new(symbols: &'a Symbols) -> Self {
        Self {
            symbols,
            strings: Strings::new(),
            locations: HashMap::new(),
            location_rows: Vec::new(),
            functions: HashMap::new(),
            function_rows: Vec::new(),
        }
    }

    /// The id of the location of a line, added if new.
    pub(super) fn location(&mut self, line: Line<'_>) -> u64 {
        let (key, address, line_number, function) = match line {
            Line::Frame(frame) => {
                let function = (Some(frame.function), Some(frame.file));
                (LocationKey::Frame(*frame), frame.pc, frame.line, function)
            }
            Line::Entry(name) => (LocationKey::Entry(name), 0, 0, (Some(name), None)),
            Line::Unrecorded => (LocationKey::Unrecorded, 0, 0, (None, None)),
        };
        let (id, is_new) = number(&mut self.locations, key);
        if is_new {
            let line = proto::Line {
                function_id: self.function(function),
                line: i64::try_from(line_number).unwrap_or(i64::MAX),
            };
            self.location_rows.push(Location {
                id,
                mapping_id: MAPPING,
                address,
                line: vec![line],
            });
        }
        id
    }

    fn function(&mut self, key: FunctionKey) -> u64 {
        let (id, is_new) = number(&mut self.functions, key);
        if is_new {
            let symbols = self.symbols;
            let (name, file) = key;
            let name = name.map_or(UNRECORDED.into(), |name| symbols.text(name));
            let name = self.strings.id(&name);
            let filename = file.map_or(0, |file| self.strings.id(&symbols.text(file)));
            self.function_rows.push(Function {
                id,
                name,
                system_name: name,
                filename,
            });
        }
        id
    }

    pub(super) fn into_parts(self) -> (Vec<Location>, Vec<Function>, Vec<String>) {
        (self.location_rows, self.function_rows, self.strings.rows)
    }
}

/// The number of `key`, counted from 1, and whether it is new.
fn number<K: Eq + Hash>(numbers: &mut HashMap<K, u64>, key: K) -> (u64, bool) {
    let next = numbers.len() as u64 + 1;
    let id = *numbers.entry(key).or_insert(next);
    (id, id == next)
}

/// The string table. Position 0 is the empty string.
pub(super) struct Strings {
    ids: HashMap<String, i64>,
    rows: Vec<String>,
}

impl Strings {
    fn new() -> Self {
        Self {
            ids: HashMap::from([(String::new(), 0)]),
            rows: vec![String::new()],
        }
    }

    /// The position of `text`, added if new.
    pub(super) fn id(&mut self, text: &str) -> i64 {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let id = i64::try_from(self.rows.len()).expect("fewer than 2^63 strings fit into memory");
        self.ids.insert(text.to_owned(), id);
        self.rows.push(text.to_owned());
        id
    }
}
