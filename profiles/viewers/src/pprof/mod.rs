//! Profiles for `go tool pprof`: gzip around one `Profile` message.
//!
//! | sample type             | value                                                                          |
//! |-------------------------|--------------------------------------------------------------------------------|
//! | `waits/count`           | how many times goroutines waited, were runnable, or were in system calls       |
//! | `wait/nanoseconds`      | for how long: the default                                                      |
//! | `running/nanoseconds`   | for how long they ran; the trace has no stacks for that, only entry functions  |
//! | `cpu_samples/count`     | samples of a CPU profile that ran at the same time, with their stacks          |
//!
//! Labels: `state` and `kind` as in Spandrel's tables, `reason` in the runtime's own words, and `goroutine`, the function
//! that it started with.

mod proto;
mod tables;

use std::io;

use flate2::Compression;
use flate2::write::GzEncoder;
use gotrace::{ExecTrace, Summary};
use prost::Message;

use self::proto::{Label, Mapping, Profile, Sample, ValueType};
use self::tables::{MAPPING, Tables};
use crate::group::Group;
use crate::totals::{Place, Spent, Time, Totals};
use crate::{Options, WriteError};

const SAMPLE_TYPES: [(&str, &str); 4] = [
    ("waits", "count"),
    ("wait", "nanoseconds"),
    ("running", "nanoseconds"),
    ("cpu_samples", "count"),
];

/// Reads a trace to its end and writes the profile.
///
/// # Errors
/// If no generation of the trace is whole, and those of `out`.
pub fn write(trace: ExecTrace<'_>, options: &Options<'_>, out: impl io::Write) -> Result<Summary, WriteError> {
    let (totals, summary) = Totals::read(trace, options)?;
    let mut profile = Writer {
        summary: &summary,
        tables: Tables::new(&summary.symbols),
        out: GzEncoder::new(out, Compression::default()),
    };
    profile.header(options, &totals)?;
    for (spent, time) in &totals.times {
        profile.time(spent, *time, totals.sub_state(spent))?;
    }
    for (place, count) in &totals.cpu_samples {
        profile.cpu_samples(place, *count)?;
    }
    profile.finish()?;
    Ok(summary)
}

struct Writer<'a, W: io::Write> {
    summary: &'a Summary,
    tables: Tables<'a>,
    out: GzEncoder<W>,
}

impl<W: io::Write> Writer<'_, W> {
    fn header(&mut self, options: &Options<'_>, totals: &Totals) -> io::Result<()> {
        let summary = self.summary;
        let strings = &mut self.tables.strings;
        let sample_type = SAMPLE_TYPES
            .map(|(name, unit)| ValueType {
                r#type: strings.id(name),
                unit: strings.id(unit),
            })
            .to_vec();
        let mut comment = vec![strings.id(&format!("Go execution trace of {}", summary.version.name()))];
        if totals.left_out_count > 0 {
            let left_out = format!("without {} goroutines of the runtime", totals.left_out_count);
            comment.push(strings.id(&left_out));
        }
        let mapping = Mapping {
            id: MAPPING,
            filename: strings.id(options.title),
            has_functions: true,
            has_filenames: true,
            has_line_numbers: true,
            has_inline_frames: true,
        };
        let part = Profile {
            sample_type,
            mapping: vec![mapping],
            time_nanos: summary.clock.unix(summary.start).map_or(0, |at| at.0),
            duration_nanos: summary.end.0.saturating_sub(summary.start.0),
            comment,
            default_sample_type: strings.id("wait"),
            ..Profile::default()
        };
        write_part(&mut self.out, &part)
    }

    fn time(&mut self, spent: &Spent, time: Time, sub_state: &str) -> io::Result<()> {
        let value = match spent.group {
            Group::Waiting | Group::Runnable | Group::Syscall => vec![time.count, time.ns, 0, 0],
            Group::Running => vec![0, 0, time.ns, 0],
            Group::Unknown => return Ok(()),
        };
        let reason = spent.reason(&self.summary.symbols);
        let labels = [
            ("state", spent.state.as_str()),
            ("kind", sub_state),
            ("reason", reason.as_ref()),
        ];
        self.sample(&spent.place, value, &labels)
    }

    fn cpu_samples(&mut self, place: &Place, count: i64) -> io::Result<()> {
        self.sample(place, vec![0, 0, 0, count], &[("state", "running")])
    }

    /// Empty labels are left out.
    fn sample(&mut self, place: &Place, value: Vec<i64>, labels: &[(&str, &str)]) -> io::Result<()> {
        let symbols = &self.summary.symbols;
        let entry = place.entry.map_or("".into(), |entry| symbols.text(entry));
        let mut label = Vec::new();
        for (key, text) in labels.iter().copied().chain([("goroutine", entry.as_ref())]) {
            if !text.is_empty() {
                label.push(Label {
                    key: self.tables.strings.id(key),
                    str: self.tables.strings.id(text),
                    ..Label::default()
                });
            }
        }
        let lines = place.lines(symbols);
        let sample = Sample {
            location_id: lines.into_iter().map(|line| self.tables.location(line)).collect(),
            value,
            label,
        };
        let part = Profile {
            sample: vec![sample],
            ..Profile::default()
        };
        write_part(&mut self.out, &part)
    }

    fn finish(self) -> io::Result<()> {
        let Self { tables, mut out, .. } = self;
        let (location, function, string_table) = tables.into_parts();
        let part = Profile {
            location,
            function,
            string_table,
            ..Profile::default()
        };
        write_part(&mut out, &part)?;
        out.finish()?.flush()
    }
}

/// A message may be cut between its fields: readers put the parts together.
fn write_part(out: &mut impl io::Write, part: &Profile) -> io::Result<()> {
    out.write_all(&part.encode_to_vec())
}
