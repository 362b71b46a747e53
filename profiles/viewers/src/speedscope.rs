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

use gotrace::{Recording, StringId};
use serde::Serialize;

use crate::group::Group;
use crate::totals::{Line, Place, Totals, UNRECORDED};
use crate::{Options, goroutines};

const SCHEMA: &str = "https://www.speedscope.app/file-format-schema.json";

/// The profiles, in the order in which speedscope offers them. It opens the first.
const GROUPS: [Group; 4] = [Group::Waiting, Group::Runnable, Group::Syscall, Group::Running];

/// Writes the flame graphs. Calls `progress` with the number of state intervals that have been read.
///
/// # Errors
/// Those of `out`.
pub fn write(
    recording: &Recording,
    options: &Options<'_>,
    mut out: impl io::Write,
    progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let totals = Totals::of(recording, options, progress);
    let mut frames = Frames::new(recording);
    let file = File {
        schema: SCHEMA,
        name: options.title,
        exporter: concat!("spandrel ", env!("CARGO_PKG_VERSION")),
        profiles: profiles(recording, &totals, &mut frames),
        shared: Shared { frames: &frames.rows },
    };
    serde_json::to_writer(&mut out, &file)?;
    out.flush()
}

fn profiles(recording: &Recording, totals: &Totals, frames: &mut Frames<'_>) -> Vec<Profile> {
    let mut profiles = Vec::new();
    for group in GROUPS {
        let times = totals.times.iter().filter(|(spent, _)| spent.group == group);
        let mut stacks = Stacks::default();
        for (spent, time) in times {
            let reason = spent.reason(recording);
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
    recording: &'a Recording,
    /// Positions by name and file.
    functions: HashMap<(Option<StringId>, Option<StringId>), usize>,
    states: HashMap<String, usize>,
    rows: Vec<Frame>,
}

impl<'a> Frames<'a> {
    fn new(recording: &'a Recording) -> Self {
        Self {
            recording,
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
        let lines = place.lines(self.recording);
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
        let text = |id| self.recording.text(id).into_owned();
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
