//! From a configuration to a [`Plan`], or to every reason why there is none.

use std::collections::{BTreeMap, BTreeSet};

use spandrel_config::{
    CollectorConfig, ComponentId, ComponentKind, Pipeline, PipelineId, PipelineSignal, Problems, Section,
};
use spandrel_pipeline::{ConnectorConfig, ExporterConfig, ReceiverConfig, Signal};

use super::join_delay;
use crate::components::{CONNECTORS, EXPORTERS, EXTENSIONS, RECEIVERS};
use crate::extensions::ExtensionConfig;

/// Sections that have been checked one by one. What none of the pipelines uses is dropped by [`plan`].
#[derive(Default)]
pub struct Sections {
    receivers: BTreeMap<ComponentId, Box<dyn ReceiverConfig>>,
    connectors: BTreeMap<ComponentId, Box<dyn ConnectorConfig>>,
    exporters: BTreeMap<ComponentId, Box<dyn ExporterConfig>>,
    extensions: BTreeMap<ComponentId, Box<dyn ExtensionConfig>>,
}

/// Valid sections of all components in use, and the pipelines. Nothing is open yet.
pub struct Plan {
    pub(super) receivers: BTreeMap<ComponentId, Box<dyn ReceiverConfig>>,
    pub(super) connectors: BTreeMap<ComponentId, Box<dyn ConnectorConfig>>,
    pub(super) exporters: BTreeMap<ComponentId, Box<dyn ExporterConfig>>,
    /// Extensions that `service::extensions` lists.
    pub extensions: BTreeMap<ComponentId, Box<dyn ExtensionConfig>>,
    pub(super) routes: Vec<Route>,
    /// Connectors so ordered that each comes before those it sends to.
    pub(super) connector_order: Vec<ComponentId>,
}

/// One pipeline: what comes from any of `sources` goes to all of `targets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) signal: Signal,
    pub(super) sources: Vec<ComponentId>,
    pub(super) targets: Vec<ComponentId>,
}

impl Sections {
    /// Checks the section of one component; problems go to `problems`.
    pub fn check(&mut self, kind: ComponentKind, id: &ComponentId, section: &Section, problems: &mut Problems) {
        let name = id.component_type();
        match kind {
            ComponentKind::Receiver => {
                let kinds: Vec<_> = RECEIVERS.iter().map(|factory| (factory.kind, factory.check)).collect();
                check_one("receiver", name, &kinds, section, problems)
                    .map(|config| self.receivers.insert(id.clone(), config));
            }
            ComponentKind::Connector => {
                let kinds: Vec<_> = CONNECTORS.iter().map(|factory| (factory.kind, factory.check)).collect();
                check_one("connector", name, &kinds, section, problems)
                    .map(|config| self.connectors.insert(id.clone(), config));
            }
            ComponentKind::Exporter => {
                let kinds: Vec<_> = EXPORTERS.iter().map(|factory| (factory.kind, factory.check)).collect();
                check_one("exporter", name, &kinds, section, problems)
                    .map(|config| self.exporters.insert(id.clone(), config));
            }
            ComponentKind::Extension => {
                let kinds: Vec<_> = EXTENSIONS.iter().map(|factory| (factory.kind, factory.check)).collect();
                check_one("extension", name, &kinds, section, problems)
                    .map(|config| self.extensions.insert(id.clone(), config));
            }
            ComponentKind::Processor => problems.push_unknown(section.place(), "processor type", name, &[]),
        }
    }
}

type Check<T> = fn(&Section, &mut Problems) -> Option<T>;

