//! CPU profiles in the format of pprof: gzip, or nothing, around one `Profile` message.
//!
//! ```text
//! Profile.sample --.                                   labels --> LabeledSpan
//!                  +--> samples of one stack and span: values --> count, CPU time
//! locations, -----'                                    locations --> Stack
//! functions, strings
//! ```
//!
//! A sample says where and for whom, not when. So a CPU profile says nothing of a single span; it divides the running
//! time of many.

mod labels;
pub mod proto;
mod summary;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use prost::Message;
use spandrel_model::{
    CpuProfile, CpuSamples, Frame, Interval, LabeledSpan, NameId, Names, ProcessIdentity, Stack, StackId, UnixNanos,
};
use thiserror::Error;

pub use self::summary::{Summary, summarize};

use self::labels::labeled_span;
use self::proto::{Function, Head, Location, SAMPLE, Sample, begins_as_profile, each_field, each_sample};
use crate::stack_hash::StackHash;

/// Longest profile, decompressed. Those of a minute have one or two MB.
pub const MAX_PROFILE_BYTES: u64 = 16 << 20;

/// How much of a file it takes to recognize it.
pub const RECOGNIZED_BY_BYTES: usize = 64;

/// Most entries of all tables of a profile. A large program has some 50,000 functions and strings; an entry can take
/// two bytes there, and fifty in memory.
const MAX_TABLE_ENTRIES: usize = 1 << 20;
/// Most frames of one stack. Go records 128 unless told otherwise.
const MAX_STACK_FRAMES: usize = 1 << 12;
/// Most frames of all stacks, each stack counted once.
const MAX_FRAMES: usize = 1 << 22;

/// Longest name of a function or a file. Those of generic functions have some thousand bytes at most.
const MAX_NAME_BYTES: usize = 1 << 14;
/// Most bytes of the names of all frames, which the ids of stacks are hashed from: about a second's work, and 128 bytes
/// for each of [`MAX_FRAMES`].
const MAX_HASHED_BYTES: usize = 1 << 29;
/// Most sample types that a message lists, and most characters of each of their names.
const MAX_LISTED: usize = 16;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Why a file is not a CPU profile.
#[derive(Debug, Error)]
pub enum PprofError {
    /// The compression is damaged, or the file ends early.
    #[error("the profile is not whole gzip data")]
    Gzip(#[source] std::io::Error),
    /// Longer than [`MAX_PROFILE_BYTES`].
    #[error("the profile has more than {MAX_PROFILE_BYTES} bytes without compression; record for a shorter time")]
    TooLong,
    /// More than any program has: decoded, it would take far more memory than it has bytes.
    #[error("the profile has more than {limit} {what}; is it damaged?")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// Not a `Profile` message.
    #[error("not a profile in the format of pprof")]
    Message(#[from] prost::DecodeError),
    /// A reference into one of the profile's own tables leads nowhere.
    #[error("{what} {id} is referred to and not in the profile")]
    Dangling {
        /// The table.
        what: &'static str,
        /// The reference.
        id: i128,
    },
    /// A profile of something else, such as memory.
    #[error(
        "not a CPU profile: its sample types are {found}, expected cpu/nanoseconds among them; send a CPU profile, as Go \
         serves it at /debug/pprof/profile"
    )]
    NotCpu {
        /// The sample types.
        found: String,
    },
    /// The profile does not say when it was made.
    #[error("the profile does not say when it was recorded (time_nanos is {time_nanos})")]
    NoTime {
        /// `Profile.time_nanos`.
        time_nanos: i64,
    },
}

/// Whether a file can be a profile in the format of pprof: whether it is worth decoding. Without compression, its first
/// [`RECOGNIZED_BY_BYTES`] are enough.
pub fn is_recognized(bytes: &[u8]) -> bool {
    if !bytes.starts_with(&GZIP_MAGIC) {
        return begins_as_profile(bytes);
    }
    let mut begin = Vec::new();
    // Where the compression is damaged, what came before counts.
    let _ = (MultiGzDecoder::new(bytes).take(RECOGNIZED_BY_BYTES as u64)).read_to_end(&mut begin);
    begins_as_profile(&begin)
}

