//! Metrics of the `attribution` connector.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use spandrel_attribution::{CallCounts, WalkCounts, binding_word};
use spandrel_model::{SampleCounts, UnknownReason};
use spandrel_pipeline::BuildError;

use super::emitted::Changes;
use super::held_spans::{Added, Lateness, Released, Restored};
use super::pending::Evicted;

/// What the connector counts, labelled with its id.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    /// Spans accepted, duplicates not counted.
    pub(super) accepted_spans: IntCounter,
    /// Spans that had arrived before.
    pub(super) duplicate_spans: IntCounter,
    /// Spans accepted when spans of the same stretch of time had been joined already.
    pub(super) late_spans: IntCounter,
    /// Recordings that spans had been joined without.
    pub(super) late_recordings: IntCounter,
    /// What came for a stretch of time whose rows are final, by `kind`: `span`, `recording`, or `request` for a corrected
    /// request whose window of the matrix has been let go.
    pub(super) too_late: IntCounterVec,
    /// Spans whose rows were replaced because something came late.
    pub(super) corrected_spans: IntCounter,
    /// Spans that something late did not correct, because a recording was left out of the join.
    pub(super) uncorrected_spans: IntCounter,
    /// Spans that have no rows, because their join panicked without any profile, too.
    pub(super) lost_spans: IntCounter,
    /// Spans whose rows became final before their time because of a limit.
    pub(super) sealed_early_spans: IntCounter,
    /// Spans that would not be recognized if they were sent again.
    pub(super) forgotten_spans: IntCounter,
    /// Spans joined for the first time, by `binding`: the evidence, or the reason why a span is unbound.
    pub(super) joined_spans: IntCounterVec,
    /// By `stage`.
    pub(super) restored_spans: IntCounterVec,
    /// Batches refused because a limit was reached.
    pub(super) refused_batches: IntCounter,
    /// Recordings decoded.
    pub(super) accepted_recordings: IntCounter,
    /// Recordings that had arrived before.
    pub(super) duplicate_recordings: IntCounter,
    /// CPU profiles decoded.
    pub(super) accepted_cpu_profiles: IntCounter,
    /// Samples in them, by `labels`: `span` where they name one, else `none`.
    pub(super) cpu_samples: IntCounterVec,
    /// Profiles that could not be decoded.
    pub(super) rejected_recordings: IntCounter,
    /// Recordings let go before their time because of a limit.
    pub(super) evicted_recordings: IntCounter,
    /// Recordings of which only the file is left, because of `recording_limit`.
    pub(super) unloaded_recordings: IntCounter,
    /// Profiles of earlier runs that were taken up.
    pub(super) restored_recordings: IntCounter,
    /// Times that a recording on disk was left out of a join, because it could not be read or too many were needed.
    pub(super) left_out_recordings: IntCounter,
    /// Profiles that are not used any more because that made the collector panic or die.
    pub(super) set_aside_profiles: IntCounter,
    /// Recordings without a wall clock that spans have placed.
    pub(super) anchored_recordings: IntCounter,
    /// Recordings without a wall clock that spans have not placed, so that they are lost.
    pub(super) unanchored_recordings: IntCounter,
    /// Spans whose cells did not sum to their duration: always 0.
    pub(super) conservation_violations: IntCounter,
    /// What was met while the root views were made.
    pub(super) walks: WalkMetrics,
    /// What became of calls to servers whose spans are known.
    pub(super) calls: CallMetrics,
    /// Spans accepted and not yet joined and sent.
    pub(super) pending_spans: IntGauge,
    /// Windows of the matrix that are still open.
    pub(super) open_windows: IntGauge,
    /// Profiles on disk.
    pub(super) stored_recording_bytes: IntGauge,
}

/// [`WalkCounts`] of all joins.
#[derive(Clone, Debug)]
pub(super) struct WalkMetrics {
    waits: IntCounter,
    pieces: IntCounter,
    summed: IntCounter,
    inferred: IntCounter,
    /// By `reason`: a word of `sub_state`.
    given_up: IntCounterVec,
    depth_max: IntGauge,
}

impl WalkMetrics {
    /// Adds those of one join.
    pub(super) fn add(&self, counts: &WalkCounts) {
        self.waits.inc_by(counts.waits);
        self.pieces.inc_by(counts.pieces);
        self.summed.inc_by(counts.summed);
        self.inferred.inc_by(counts.inferred);
        for (reason, count) in [
            (UnknownReason::ChainTooLong, counts.too_long),
            (UnknownReason::WakesContradict, counts.contradictions),
            (UnknownReason::WakerNotRecorded, counts.wakers_not_recorded),
        ] {
            self.given_up.with_label_values(&[reason.as_str()]).inc_by(count);
        }
        self.depth_max
            .set(self.depth_max.get().max(i64::from(counts.depth_max)));
    }
}

