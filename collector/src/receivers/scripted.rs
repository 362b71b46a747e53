//! A pipeline for tests: answers as told and keeps what it was offered.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use prometheus::Registry;
use spandrel_pipeline::{Batch, Consumer, Outputs, Payload, Refusal, RuntimeProfile, Signal};
use tokio::sync::Semaphore;

pub(super) struct Scripted {
    answers: Mutex<Vec<Result<(), Refusal>>>,
    offered: Mutex<Vec<Batch>>,
    gate: Semaphore,
    /// Whether it asks for the rows of requests, as who stores them does.
    decodes: bool,
}

impl Scripted {
    /// Accepts everything.
    pub(super) fn accepting() -> Arc<Self> {
        Self::answering([])
    }

    /// Gives these answers in turn, then accepts.
    pub(super) fn answering(answers: impl IntoIterator<Item = Result<(), Refusal>>) -> Arc<Self> {
        let consumer = Self::blocked(answers);
        consumer.open();
        consumer
    }

    /// Answers nobody until [`Scripted::open`] is called.
    pub(super) fn blocked(answers: impl IntoIterator<Item = Result<(), Refusal>>) -> Arc<Self> {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        Arc::new(Self {
            answers: Mutex::new(answers),
            offered: Mutex::default(),
            gate: Semaphore::new(0),
            decodes: false,
        })
    }

    /// Accepts everything, and decodes it.
    pub(super) fn decoding() -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::default(),
            offered: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS / 2),
            decodes: true,
        })
    }

    pub(super) fn open(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// What was offered, in order.
    pub(super) fn offered(&self) -> Vec<Batch> {
        self.offered.lock().unwrap().clone()
    }

    /// The profiles among what was offered.
    pub(super) fn profiles(&self) -> Vec<Arc<RuntimeProfile>> {
        let profile = |batch: Batch| match batch.payload {
            Payload::Profile(profile) => Some(profile),
            _ => None,
        };
        self.offered().into_iter().filter_map(profile).collect()
    }

    /// Waits until `count` batches were offered.
    pub(super) async fn wait_for(&self, count: usize) {
        eventually(|| self.offered.lock().unwrap().len() >= count).await;
    }

    /// Outputs that lead here for `signals`.
    pub(super) fn outputs(self: &Arc<Self>, signals: &[Signal]) -> Outputs {
        Outputs::new(
            signals
                .iter()
                .map(|signal| (*signal, Arc::clone(self) as Arc<dyn Consumer>)),
        )
    }
}

#[async_trait]
impl Consumer for Scripted {
    async fn consume(&self, batch: Batch) -> Result<(), Refusal> {
        if let (Payload::Otlp(request), true) = (&batch.payload, self.decodes) {
            request.rows().map_err(Refusal::permanent)?;
        }
        self.offered.lock().unwrap().push(batch);
        let _pass = self.gate.acquire().await.unwrap();
        self.answers.lock().unwrap().pop().unwrap_or(Ok(()))
    }
}

/// Waits for a condition that other tasks bring about; panics when they do not within ten seconds.
pub(super) async fn eventually(condition: impl Fn() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("the condition did not come true");
}

/// The sum over the metrics of the family `name` that have all of `labels`.
pub(super) fn metric(registry: &Registry, name: &str, labels: &[(&str, &str)]) -> f64 {
    let families = registry.gather();
    let Some(family) = families.iter().find(|family| family.name() == name) else {
        return 0.0;
    };
    let has = |metric: &prometheus::proto::Metric, (name, value): &(&str, &str)| {
        metric
            .get_label()
            .iter()
            .any(|label| label.name() == *name && label.value() == *value)
    };
    let chosen = family
        .get_metric()
        .iter()
        .filter(|metric| labels.iter().all(|label| has(metric, label)));
    chosen
        .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
        .sum()
}

/// The section `receivers: <kind>:` of the fenced YAML block in `page` that has `key`.
pub(super) fn documented_section(page: &str, key: &str) -> String {
    let blocks = page
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let block = blocks
        .into_iter()
        .find(|block| block.contains(key))
        .expect("the page has the example");
    block
        .lines()
        .skip(2)
        .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line)))
        .collect()
}
