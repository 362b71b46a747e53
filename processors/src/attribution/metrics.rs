//! Metrics of the `attribution` connector.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use spandrel_attribution::WalkCounts;
use spandrel_model::UnknownReason;
use spandrel_pipeline::BuildError;

/// What the connector counts, labelled with its id.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    /// Spans accepted, duplicates not counted.
    pub(super) accepted_spans: IntCounter,
    /// Spans that had arrived before.
    pub(super) duplicate_spans: IntCounter,
    /// Spans joined, by `binding`: the evidence, or the reason why a span is unbound.
    pub(super) joined_spans: IntCounterVec,
    /// Batches refused because a limit was reached.
    pub(super) refused_batches: IntCounter,
    /// Recordings decoded.
    pub(super) accepted_recordings: IntCounter,
    /// Recordings that had arrived before.
    pub(super) duplicate_recordings: IntCounter,
    /// Recordings that could not be decoded.
    pub(super) rejected_recordings: IntCounter,
    /// Recordings let go before their time because of `recording_limit`.
    pub(super) evicted_recordings: IntCounter,
    /// Recordings without a wall clock that spans have placed.
    pub(super) anchored_recordings: IntCounter,
    /// Recordings without a wall clock that spans have not placed, so that they are lost.
    pub(super) unanchored_recordings: IntCounter,
    /// Spans whose cells did not sum to their duration: always 0.
    pub(super) conservation_violations: IntCounter,
    /// What was met while the root views were made.
    pub(super) walks: WalkMetrics,
    /// Spans accepted and not yet joined and sent.
    pub(super) pending_spans: IntGauge,
    /// Windows of the matrix that are still open.
    pub(super) open_windows: IntGauge,
}

/// [`WalkCounts`] of all joins.
#[derive(Clone, Debug)]
pub(super) struct WalkMetrics {
    waits: IntCounter,
    pieces: IntCounter,
    summed: IntCounter,
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

impl Metrics {
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
            given_up,
            depth_max: gauge("root_chain_steps_max", "Steps of the longest chain of waits")?,
        };
        Ok(Self {
            accepted_spans: counter("accepted_spans", "Spans accepted")?,
            duplicate_spans: counter("duplicate_spans", "Spans dropped because they had arrived before")?,
            joined_spans,
            refused_batches: counter("refused_batches", "Batches refused because a limit was reached")?,
            accepted_recordings: counter("accepted_recordings", "Runtime profiles decoded")?,
            duplicate_recordings: counter(
                "duplicate_recordings",
                "Runtime profiles dropped because they had arrived before",
            )?,
            rejected_recordings: counter("rejected_recordings", "Runtime profiles that could not be decoded")?,
            evicted_recordings: counter(
                "evicted_recordings",
                "Recordings let go early because of recording_limit",
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
            pending_spans: gauge("pending_spans", "Spans accepted and not yet joined and sent")?,
            open_windows: gauge("open_windows", "Windows of the matrix that are still open")?,
        })
    }
}
