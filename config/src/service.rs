//! The checked configuration of a whole collector.

use std::collections::BTreeMap;

use crate::id::{ComponentId, PipelineId};
use crate::path::Place;
use crate::section::Section;
use crate::telemetry::Telemetry;
use crate::value::Data;

/// Everything a collector is built from. Without problems references between the parts hold; the components' own settings are
/// unchecked.
#[derive(Clone, Debug)]
pub struct CollectorConfig {
    /// Where data enters.
    pub receivers: BTreeMap<ComponentId, Section>,
    /// What changes or selects data.
    pub processors: BTreeMap<ComponentId, Section>,
    /// Where data leaves.
    pub exporters: BTreeMap<ComponentId, Section>,
    /// Ends of some pipelines and starts of others.
    pub connectors: BTreeMap<ComponentId, Section>,
    /// What runs beside the pipelines; started only if the service lists it.
    pub extensions: BTreeMap<ComponentId, Section>,
    /// What runs.
    pub service: ServiceConfig,
}

impl CollectorConfig {
    /// The components of one kind.
    pub fn components(&self, kind: ComponentKind) -> &BTreeMap<ComponentId, Section> {
        match kind {
            ComponentKind::Receiver => &self.receivers,
            ComponentKind::Processor => &self.processors,
            ComponentKind::Exporter => &self.exporters,
            ComponentKind::Connector => &self.connectors,
            ComponentKind::Extension => &self.extensions,
        }
    }
}

/// The kinds of components, in the order of their sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ComponentKind {
    /// Where data enters.
    Receiver,
    /// What changes or selects data.
    Processor,
    /// Where data leaves.
    Exporter,
    /// The end of some pipelines and the start of others.
    Connector,
    /// What runs beside the pipelines.
    Extension,
}

impl ComponentKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Receiver,
        Self::Processor,
        Self::Exporter,
        Self::Connector,
        Self::Extension,
    ];

    /// The kind as a word: `receiver`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Processor => "processor",
            Self::Exporter => "exporter",
            Self::Connector => "connector",
            Self::Extension => "extension",
        }
    }

    /// The key of the kind's section, and of its list in a pipeline: `receivers`.
    pub const fn section_key(self) -> &'static str {
        match self {
            Self::Receiver => "receivers",
            Self::Processor => "processors",
            Self::Exporter => "exporters",
            Self::Connector => "connectors",
            Self::Extension => "extensions",
        }
    }
}

/// What runs.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Extensions, in starting order.
    pub extensions: Vec<ComponentId>,
    /// At least one pipeline.
    pub pipelines: BTreeMap<PipelineId, Pipeline>,
    /// The collector's own logs and metrics.
    pub telemetry: Telemetry,
}

/// The way of one signal through the collector.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Receivers, and connectors that bring data; at least one, each once.
    pub receivers: Vec<ComponentId>,
    /// Processors in the order that data passes them, each once.
    pub processors: Vec<ComponentId>,
    /// Exporters, and connectors that take data; at least one, each once.
    pub exporters: Vec<ComponentId>,
    pub(crate) section: Section,
}

impl Pipeline {
    /// The pipeline in the file.
    pub fn place(&self) -> Place {
        self.section.place()
    }

    /// Where the pipeline's list of this kind names `id`; the whole pipeline if it does not.
    ///
    /// A connector is found in the list of the kind it acts as, receivers or exporters.
    pub fn place_of(&self, kind: ComponentKind, id: &ComponentId) -> Place {
        let key = kind.section_key();
        let list = match self.section.value().entry(key).map(|entry| &entry.value.data) {
            Some(Data::List(items)) => items.as_slice(),
            _ => return self.place(),
        };
        let names_id = |data: &Data| matches!(data, Data::String(text) if text.parse().as_ref() == Ok(id));
        match list.iter().position(|item| names_id(&item.data)) {
            Some(index) => self.section.at(&format!("{key}::{index}")),
            None => self.place(),
        }
    }
}
