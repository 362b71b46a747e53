//! Flame graphs for [speedscope](https://www.speedscope.app), after its `file-format-schema.json`.
//!
//! One profile for each base state, in nanoseconds: `waiting`, `runnable`, `syscall`, `running`. A stack begins with what
//! the goroutine did, in brackets, and goes on from its entry function to the innermost frame:
//!
//! ```text
//! [channel recv]
//!   main.worker
//!     main.(*queue).next
//! ```
//! Where a CPU profile ran at the same time, another profile counts its samples. Base states that do not occur have no
//! profile.

use std::collections::{BTreeMap, HashMap};
use std::io;

use gotrace::{ExecTrace, StringId, Summary, Symbols};
use serde::Serialize;

use crate::group::Group;
use crate::totals::{Line, Place, Totals, UNRECORDED};
use crate::{Options, WriteError, goroutines};

const SCHEMA: &str = "https://www.speedscope.app/file-format-schema.json";

/// The profiles, in the order in which speedscope offers them. It opens the first.
const GROUPS: [Group; 4] = [Group::Waiting, Group::Runnable, Group::Syscall, Group::Running];

/// Reads a trace to its end and writes the flame graphs.
///
/// # Errors
/// If no generation of the trace is whole, and those of `out`.
pub fn write(trace: ExecTrace<'_>, options: &Options<'_>, mut out: impl io::Write) -> Result<Summary, WriteError> {
    let (totals, summary) = Totals::read(trace, options)?;
    let mut frames = Frames::new(&summary.symbols);
    let file = File {
        schema: SCHEMA,
        name: options.title,
        exporter: concat!("spandrel ", env!("CARGO_PKG_VERSION")),
        profiles: profiles(&totals, &mut frames),
        shared: Shared { frames: &frames.rows },
    };
    serde_json::to_writer(&mut out, &file).map_err(io::Error::from)?;
    out.flush()?;
    Ok(summary)
}

fn profiles(totals: &Totals, frames: &mut Frames<'_>) -> Vec<Profile> {
    let mut profiles = Vec::new();
    for group in GROUPS {
        let times = totals.times.iter().filter(|(spent, _)| spent.group == group);
        let mut stacks = Stacks::default();
        for (spent, time) in times {
            let reason = spent.reason(frames.symbols);
            let doing = goroutines::doing(spent.state, totals.sub_state(spent), &reason);
            let root = frames.state(&doing);
            stacks.add(frames.stack(Some(root), &spent.place), time.ns);
        }
        profiles.extend(stacks.profile(group.as_str(), "nanoseconds"));
    }
    let mut stacks = Stacks::default();
    for (place, count) in &totals.cpu_samples {
        stacks.add(frames.stack(None, place), *count);
    }
    profiles.extend(stacks.profile("running (CPU samples)", "none"));
    profiles
}

/// Weights by stack, outermost frame first. In order, stacks that begin alike are neighbors, so that speedscope's view by
/// time is a flame graph, too.
#[derive(Default)]
struct Stacks(BTreeMap<Vec<usize>, i64>);

impl Stacks {
    fn add(&mut self, stack: Vec<usize>, weight: i64) {
        *self.0.entry(stack).or_default() += weight;
    }

    /// `None` if there is nothing to show.
    fn profile(self, name: &'static str, unit: &'static str) -> Option<Profile> {
        let (samples, weights): (Vec<_>, Vec<_>) = self.0.into_iter().unzip();
        (!samples.is_empty()).then(|| Profile {
            r#type: "sampled",
            name,
            unit,
            start_value: 0,
            end_value: weights.iter().sum(),
            samples,
            weights,
        })
    }
}

/// The frames that stacks refer to. Speedscope merges by name, so a frame is a function, whatever its line.
struct Frames<'a> {
    symbols: &'a Symbols,
    /// Positions by name and file.
    functions: HashMap<(Option<StringId>, Option<StringId>), usize>,
    states: HashMap<String, usize>,
    rows: Vec<Frame>,
}

impl<'a> Frames<'a> {
    fn new(symbols: &'a Symbols) -> Self {
        Self {
            symbols,
            functions: HashMap::new(),
            states: HashMap::new(),
            rows: Vec::new(),
        }
    }

    fn state(&mut self, doing: &str) -> usize {
        if let Some(position) = self.states.get(doing) {
            return *position;
        }
        let row = Frame {
            name: format!("[{doing}]"),
            file: None,
        };
        let position = self.push(row);
        self.states.insert(doing.to_owned(), position);
        position
    }

    /// The positions of `root` and of the frames of a place, outermost first.
    fn stack(&mut self, root: Option<usize>, place: &Place) -> Vec<usize> {
        let lines = place.lines(self.symbols);
        let lines = lines.into_iter().rev().map(|line| self.function(line));
        root.into_iter().chain(lines).collect()
    }

    fn function(&mut self, line: Line<'_>) -> usize {
        let (name, file) = match line {
            Line::Frame(frame) => (Some(frame.function), Some(frame.file)),
            Line::Entry(entry) => (Some(entry), None),
            Line::Unrecorded => (None, None),
        };
        if let Some(position) = self.functions.get(&(name, file)) {
            return *position;
        }
        let text = |id| self.symbols.text(id).into_owned();
        let row = Frame {
            name: name.map_or_else(|| UNRECORDED.to_owned(), text),
            file: file.map(text),
        };
        let position = self.push(row);
        self.functions.insert((name, file), position);
        position
    }

    fn push(&mut self, row: Frame) -> usize {
        self.rows.push(row);
        self.rows.len() - 1
    }
}

#[derive(Serialize)]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    name: &'a str,
    exporter: &'static str,
    profiles: Vec<Profile>,
    shared: Shared<'a>,
}

#[derive(Serialize)]
struct Shared<'a> {
    frames: &'a [Frame],
}

#[derive(Serialize)]
struct Frame {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    r#type: &'static str,
    name: &'static str,
    unit: &'static str,
    start_value: i64,
    end_value: i64,
    samples: Vec<Vec<usize>>,
    weights: Vec<i64>,
}
