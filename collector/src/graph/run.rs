//! The life of a [`Graph`] from the first batch to the last flush.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use spandrel_config::ComponentId;
use spandrel_pipeline::{Connector, Outputs, RunError, Stop, StopSource};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Graph;

/// How long a component may take to stop until what it holds is given up. Each has its own share, so that a slow one
/// does not cost the exporters behind it their last flush.
const STOP_PATIENCE: Duration = Duration::from_secs(25);

/// A running component.
struct Worker {
    name: String,
    source: StopSource,
    handle: JoinHandle<Result<(), RunError>>,
}

/// Tells connectors that their work is given up when the life of the graph ends, or is cut short.
struct GiveUp(Vec<Arc<dyn Connector>>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        for connector in &self.0 {
            connector.give_up();
        }
    }
}

impl Graph {
    /// Runs until `stop` or until a component fails, then stops receivers, connectors and exporters in the order of
    /// the data, each only after all before it have handed on what they held.
    ///
    /// # Errors
    /// Every component that failed or lost something.
    pub async fn run(self, stop: Stop) -> anyhow::Result<()> {
        let connectors = self.connectors.iter().map(|(_, connector, _)| connector.clone());
        let _give_up = GiveUp(connectors.collect());
        tokio::select! {
            () = stop.requested() => {}
            () = restore(&self.connectors) => {}
        }
        let exporters: Vec<Worker> = self
            .exporters
            .into_iter()
            .map(|(id, exporter)| spawn("exporter", &id, |stop| exporter.run(stop)))
            .collect();
        let connectors: Vec<Worker> = self
            .connectors
            .into_iter()
            .map(|(id, connector, outputs)| spawn_connector(&id, connector, outputs))
            .collect();
        let receivers: Vec<Worker> = self
            .receivers
            .into_iter()
            .map(|(id, receiver, outputs)| spawn("receiver", &id, |stop| receiver.run(outputs, stop)))
            .collect();

        let mut workers: Vec<Worker> = receivers.into_iter().chain(connectors).chain(exporters).collect();
        tokio::select! {
            () = stop.requested() => {}
            () = any_finished(&workers) => {}
        }
        let mut failures = Vec::new();
        // Receivers first, then connectors, then exporters: the order in which `workers` was put together.
        for worker in &mut workers {
            worker.source.request();
            if let Err(error) = finish(worker).await {
                failures.push(format!("{error:#}"));
            }
        }
        match failures.as_slice() {
            [] => Ok(()),
            failures => Err(anyhow!("{}", failures.join("; "))),
        }
    }
}

/// Lets connectors take up what they held when the collector last ran, before anything is received.
async fn restore(connectors: &[(ComponentId, Arc<dyn Connector>, Outputs)]) {
    for (_, connector, outputs) in connectors {
        connector.restore(outputs).await;
    }
}

fn spawn<F>(role: &str, id: &ComponentId, run: impl FnOnce(Stop) -> F) -> Worker
where
    F: Future<Output = Result<(), RunError>> + Send + 'static,
{
    let source = StopSource::new();
    let handle = tokio::spawn(run(source.stop()));
    Worker {
        name: format!("{role} `{id}`"),
        source,
        handle,
    }
}

fn spawn_connector(id: &ComponentId, connector: Arc<dyn Connector>, outputs: Outputs) -> Worker {
    spawn("connector", id, |stop| connector.run(outputs, stop))
}

async fn finish(worker: &mut Worker) -> anyhow::Result<()> {
    let name = &worker.name;
    match timeout(STOP_PATIENCE, &mut worker.handle).await {
        Ok(Ok(outcome)) => outcome.with_context(|| format!("{name} failed")),
        Ok(Err(panic)) => Err(anyhow!("{name} ended unexpectedly: {panic}")),
        Err(_) => {
            worker.handle.abort();
            Err(anyhow!("{name} did not stop within {STOP_PATIENCE:?}"))
        }
    }
}

/// Resolves when a component has ended by itself, which only a failure makes it do.
async fn any_finished(workers: &[Worker]) {
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    while !workers.iter().any(|worker| worker.handle.is_finished()) {
        ticks.tick().await;
    }
}