fn check_one<T>(
    role: &str,
    name: &str,
    kinds: &[(&'static str, Check<T>)],
    section: &Section,
    problems: &mut Problems,
) -> Option<T> {
    match kinds.iter().find(|(kind, _)| *kind == name) {
        Some((_, check)) => check(section, problems),
        None => {
            let names: Vec<&str> = kinds.iter().map(|(kind, _)| *kind).collect();
            problems.push_unknown(section.place(), &format!("{role} type"), name, &names);
            None
        }
    }
}

/// Checks that the signals of the pipelines fit their components. Problems go to `problems`; `None` if there is one.
pub fn plan(config: &CollectorConfig, sections: Sections, problems: &mut Problems) -> Option<Plan> {
    let mut used = BTreeSet::new();
    let mut routes = Vec::new();
    for (id, pipeline) in &config.service.pipelines {
        routes.push(check_pipeline(config, id, pipeline, problems));
        used.extend(pipeline.receivers.iter().chain(&pipeline.exporters));
    }
    let connector_order = order_connectors(config, &routes, problems);
    join_delay::warn(config, &routes, problems);
    let Sections {
        mut receivers,
        mut connectors,
        mut exporters,
        mut extensions,
    } = sections;
    receivers.retain(|id, _| used.contains(id));
    connectors.retain(|id, _| used.contains(id));
    exporters.retain(|id, _| used.contains(id));
    extensions.retain(|id, _| config.service.extensions.contains(id));
    (!problems.has_errors()).then_some(Plan {
        receivers,
        connectors,
        exporters,
        extensions,
        routes,
        connector_order,
    })
}

fn check_pipeline(config: &CollectorConfig, id: &PipelineId, pipeline: &Pipeline, problems: &mut Problems) -> Route {
    let signal = signal_of(id.signal());
    for source in &pipeline.receivers {
        let kind = source.component_type();
        let emits = if config.connectors.contains_key(source) {
            CONNECTORS
                .iter()
                .find(|factory| factory.kind == kind)
                .map(|factory| factory.emits)
        } else {
            RECEIVERS
                .iter()
                .find(|factory| factory.kind == kind)
                .map(|factory| factory.emits)
        };
        if let Some(emits) = emits.filter(|emits| !emits.contains(&signal)) {
            let place = pipeline.place_of(ComponentKind::Receiver, source);
            problems
                .push(place, format!("`{source}` does not emit {signal}"))
                .help(format!("it emits {}", names(emits)));
        }
    }
    for target in &pipeline.exporters {
        let kind = target.component_type();
        let accepts = if config.connectors.contains_key(target) {
            CONNECTORS
                .iter()
                .find(|factory| factory.kind == kind)
                .map(|factory| factory.accepts)
        } else {
            EXPORTERS
                .iter()
                .find(|factory| factory.kind == kind)
                .map(|factory| factory.accepts)
        };
        if let Some(accepts) = accepts.filter(|accepts| !accepts.contains(&signal)) {
            let place = pipeline.place_of(ComponentKind::Exporter, target);
            problems
                .push(place, format!("`{target}` does not accept {signal}"))
                .help(format!("it accepts {}", names(accepts)));
        }
    }
    Route {
        signal,
        sources: pipeline.receivers.clone(),
        targets: pipeline.exporters.clone(),
    }
}

fn signal_of(signal: PipelineSignal) -> Signal {
    match signal {
        PipelineSignal::Traces => Signal::Traces,
        PipelineSignal::Metrics => Signal::Metrics,
        PipelineSignal::Logs => Signal::Logs,
        PipelineSignal::Profiles => Signal::Profiles,
        PipelineSignal::Attribution => Signal::Tables,
    }
}

fn names(signals: &[Signal]) -> String {
    signals
        .iter()
        .map(|signal| signal.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Orders connectors so that each comes before those it sends to, and reports cycles.
fn order_connectors(config: &CollectorConfig, routes: &[Route], problems: &mut Problems) -> Vec<ComponentId> {
    let mut order = Vec::new();
    let mut open: BTreeSet<&ComponentId> = config.connectors.keys().collect();
    while !open.is_empty() {
        let is_fed = |id: &ComponentId| {
            let into = routes.iter().filter(|route| route.targets.contains(id));
            into.flat_map(|route| &route.sources)
                .any(|source| open.contains(source))
        };
        let Some(next) = open.iter().copied().find(|id| !is_fed(id)) else {
            for section in open.iter().filter_map(|id| config.connectors.get(*id)) {
                problems
                    .push(section.place(), "this connector is part of a cycle")
                    .help("let one of its pipelines end in an exporter");
            }
            return order;
        };
        open.remove(next);
        order.push(next.clone());
    }
    order
}
