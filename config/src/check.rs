//! From the merged and expanded tree to a [`CollectorConfig`] whose references hold.
//!
//! The rules are those of the OpenTelemetry Collector. Circles through connectors are not found here: whether a
//! connector leads from one signal to another is known only to the component.

use std::collections::btree_map::Entry as BTreeEntry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::id::{ComponentId, InvalidId, PipelineId, PipelineSignal};
use crate::path::{ConfigPath, Place};
use crate::problems::Problems;
use crate::section::Section;
use crate::service::{CollectorConfig, ComponentKind, Pipeline, ServiceConfig};
use crate::source::Span;
use crate::telemetry::RawTelemetry;
use crate::value::{Data, Entry, Map, Value, in_file_order};

const SERVICE: &str = "service";
const PIPELINES: &str = "pipelines";
const TELEMETRY: &str = "telemetry";

type Components = BTreeMap<ComponentId, Section>;
type Pipelines = BTreeMap<PipelineId, Pipeline>;

/// Reads and checks the section of one component; see [`crate::load_with`].
pub(crate) type Inspect<'i> = dyn FnMut(ComponentKind, &ComponentId, &Section, &mut Problems) + 'i;

/// The `service` section. Pipelines have keys of their own and are read one by one; telemetry is read by itself, so that what
/// is wrong there hides nothing here.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawService {
    extensions: Vec<ComponentId>,
    #[serde(rename = "pipelines")]
    _pipelines: IgnoredAny,
    #[serde(rename = "telemetry")]
    _telemetry: IgnoredAny,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawPipeline {
    receivers: Vec<ComponentId>,
    processors: Vec<ComponentId>,
    exporters: Vec<ComponentId>,
}

/// Checks the whole configuration and pushes everything wrong with it; `None` if the pipelines cannot be read.
///
/// `inspect` sees every component, used or not, and whether or not the rest is in order.
pub(crate) fn check(root: Value, inspect: &mut Inspect<'_>, problems: &mut Problems) -> Option<CollectorConfig> {
    let root_span = root.span.clone();
    let mut sections = match root.data {
        Data::Map(map) => map,
        _ => Map::new(),
    };
    let mut kinds = ComponentKind::ALL.map(|kind| {
        let section = sections.remove(kind.section_key());
        section.map_or_else(Components::new, |entry| components(kind, entry, problems))
    });
    let service = sections.remove(SERVICE);
    unknown_keys(&sections, problems);
    if !problems.has_errors() {
        missing_ends(&kinds, &root_span, problems);
    }
    for kind in ComponentKind::ALL {
        for (id, section) in &kinds[kind as usize] {
            inspect(kind, id, section, problems);
        }
    }
    let mut check = Check {
        kinds: &kinds,
        problems,
    };
    check.ambiguous_connectors();
    let service = check.service(service, &root_span)?;
    let [receivers, processors, exporters, connectors, extensions] = kinds.each_mut().map(std::mem::take);
    Some(CollectorConfig {
        receivers,
        processors,
        exporters,
        connectors,
        extensions,
        service,
    })
}

fn unknown_keys(sections: &Map, problems: &mut Problems) {
    let component_keys = ComponentKind::ALL.iter().map(|kind| kind.section_key());
    let valid: Vec<&str> = component_keys.chain([SERVICE]).collect();
    for (key, entry) in sections {
        problems.push_unknown(&entry.key_span, "top-level key", key, &valid);
    }
}

/// Data must be able to enter and to leave.
fn missing_ends(kinds: &[Components; 5], root_span: &Span, problems: &mut Problems) {
    for kind in [ComponentKind::Receiver, ComponentKind::Exporter] {
        if kinds[kind as usize].is_empty() {
            let place = Place::new(ConfigPath::from_keys(kind.section_key()), root_span);
            problems.push(place, format!("no {} is configured", kind.as_str()));
        }
    }
}

/// Reads a section of components, such as `receivers`. Null is an empty one.
fn components(kind: ComponentKind, entry: Entry, problems: &mut Problems) -> Components {
    let path = ConfigPath::from_keys(kind.section_key());
    let place = Place::new(path.clone(), &entry.key_span);
    let map = match entry.value.data {
        Data::Map(map) => map,
        Data::Null => return Components::new(),
        _ => {
            let message = format!("expected a map of {} ids, found {}", kind.as_str(), entry.value.kind());
            problems.push(place, message);
            return Components::new();
        }
    };
    let mut components = Components::new();
    for (key, entry) in in_file_order(map) {
        let section = Section::new(path.key(&key), entry);
        match key.parse::<ComponentId>() {
            Ok(id) => match components.entry(id) {
                BTreeEntry::Vacant(free) => {
                    free.insert(section);
                }
                BTreeEntry::Occupied(first) => duplicate_id(first.key(), first.get(), &section, problems),
            },
            Err(error) => {
                problems.push(section.place(), error.to_string());
            }
        }
    }
    components
}

