//! One join: the spans of a slot, with everything that touches it and what other processes did for them.

use std::sync::Arc;

use spandrel_attribution::{Attributed, ProcessInput, ProcessSpans, Rules, attribute_together};
use spandrel_model::{CpuProfile, ProcessIdentity, Span, TaskRecording};
use spandrel_profiles::go_execution_trace::StateRules;

use super::guarded::catching;
use super::held_profile::{HeldProfile, Lent};
use super::recording_source::RecordingSource;
use super::relatives::Place;

/// Everything that one join of one slot needs.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) place: Place,
    /// How many spans yield rows for the first time.
    pub(super) due: usize,
    /// The process of the slot, and those that its spans have called.
    pub(super) parts: Vec<Part>,
}

/// What a join needs of one process.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) process: Arc<ProcessIdentity>,
    /// Spans that yield rows, those that are due first. None in processes that were called.
    pub(super) spans: Vec<Arc<Span>>,
    /// Spans that do not.
    pub(super) context: Vec<Arc<Span>>,
    /// Recordings that touch them.
    pub(super) recordings: Vec<Lent<RecordingSource>>,
    /// CPU profiles that touch them, if any of the spans yield rows.
    pub(super) cpu_profiles: Vec<Lent<Arc<CpuProfile>>>,
}

/// Recordings of each part of a join, in memory.
#[derive(Debug)]
pub(super) struct Opened {
    recordings: Vec<Vec<Lent<Arc<TaskRecording>>>>,
    /// Recordings that do not fit into memory or cannot be read.
    pub(super) left_out: u64,
    /// Spans joined before that are not joined anew, because the result would be worse than before.
    pub(super) uncorrected: u64,
    /// Recordings left out for which decoding panics.
    pub(super) culprits: Vec<HeldProfile>,
}

impl Join {
    /// The profiles that it needs.
    pub(super) fn profiles(&self) -> Vec<HeldProfile> {
        let of_part = |part: &Part| {
            let recordings = part.recordings.iter().map(|lent| lent.profile.clone());
            let cpu_profiles = part.cpu_profiles.iter().map(|lent| lent.profile.clone());
            recordings.chain(cpu_profiles).collect::<Vec<_>>()
        };
        self.parts.iter().flat_map(of_part).collect()
    }

    /// Opens the recordings, of those on disk as many as fit into `limit_bytes` of memory, and one in any case. If some are
    /// left out, only spans are joined that have no rows yet. Another try would leave out as many.
    pub(super) fn open_recordings(&mut self, state_rules: &StateRules, limit_bytes: u64) -> Opened {
        let (mut left_out, mut bytes, mut culprits) = (0, 0, Vec::new());
        let mut open = |lent: &Lent<RecordingSource>| {
            let (profile, source) = (lent.profile.clone(), &lent.decoded);
            let more_bytes = source.loaded_bytes();
            let fits = bytes == 0 || more_bytes == 0 || bytes + more_bytes <= limit_bytes;
            let opened = fits.then(|| catching(|| source.open(state_rules)));
            left_out += 1;
            match opened? {
                Ok(Ok(decoded)) => {
                    left_out -= 1;
                    bytes += more_bytes;
                    return Some(Lent { profile, decoded });
                }
                Ok(Err(error)) => {
                    tracing::error!(source = %profile.source, "a runtime profile is left out of a join: {error}");
                }
                Err(panicked) => {
                    tracing::error!(source = %profile.source, "a runtime profile is left out of a join: {panicked}");
                    culprits.push(profile);
                }
            }
            None
        };
        let recordings = (self.parts.iter())
            .map(|part| part.recordings.iter().filter_map(&mut open).collect())
            .collect();
        Opened {
            recordings,
            left_out,
            uncorrected: match left_out {
                0 => 0,
                _ => self.leave_joined_spans(),
            },
            culprits,
        }
    }

    /// Joins only spans that have no rows yet, so that nothing known before is lost. Returns of how many others the rows
    /// stay as they are.
    pub(super) fn leave_joined_spans(&mut self) -> u64 {
        let Some(own) = self.parts.first_mut() else {
            return 0;
        };
        let joined_before = own.spans.split_off(self.due.min(own.spans.len()));
        let count = joined_before.len() as u64;
        own.context.extend(joined_before);
        count
    }
}

/// Attributes the spans of a join, with these profiles only. The result depends on nothing else.
pub(super) fn run_join(join: &Join, opened: &Opened, profiles: &[HeldProfile], rules: &Rules) -> Attributed {
    if join.parts.first().is_none_or(|own| own.spans.is_empty()) {
        return Attributed::default();
    }
    let parts = join.parts.iter().zip(&opened.recordings);
    let inputs: Vec<ProcessInput<'_>> = parts
        .map(|(part, recordings)| ProcessInput {
            spans: ProcessSpans {
                process: part.process.clone(),
                spans: part.spans.iter().map(AsRef::as_ref).collect(),
                context: part.context.iter().map(AsRef::as_ref).collect(),
            },
            recordings: chosen(recordings, profiles),
            cpu_profiles: chosen(&part.cpu_profiles, profiles),
        })
        .collect();
    let results = attribute_together(&inputs, rules);
    results.into_iter().next().unwrap_or_default()
}

fn chosen<'a, T>(lent: &'a [Lent<Arc<T>>], profiles: &[HeldProfile]) -> Vec<&'a T> {
    let is_chosen = |lent: &&Lent<_>| profiles.iter().any(|profile| profile.id == lent.profile.id);
    lent.iter()
        .filter(is_chosen)
        .map(|lent| lent.decoded.as_ref())
        .collect()
}