/// Reads a CPU profile.
///
/// # Errors
/// The bytes are not a CPU profile; see [`PprofError`].
pub fn decode(bytes: &[u8], process: Arc<ProcessIdentity>, source: Arc<str>) -> Result<CpuProfile, PprofError> {
    let bytes = decompressed(bytes)?;
    check_table_sizes(&bytes)?;
    let profile = Head::decode(bytes.as_slice())?;
    let values = Values::of(&profile)?;
    let mut stacks = Stacks::new(&profile);
    let mut totals: BTreeMap<(Option<StackId>, Option<LabeledSpan>), (i64, i64)> = BTreeMap::new();
    each_sample(&bytes, |sample| {
        let (count, cpu_ns) = values.read(&sample);
        if count > 0 {
            let total = totals
                .entry((stacks.stack(&sample)?, span_of(&profile, &sample)?))
                .or_default();
            total.0 = total.0.saturating_add(count);
            total.1 = total.1.saturating_add(cpu_ns);
        }
        Ok::<_, PprofError>(())
    })?;
    let Stacks { names, known, .. } = stacks;
    let mut stacks: Vec<Stack> = known.into_values().collect();
    stacks.sort_unstable_by_key(|stack| stack.id);
    stacks.dedup_by_key(|stack| stack.id);
    Ok(CpuProfile {
        process,
        source,
        window: window(&profile)?,
        period_ns: profile.period.max(1),
        names,
        stacks,
        samples: (totals.into_iter())
            .map(|((stack, span), (count, cpu_ns))| CpuSamples {
                stack,
                count,
                cpu_ns,
                span,
            })
            .collect(),
    })
}

fn decompressed(bytes: &[u8]) -> Result<Vec<u8>, PprofError> {
    if !bytes.starts_with(&GZIP_MAGIC) {
        let is_short = u64::try_from(bytes.len()).is_ok_and(|len| len <= MAX_PROFILE_BYTES);
        return if is_short {
            Ok(bytes.to_vec())
        } else {
            Err(PprofError::TooLong)
        };
    }
    let mut plain = Vec::new();
    let mut reader = MultiGzDecoder::new(bytes).take(MAX_PROFILE_BYTES + 1);
    let len = reader.read_to_end(&mut plain).map_err(PprofError::Gzip)?;
    if u64::try_from(len).is_ok_and(|len| len <= MAX_PROFILE_BYTES) {
        Ok(plain)
    } else {
        Err(PprofError::TooLong)
    }
}

/// Counts the entries of the tables before they are decoded.
fn check_table_sizes(bytes: &[u8]) -> Result<(), PprofError> {
    let mut entries = 0_usize;
    each_field(bytes, |number, _| {
        entries += usize::from(number != SAMPLE);
        at_most(MAX_TABLE_ENTRIES, entries, "locations, functions and strings")
    })
}

fn window(profile: &Head) -> Result<Interval, PprofError> {
    let start = UnixNanos(profile.time_nanos);
    let end = UnixNanos(profile.time_nanos.saturating_add(profile.duration_nanos.max(0)));
    let window = Interval::new(start, end).filter(|_| profile.time_nanos > 0);
    window.ok_or(PprofError::NoTime {
        time_nanos: profile.time_nanos,
    })
}

/// Which of a sample's values are what.
struct Values {
    count: Option<usize>,
    cpu_ns: usize,
    period_ns: i64,
}