/// Keys that differ only in blanks around `/` are the same id.
fn duplicate_id(id: &dyn Display, first: &Section, second: &Section, problems: &mut Problems) {
    let problem = problems.push(second.place(), format!("duplicate id `{id}`"));
    if let Some(span) = first.place().span {
        problem.help(format!("first given at {}", span.location()));
    }
}

struct Check<'c> {
    /// By position in [`ComponentKind::ALL`].
    kinds: &'c [Components; 5],
    problems: &'c mut Problems,
}

impl Check<'_> {
    fn of(&self, kind: ComponentKind) -> &Components {
        &self.kinds[kind as usize]
    }

    /// A pipeline names connectors among receivers and exporters, so their ids must differ from those.
    fn ambiguous_connectors(&mut self) {
        for (id, section) in &self.kinds[ComponentKind::Connector as usize] {
            for kind in [ComponentKind::Receiver, ComponentKind::Exporter] {
                if self.of(kind).contains_key(id) {
                    let message = format!(
                        "ambiguous id: there is {} {kind} `{id}` too",
                        article(kind),
                        kind = kind.as_str()
                    );
                    let help = format!("rename one of them, for example `{}/connector`", id.component_type());
                    self.problems.push(section.place(), message).help(help);
                }
            }
        }
    }

    fn service(&mut self, entry: Option<Entry>, root_span: &Span) -> Option<ServiceConfig> {
        let path = ConfigPath::from_keys(SERVICE);
        let Some(entry) = entry else {
            self.problems
                .push(Place::new(path, root_span), "the section is missing")
                .help("list what runs in `service::pipelines`");
            return None;
        };
        let pipelines = entry.value.entry(PIPELINES).cloned();
        let section = Section::new(path, entry);
        let raw = section.parse::<RawService>(self.problems).unwrap_or_default();
        let pipelines = self.pipelines(&section, pipelines);
        self.extensions(&section, &raw.extensions);
        let telemetry = section.inside(TELEMETRY);
        let telemetry = telemetry.and_then(|section| section.parse::<RawTelemetry>(self.problems));
        let telemetry = telemetry.unwrap_or_default().check(&section, self.problems);
        let pipelines = pipelines?;
        self.connectors(&pipelines);
        // What a misspelled reference leaves unused is not worth a warning.
        if !self.problems.has_errors() {
            self.unused(&pipelines, &raw.extensions);
        }
        Some(ServiceConfig {
            extensions: raw.extensions,
            pipelines,
            telemetry,
        })
    }

    fn extensions(&mut self, service: &Section, listed: &[ComponentId]) {
        let mut seen = BTreeSet::new();
        for (index, id) in listed.iter().enumerate() {
            let place = service.at(&format!("extensions::{index}"));
            if !seen.insert(id) {
                self.problems
                    .push(place, format!("references extension `{id}` multiple times"));
            } else if !self.of(ComponentKind::Extension).contains_key(id) {
                self.not_configured(place, ComponentKind::Extension, id);
            }
        }
    }

    /// Reads every pipeline. `None` if one of them is unreadable, so that nobody draws conclusions from the others.
    fn pipelines(&mut self, service: &Section, entry: Option<Entry>) -> Option<Pipelines> {
        let place = service.at(PIPELINES);
        let map = match entry.map(|entry| entry.value) {
            Some(Value {
                data: Data::Map(map), ..
            }) => map,
            Some(value) if !value.is_null() => {
                let message = format!("expected a map of pipeline ids, found {}", value.kind());
                self.problems.push(place, message);
                return None;
            }
            _ => Map::new(),
        };
        if map.is_empty() {
            self.problems.push(place, "service must have at least one pipeline");
            return None;
        }
        let count = map.len();
        let mut pipelines = Pipelines::new();
        for (key, entry) in in_file_order(map) {
            let section = Section::new(place.path.key(&key), entry);
            if let Some(id) = self.pipeline_id(&key, &section, &pipelines)
                && let Some(pipeline) = self.pipeline(section)
            {
                pipelines.insert(id, pipeline);
            }
        }
        (pipelines.len() == count).then_some(pipelines)
    }

    fn pipeline_id(&mut self, key: &str, section: &Section, pipelines: &Pipelines) -> Option<PipelineId> {
        match key.parse::<PipelineId>() {
            Ok(id) => match pipelines.get(&id) {
                None => return Some(id),
                Some(first) => duplicate_id(&id, &first.section, section, self.problems),
            },
            Err(InvalidId::Signal(signal)) => {
                let valid = PipelineSignal::ALL.map(PipelineSignal::as_str);
                self.problems
                    .push_unknown(section.place(), "pipeline signal", &signal, &valid);
            }
            Err(error) => {
                self.problems.push(section.place(), error.to_string());
            }
        }
        None
    }

    fn pipeline(&mut self, section: Section) -> Option<Pipeline> {
        let raw: RawPipeline = section.parse(self.problems)?;
        Some(Pipeline {
            receivers: self.references(&section, ComponentKind::Receiver, raw.receivers),
            processors: self.references(&section, ComponentKind::Processor, raw.processors),
            exporters: self.references(&section, ComponentKind::Exporter, raw.exporters),
            section,
        })
    }

    /// Checks one list of a pipeline. The answer names each component once.
    fn references(&mut self, pipeline: &Section, kind: ComponentKind, ids: Vec<ComponentId>) -> Vec<ComponentId> {
        let noun = kind.as_str();
        let is_end = kind != ComponentKind::Processor;
        if ids.is_empty() && is_end {
            self.problems
                .push(pipeline.place(), format!("must have at least one {noun}"));
        }
        let mut unique: Vec<ComponentId> = Vec::new();
        for (index, id) in ids.into_iter().enumerate() {
            // The pipeline, not the list element, is what users know this message to be about.
            let element = pipeline.at(&format!("{}::{index}", kind.section_key()));
            let place = Place {
                path: pipeline.path().clone(),
                ..element
            };
            if unique.contains(&id) {
                let message = format!("references {noun} `{id}` multiple times");
                if is_end {
                    self.problems.warn(place, message);
                } else {
                    self.problems
                        .push(place, message)
                        .help("give the second one a name: `type/name`");
                }
                continue;
            }
            let is_connector = is_end && self.of(ComponentKind::Connector).contains_key(&id);
            if !is_connector && !self.of(kind).contains_key(&id) {
                self.not_configured(place, kind, &id);
            }
            unique.push(id);
        }
        unique
    }

    fn not_configured(&mut self, place: Place, kind: ComponentKind, id: &ComponentId) {
        let kinds = match kind {
            ComponentKind::Receiver | ComponentKind::Exporter => vec![kind, ComponentKind::Connector],
            _ => vec![kind],
        };
        let configured: Vec<String> = kinds
            .iter()
            .flat_map(|kind| self.of(*kind).keys())
            .map(ComponentId::to_string)
            .collect();
        let name = id.to_string();
        let near = crate::suggest::nearest(&name, configured.iter().map(String::as_str)).map(str::to_owned);
        let noun = kind.as_str();
        let problem = self
            .problems
            .push(place, format!("references {noun} `{id}` which is not configured"));
        match near {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("add `{id}` to `{}`", kind.section_key())),
        };
    }

    /// A connector leads from one pipeline into another.
    fn connectors(&mut self, pipelines: &Pipelines) {
        for id in self.kinds[ComponentKind::Connector as usize].keys() {
            let users = |list: fn(&Pipeline) -> &Vec<ComponentId>| -> Vec<&PipelineId> {
                pipelines
                    .iter()
                    .filter(|(_, pipeline)| list(pipeline).contains(id))
                    .map(|(id, _)| id)
                    .collect()
            };
            let sources = users(|pipeline| &pipeline.exporters);
            let targets = users(|pipeline| &pipeline.receivers);
            let (user, kind, message) = match (sources.as_slice(), targets.as_slice()) {
                ([source, ..], []) => (
                    source,
                    ComponentKind::Exporter,
                    "is used as exporter, but as receiver in no pipeline",
                ),
                ([], [target, ..]) => (
                    target,
                    ComponentKind::Receiver,
                    "is used as receiver, but as exporter in no pipeline",
                ),
                ([source], [target]) if source == target => {
                    (source, ComponentKind::Exporter, "leads from the pipeline into itself")
                }
                _ => continue,
            };
            let pipeline = &pipelines[*user];
            let place = Place {
                path: pipeline.section.path().clone(),
                ..pipeline.place_of(kind, id)
            };
            self.problems.push(place, format!("connector `{id}` {message}"));
        }
    }

    /// Warns of components that nothing refers to.
    fn unused(&mut self, pipelines: &Pipelines, extensions: &[ComponentId]) {
        let lists = |pipeline: &Pipeline, kind: ComponentKind, id: &ComponentId| match kind {
            ComponentKind::Receiver => pipeline.receivers.contains(id),
            ComponentKind::Processor => pipeline.processors.contains(id),
            ComponentKind::Exporter => pipeline.exporters.contains(id),
            ComponentKind::Connector => pipeline.receivers.contains(id) || pipeline.exporters.contains(id),
            ComponentKind::Extension => false,
        };
        for kind in ComponentKind::ALL {
            for (id, section) in &self.kinds[kind as usize] {
                let is_used = pipelines.values().any(|pipeline| lists(pipeline, kind, id));
                if is_used || (kind == ComponentKind::Extension && extensions.contains(id)) {
                    continue;
                }
                let user = match kind {
                    ComponentKind::Extension => "`service::extensions` does not list it",
                    _ => "no pipeline uses it",
                };
                self.problems
                    .warn(section.place(), format!("{} is configured, but {user}", kind.as_str()));
            }
        }
    }
}

fn article(kind: ComponentKind) -> &'static str {
    match kind {
        ComponentKind::Exporter | ComponentKind::Extension => "an",
        ComponentKind::Receiver | ComponentKind::Processor | ComponentKind::Connector => "a",
    }
}