/// [`CallCounts`] of all joins.
#[derive(Clone, Debug)]
pub(super) struct CallMetrics {
    servers: IntCounter,
    detached: IntCounter,
    pieces: IntCounter,
    /// By `reason`.
    given_up: IntCounterVec,
}

impl CallMetrics {
    /// Adds those of one join.
    pub(super) fn add(&self, counts: &CallCounts) {
        self.servers.inc_by(counts.servers);
        self.detached.inc_by(counts.detached);
        self.pieces.inc_by(counts.pieces);
        for (reason, count) in [("too_deep", counts.too_deep), ("too_many_pieces", counts.too_many)] {
            self.given_up.with_label_values(&[reason]).inc_by(count);
        }
    }
}

impl Metrics {
    pub(super) fn count_added(&self, added: &Added) {
        self.accepted_spans.inc_by(added.accepted);
        self.duplicate_spans.inc_by(added.duplicates);
        self.late_spans.inc_by(added.late);
        self.too_late.with_label_values(&["span"]).inc_by(added.too_late);
        let accepted = i64::try_from(added.accepted).unwrap_or(i64::MAX);
        self.pending_spans.add(accepted);
    }

    pub(super) fn count_recording(&self, lateness: Lateness) {
        self.late_recordings.inc_by(u64::from(lateness.is_late));
        let too_late = self.too_late.with_label_values(&["recording"]);
        too_late.inc_by(u64::from(lateness.is_too_late));
    }

    pub(super) fn count_cpu_profile(&self, samples: SampleCounts) {
        self.accepted_cpu_profiles.inc();
        for (labels, count) in [("span", samples.labeled), ("none", samples.unlabeled)] {
            let count = u64::try_from(count).unwrap_or(0);
            self.cpu_samples.with_label_values(&[labels]).inc_by(count);
        }
    }

    pub(super) fn count_changes(&self, changes: &Changes) {
        for span in &changes.first {
            let binding = binding_word(span.binding);
            self.joined_spans.with_label_values(&[binding]).inc();
        }
        self.corrected_spans.inc_by(changes.corrected.len() as u64);
    }

    /// Corrected requests whose window of the matrix has been let go.
    pub(super) fn count_late_requests(&self, count: u64) {
        self.too_late.with_label_values(&["request"]).inc_by(count);
    }

    pub(super) fn count_restored(&self, restored: &Restored) {
        for (stage, count) in [
            ("waiting", restored.waiting),
            ("correctable", restored.correctable),
            ("final", restored.sealed),
        ] {
            self.restored_spans.with_label_values(&[stage]).inc_by(count);
        }
        self.pending_spans
            .add(i64::try_from(restored.waiting).unwrap_or(i64::MAX));
    }

    pub(super) fn count_released(&self, released: &Released) {
        self.sealed_early_spans.inc_by(released.sealed_early);
        self.forgotten_spans.inc_by(released.forgotten_ids);
    }

    pub(super) fn count_evicted(&self, evicted: &Evicted) {
        self.evicted_recordings.inc_by(evicted.recordings);
        self.unloaded_recordings.inc_by(evicted.unloaded);
        self.sealed_early_spans.inc_by(evicted.sealed_spans);
    }

    pub(super) fn register(id: &str, registry: &Registry) -> Result<Self, BuildError> {
        Self::try_register(id, registry)
            .map_err(|error| BuildError::caused_by(format!("cannot register the metrics of connector `{id}`"), error))
    }