impl Values {
    /// Go has `samples/count` and `cpu/nanoseconds`.
    fn of(profile: &Head) -> Result<Self, PprofError> {
        let types = (profile.sample_type.iter())
            .map(|each| Ok((text(profile, each.r#type)?, text(profile, each.unit)?)))
            .collect::<Result<Vec<_>, PprofError>>()?;
        let position = |wanted: (&str, &str)| types.iter().position(|each| *each == wanted);
        let Some(cpu_ns) = position(("cpu", "nanoseconds")) else {
            let found = sample_types(profile)?;
            return Err(PprofError::NotCpu {
                found: if found.is_empty() {
                    "none".to_owned()
                } else {
                    found.join(", ")
                },
            });
        };
        Ok(Self {
            count: position(("samples", "count")),
            cpu_ns,
            period_ns: profile.period.max(1),
        })
    }

    /// How many samples, and the CPU time that they stand for.
    fn read(&self, sample: &Sample) -> (i64, i64) {
        let value = |index: usize| sample.value.get(index).copied().unwrap_or(0).max(0);
        let cpu_ns = value(self.cpu_ns);
        let count = match self.count {
            Some(count) => value(count),
            None => cpu_ns / self.period_ns,
        };
        (count, cpu_ns)
    }
}

/// As `cpu/nanoseconds`; some of them if there are more than anybody would write.
fn sample_types(profile: &Head) -> Result<Vec<String>, PprofError> {
    let listed = profile.sample_type.iter().take(MAX_LISTED);
    let shown = listed.map(|each| {
        let (kind, unit) = (text(profile, each.r#type)?, text(profile, each.unit)?);
        Ok(format!("{kind:.MAX_LISTED$}/{unit:.MAX_LISTED$}"))
    });
    shown.collect()
}

fn text(profile: &Head, id: i64) -> Result<&str, PprofError> {
    let text = usize::try_from(id).ok().and_then(|id| profile.string_table.get(id));
    text.map(String::as_str).ok_or(PprofError::Dangling {
        what: "string",
        id: id.into(),
    })
}

/// Numbers as labels name no span: ids of 64 bits do not fit.
fn span_of(profile: &Head, sample: &Sample) -> Result<Option<LabeledSpan>, PprofError> {
    let labels = (sample.label.iter())
        .filter(|label| label.str != 0)
        .map(|label| Ok((text(profile, label.key)?, text(profile, label.str)?)))
        .collect::<Result<Vec<_>, PprofError>>()?;
    Ok(labeled_span(labels.into_iter()))
}

fn at_most(limit: usize, count: usize, what: &'static str) -> Result<(), PprofError> {
    match count > limit {
        true => Err(PprofError::TooMany { what, limit }),
        false => Ok(()),
    }
}

/// The stacks of samples under ids that are the same everywhere.
struct Stacks<'a> {
    profile: &'a Head,
    locations: HashMap<u64, &'a Location>,
    functions: HashMap<u64, &'a Function>,
    names: Names,
    /// By position in the profile's table of strings.
    name_ids: HashMap<i64, NameId>,
    /// By location ids.
    known: HashMap<Vec<u64>, Stack>,
    /// Of all stacks; locations without lines count, too.
    frame_count: usize,
    /// Of the names of all frames.
    hashed_bytes: usize,
}

impl<'a> Stacks<'a> {
    fn new(profile: &'a Head) -> Self {
        Self {
            profile,
            locations: profile.location.iter().map(|each| (each.id, each)).collect(),
            functions: profile.function.iter().map(|each| (each.id, each)).collect(),
            names: Names::new(),
            name_ids: HashMap::new(),
            known: HashMap::new(),
            frame_count: 0,
            hashed_bytes: 0,
        }
    }

    /// The stack of a sample; `None` if it has none.
    fn stack(&mut self, sample: &Sample) -> Result<Option<StackId>, PprofError> {
        if sample.location_id.is_empty() {
            return Ok(None);
        }
        if let Some(stack) = self.known.get(&sample.location_id) {
            return Ok(Some(stack.id));
        }
        let mut hash = StackHash::new();
        let mut frames = Vec::new();
        for id in &sample.location_id {
            let dangling = |what, id: u64| PprofError::Dangling { what, id: id.into() };
            let location = self
                .locations
                .get(id)
                .copied()
                .ok_or_else(|| dangling("location", *id))?;
            for line in &location.line {
                let function = self.functions.get(&line.function_id).copied();
                let function = function.ok_or_else(|| dangling("function", line.function_id))?;
                let (function_id, name) = self.name(function.name)?;
                let (file_id, file) = self.name(function.filename)?;
                self.hashed_bytes += name.len() + file.len();
                at_most(MAX_HASHED_BYTES, self.hashed_bytes, "bytes of names in all stacks")?;
                let line = u32::try_from(line.line).unwrap_or(0);
                hash.frame(name.as_bytes(), file.as_bytes(), line.into());
                frames.push(Frame {
                    function: function_id,
                    file: file_id,
                    line,
                });
                at_most(MAX_STACK_FRAMES, frames.len(), "frames in a stack")?;
            }
        }
        self.frame_count += frames.len().max(sample.location_id.len());
        at_most(MAX_FRAMES, self.frame_count, "frames")?;
        let id = hash.id();
        self.known.insert(sample.location_id.clone(), Stack { id, frames });
        Ok(Some(id))
    }

    /// The name of a function or file. Frames repeat few names, so that each is looked through once.
    fn name(&mut self, string: i64) -> Result<(NameId, &'a str), PprofError> {
        let name = text(self.profile, string)?;
        if let Some(id) = self.name_ids.get(&string) {
            return Ok((*id, name));
        }
        at_most(MAX_NAME_BYTES, name.len(), "bytes in the name of a function or file")?;
        let id = self.names.intern(name);
        self.name_ids.insert(string, id);
        Ok((id, name))
    }
}
