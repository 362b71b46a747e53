//! From a [`Plan`] to a [`Graph`] with open ports and files.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use prometheus::Registry;
use spandrel_config::ComponentId;
use spandrel_pipeline::{BuildContext, BuildError, Connector, Consumer, Exporter, FanOut, Outputs, Receiver, Signal};

use super::check::{Plan, Route};

/// Built components, ready to run.
pub struct Graph {
    pub(super) receivers: Vec<(ComponentId, Box<dyn Receiver>, Outputs)>,
    /// Each before those it sends to.
    pub(super) connectors: Vec<(ComponentId, Arc<dyn Connector>, Outputs)>,
    pub(super) exporters: Vec<(ComponentId, Arc<dyn Exporter>)>,
}

/// A component could not be built.
#[derive(Debug, thiserror::Error)]
#[error("failed to build {role} `{id}`")]
pub struct GraphError {
    role: &'static str,
    id: ComponentId,
    source: BuildError,
}

impl Graph {
    /// Builds exporters, then connectors, then receivers, so that no port opens before somebody can take the data.
    ///
    /// # Errors
    /// The first component that cannot be built; those built before are closed again.
    pub async fn build(plan: Plan, registry: &Registry) -> Result<Self, GraphError> {
        let context = |id: &ComponentId| BuildContext {
            id: id.to_string().into(),
            registry: registry.clone(),
        };
        let mut targets: BTreeMap<ComponentId, Arc<dyn Consumer>> = BTreeMap::new();
        let mut exporters = Vec::new();
        for (id, config) in plan.exporters {
            let built = config.build(context(&id)).await;
            let exporter = built.map_err(|source| GraphError {
                role: "exporter",
                id: id.clone(),
                source,
            })?;
            targets.insert(id.clone(), exporter.clone());
            exporters.push((id, exporter));
        }
        let mut unordered = BTreeMap::new();
        for (id, config) in plan.connectors {
            let built = config.build(context(&id)).await;
            let connector = built.map_err(|source| GraphError {
                role: "connector",
                id: id.clone(),
                source,
            })?;
            targets.insert(id.clone(), connector.clone());
            unordered.insert(id, connector);
        }
        let mut connectors = Vec::new();
        for id in plan.connector_order {
            if let Some(connector) = unordered.remove(&id) {
                let outputs = outputs_of(&id, &plan.routes, &targets);
                connectors.push((id, connector, outputs));
            }
        }
        let mut receivers = Vec::new();
        for (id, config) in plan.receivers {
            let built = config.build(context(&id)).await;
            let receiver = built.map_err(|source| GraphError {
                role: "receiver",
                id: id.clone(),
                source,
            })?;
            let outputs = outputs_of(&id, &plan.routes, &targets);
            receivers.push((id, receiver, outputs));
        }
        Ok(Self {
            receivers,
            connectors,
            exporters,
        })
    }

    /// What listens, as `otlp (grpc)`, and where.
    pub fn listening_on(&self) -> Vec<(String, SocketAddr)> {
        let addresses = |(id, receiver, _): &(ComponentId, Box<dyn Receiver>, Outputs)| {
            let id = id.to_string();
            receiver
                .listening_on()
                .into_iter()
                .map(move |(protocol, address)| (format!("{id} ({protocol})"), address))
        };
        self.receivers.iter().flat_map(addresses).collect()
    }
}

/// For each signal, everything that the pipelines of `source` end in, each target once.
fn outputs_of(source: &ComponentId, routes: &[Route], targets: &BTreeMap<ComponentId, Arc<dyn Consumer>>) -> Outputs {
    let mut by_signal: BTreeMap<Signal, Vec<&ComponentId>> = BTreeMap::new();
    for route in routes.iter().filter(|route| route.sources.contains(source)) {
        let ids = by_signal.entry(route.signal).or_default();
        for target in &route.targets {
            if !ids.contains(&target) {
                ids.push(target);
            }
        }
    }
    Outputs::new(by_signal.into_iter().map(|(signal, ids)| {
        let consumers = ids.into_iter().filter_map(|id| targets.get(id)).cloned().collect();
        (signal, FanOut::over(consumers))
    }))
}