    fn try_register(id: &str, registry: &Registry) -> prometheus::Result<Self> {
        let opts = |name: &str, help: &str| {
            Opts::new(format!("spandrel_attribution_{name}"), help).const_label("connector", id)
        };
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::with_opts(opts(name, help))?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::with_opts(opts(name, help))?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let joined_spans = IntCounterVec::new(
            opts("joined_spans", "Spans joined, by evidence or reason"),
            &["binding"],
        )?;
        registry.register(Box::new(joined_spans.clone()))?;
        let restored_spans = IntCounterVec::new(
            opts(
                "restored_spans",
                "Spans of an earlier run, by what they were found to be",
            ),
            &["stage"],
        )?;
        registry.register(Box::new(restored_spans.clone()))?;
        let too_late = IntCounterVec::new(
            opts("too_late", "What came for a stretch of time whose rows are final"),
            &["kind"],
        )?;
        registry.register(Box::new(too_late.clone()))?;
        let cpu_samples = IntCounterVec::new(
            opts("cpu_samples", "Samples in CPU profiles, by whether labels name a span"),
            &["labels"],
        )?;
        registry.register(Box::new(cpu_samples.clone()))?;
        let given_up = IntCounterVec::new(
            opts(
                "root_given_up_pieces",
                "Stretches of root views that are unknown, by reason",
            ),
            &["reason"],
        )?;
        registry.register(Box::new(given_up.clone()))?;
        let walks = WalkMetrics {
            waits: counter("root_waits", "Waits followed to the goroutine that ended them")?,
            pieces: counter("root_pieces", "Stretches of time at the ends of chains of waits")?,
            summed: counter(
                "root_summed_pieces",
                "Long stretches of a goroutine summed up instead of walked",
            )?,
            inferred: counter("root_inferred_pieces", "Parts of root views that the spans alone tell")?,
            given_up,
            depth_max: gauge("root_chain_steps_max", "Steps of the longest chain of waits")?,
        };
        let given_up = IntCounterVec::new(
            opts("remote_given_up_calls", "Calls not followed into the server, by reason"),
            &["reason"],
        )?;
        registry.register(Box::new(given_up.clone()))?;
        let calls = CallMetrics {
            servers: counter("remote_servers", "Spans of servers that calls led to")?,
            detached: counter(
                "remote_detached_servers",
                "Spans of servers that no client can have waited for",
            )?,
            pieces: counter("remote_pieces", "Pieces of servers put in the place of network waits")?,
            given_up,
        };
        Ok(Self {
            accepted_spans: counter("accepted_spans", "Spans accepted")?,
            duplicate_spans: counter("duplicate_spans", "Spans dropped because they had arrived before")?,
            late_spans: counter("late_spans", "Spans whose stretch of time had been joined already")?,
            late_recordings: counter("late_recordings", "Recordings that spans had been joined without")?,
            too_late,
            corrected_spans: counter("corrected_spans", "Spans whose rows were replaced")?,
            uncorrected_spans: counter(
                "uncorrected_spans",
                "Spans not corrected because a recording was left out",
            )?,
            lost_spans: counter("lost_spans", "Spans without rows because their join panicked")?,
            sealed_early_spans: counter("sealed_early_spans", "Spans whose rows became final because of a limit")?,
            forgotten_spans: counter(
                "forgotten_spans",
                "Spans not recognized any more if they are sent again",
            )?,
            joined_spans,
            restored_spans,
            refused_batches: counter("refused_batches", "Batches refused because a limit was reached")?,
            accepted_recordings: counter("accepted_recordings", "Runtime profiles decoded")?,
            duplicate_recordings: counter(
                "duplicate_recordings",
                "Runtime profiles dropped because they had arrived before",
            )?,
            accepted_cpu_profiles: counter("accepted_cpu_profiles", "CPU profiles decoded")?,
            cpu_samples,
            rejected_recordings: counter("rejected_recordings", "Runtime profiles that could not be decoded")?,
            evicted_recordings: counter("evicted_recordings", "Recordings let go early because of a limit")?,
            unloaded_recordings: counter(
                "unloaded_recordings",
                "Recordings on disk only because of recording_limit",
            )?,
            restored_recordings: counter("restored_recordings", "Runtime profiles of an earlier run taken up")?,
            left_out_recordings: counter("left_out_recordings", "Recordings on disk that a join did without")?,
            set_aside_profiles: counter(
                "set_aside_profiles",
                "Runtime profiles not used any more because that made the collector panic or die",
            )?,
            anchored_recordings: counter(
                "anchored_recordings",
                "Recordings without a wall clock that spans have placed",
            )?,
            unanchored_recordings: counter(
                "unanchored_recordings",
                "Recordings without a wall clock dropped because no spans placed them",
            )?,
            conservation_violations: counter("conservation_violations", "Spans whose cells miss their duration")?,
            walks,
            calls,
            pending_spans: gauge("pending_spans", "Spans accepted and not yet joined and sent")?,
            open_windows: gauge("open_windows", "Windows of the matrix that are still open")?,
            stored_recording_bytes: gauge("stored_recording_bytes", "Bytes in recordings_directory")?,
        })
    }
}
