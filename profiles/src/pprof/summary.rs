//! What a profile in the format of pprof holds, of whatever it is, without its stacks.

use std::collections::BTreeMap;

use prost::Message;
use spandrel_model::UnixNanos;

use super::proto::{Head, Sample, each_sample};
use super::{MAX_LISTED, PprofError, Values, check_table_sizes, decompressed, sample_types, span_of, text};

/// Longest key of a label that is told whole, in characters.
const MAX_KEY: usize = 64;

/// A profile, summed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What is counted, as `cpu/nanoseconds`; at most 16.
    pub sample_types: Vec<String>,
    /// Whether it says what ran on processors.
    pub is_cpu: bool,
    /// When it began; `None` if it does not say so.
    pub start: Option<UnixNanos>,
    /// How long it covers, nanoseconds; 0 if it does not say so, as of what is alive at an instant.
    pub duration_ns: i64,
    /// Number of samples of a CPU profile; of others that of stacks with one set of labels.
    pub samples: i64,
    /// Those of them whose labels name a span.
    pub span_samples: i64,
    /// Keys of labels with how many of the samples have them, most first; at most 16.
    pub labels: Vec<(String, i64)>,
}

/// Sums up a profile.
///
/// # Errors
/// The bytes are no profile, damaged, or more than [`super::decode`] would read.
pub fn summarize(bytes: &[u8]) -> Result<Summary, PprofError> {
    let bytes = decompressed(bytes)?;
    check_table_sizes(&bytes)?;
    let profile = Head::decode(bytes.as_slice())?;
    let values = match Values::of(&profile) {
        Err(PprofError::NotCpu { .. }) => None,
        values => Some(values?),
    };
    let (mut samples, mut span_samples) = (0_i64, 0_i64);
    let mut labels: BTreeMap<i64, i64> = BTreeMap::new();
    each_sample(&bytes, |sample: Sample| {
        let count = values.as_ref().map_or(1, |values| values.read(&sample).0);
        samples = samples.saturating_add(count);
        if span_of(&profile, &sample)?.is_some() {
            span_samples = span_samples.saturating_add(count);
        }
        for label in &sample.label {
            // So there are no more of them than strings.
            text(&profile, label.key)?;
            let of_key = labels.entry(label.key).or_default();
            *of_key = of_key.saturating_add(count);
        }
        Ok::<_, PprofError>(())
    })?;
    Ok(Summary {
        sample_types: sample_types(&profile)?,
        is_cpu: values.is_some(),
        start: (profile.time_nanos > 0).then_some(UnixNanos(profile.time_nanos)),
        duration_ns: profile.duration_nanos.max(0),
        samples,
        span_samples,
        labels: named(&profile, labels)?,
    })
}

fn named(profile: &Head, labels: BTreeMap<i64, i64>) -> Result<Vec<(String, i64)>, PprofError> {
    let mut labels: Vec<(i64, i64)> = labels.into_iter().collect();
    labels.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let named = |(key, count): (i64, i64)| Ok((text(profile, key)?.chars().take(MAX_KEY).collect(), count));
    labels.into_iter().take(MAX_LISTED).map(named).collect()
}
