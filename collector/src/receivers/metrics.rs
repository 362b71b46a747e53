//! What a receiver let in and what it turned away, under the OpenTelemetry Collector's names.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use spandrel_pipeline::{BuildContext, BuildError, Signal};

/// Counters of items by signal and transport; the label `receiver` is the same for all of them.
#[derive(Clone)]
pub(super) struct ReceiverMetrics(Vec<SignalMetrics>);

#[derive(Clone)]
struct SignalMetrics {
    signal: Signal,
    accepted: IntCounterVec,
    refused: IntCounterVec,
}

impl ReceiverMetrics {
    /// Registers the counters of `signals`, which start at 0 for each of `transports`.
    pub(super) fn register(
        context: &BuildContext,
        signals: &[Signal],
        transports: &[&str],
    ) -> Result<Self, BuildError> {
        let counters = |signal: &Signal| {
            let items = items_of(*signal);
            let counter = |verb: &str, help: &str| {
                let opts = Opts::new(format!("otelcol_receiver_{verb}_{items}"), help);
                let counter = counter_vec(context, opts, &["transport"])?;
                for transport in transports {
                    counter.with_label_values(&[transport]);
                }
                Ok(counter)
            };
            Ok(SignalMetrics {
                signal: *signal,
                accepted: counter("accepted", "Items for which a pipeline took responsibility.")?,
                refused: counter("refused", "Items that a pipeline did not take.")?,
            })
        };
        signals.iter().map(counters).collect::<Result<_, _>>().map(Self)
    }

    /// Opens the account of `count` items that are about to be offered to a pipeline.
    ///
    /// The signal is one of those registered.
    pub(super) fn offer(&self, signal: Signal, transport: &str, count: usize) -> Offer {
        let metrics = self
            .0
            .iter()
            .find(|metrics| metrics.signal == signal)
            .expect("signals are registered at build");
        Offer {
            accepted: metrics.accepted.with_label_values(&[transport]),
            refused: metrics.refused.with_label_values(&[transport]),
            count: u64::try_from(count).expect("a usize fits"),
        }
    }
}

/// Items on their way into a pipeline. They count as refused unless [`Offer::accepted`] is called: a sender that goes
/// away before the answer has no acknowledgement and sends again.
#[must_use]
pub(super) struct Offer {
    accepted: IntCounter,
    refused: IntCounter,
    count: u64,
}

impl Offer {
    /// The pipeline took the items.
    pub(super) fn accepted(self) {
        self.accepted_but(0);
    }

    /// The pipeline took the items but for `rejected` of them.
    pub(super) fn accepted_but(mut self, rejected: usize) {
        let rejected = self.count.min(rejected as u64);
        self.accepted.inc_by(self.count - rejected);
        self.count = rejected;
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.refused.inc_by(self.count);
    }
}

/// Registers a family of counters that carry the receiver's id as a constant label.
pub(super) fn counter_vec(context: &BuildContext, opts: Opts, labels: &[&str]) -> Result<IntCounterVec, BuildError> {
    let name = opts.name.clone();
    IntCounterVec::new(opts.const_label("receiver", context.id.to_string()), labels)
        .and_then(|counters| registered(&context.registry, counters))
        .map_err(|error| BuildError::caused_by(format!("cannot register the metric `{name}`"), error))
}

/// Registers `metric` and returns it.
pub(super) fn registered<M: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    metric: M,
) -> prometheus::Result<M> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// What the Collector calls the items of a signal. It has no runtime profiles; ours are `profiles`.
fn items_of(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "spans",
        Signal::Metrics => "metric_points",
        Signal::Logs => "log_records",
        Signal::Profiles => "profiles",
        Signal::Tables => "rows",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> (ReceiverMetrics, Registry) {
        let registry = Registry::new();
        let context = BuildContext {
            id: "otlp/a".into(),
            registry: registry.clone(),
        };
        (
            ReceiverMetrics::register(&context, &[Signal::Traces], &["grpc"]).unwrap(),
            registry,
        )
    }

    fn value(registry: &Registry, name: &str) -> f64 {
        let families = registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        family
            .get_metric()
            .iter()
            .map(|metric| metric.get_counter().get_value())
            .sum()
    }

    #[test]
    fn items_that_nobody_answered_for_are_refused() {
        let (metrics, registry) = metrics();
        metrics.offer(Signal::Traces, "grpc", 3).accepted();
        drop(metrics.offer(Signal::Traces, "grpc", 4));
        metrics.offer(Signal::Traces, "grpc", 5).accepted_but(2);
        assert_eq!(value(&registry, "otelcol_receiver_accepted_spans"), 6.0);
        assert_eq!(value(&registry, "otelcol_receiver_refused_spans"), 6.0);
    }

    #[test]
    fn two_receivers_share_a_registry() {
        let (_, registry) = metrics();
        let second = BuildContext {
            id: "otlp/b".into(),
            registry,
        };
        assert!(ReceiverMetrics::register(&second, &[Signal::Traces], &["grpc"]).is_ok());
    }
}
