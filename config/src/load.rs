//! The entry: sources in, checked configuration or all problems out.
//!
//! Stages: read and parse every source, merge them, apply overrides, expand `${...}`, check. Errors of one stage are
//! reported together; a stage starts only when the ones before it found no error, because its messages would follow from
//! theirs.

use std::path::PathBuf;
use std::sync::Arc;

use crate::check::check;
use crate::environment::{Environment, MAX_FILE_BYTES};
use crate::expand::expand;
use crate::id::ComponentId;
use crate::merge::{merge, parse_override};
use crate::path::ConfigPath;
use crate::problems::Problems;
use crate::section::Section;
use crate::service::{CollectorConfig, ComponentKind};
use crate::source::Source;
use crate::value::{Data, Value};
use crate::yaml;

/// As many sources as the OpenTelemetry Collector takes.
const MAX_SOURCES: usize = 100;

/// Where a configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// A YAML file.
    File(PathBuf),
    /// A text that is at hand, such as an embedded default.
    Text {
        /// What messages call it.
        name: String,
        /// The YAML.
        text: String,
    },
}

/// A configuration that may be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The checked configuration.
    pub config: CollectorConfig,
    /// What works but looks unintended.
    pub warnings: Problems,
}

/// What could be read of a configuration, for who has more to check before all problems are reported.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// There if the pipelines could be read. Where `problems` has errors it may not be used: references may lead nowhere, and
    /// what could not be read has its default.
    pub config: Option<CollectorConfig>,
    /// Everything found so far.
    pub problems: Problems,
}

impl Attempt {
    /// Ends the checks.
    ///
    /// # Errors
    /// All problems, warnings included, when at least one of them is an error.
    pub fn finish(self) -> Result<Loaded, Problems> {
        match self.config {
            Some(config) if !self.problems.has_errors() => Ok(Loaded {
                config,
                warnings: self.problems,
            }),
            _ => Err(self.problems),
        }
    }
}

/// Loads a configuration from `sources`, later ones on top of earlier ones, then `overrides` (`a.b.c=value`) on top.
///
/// # Errors
/// All problems found, warnings included, when at least one of them is an error.
pub fn load(sources: &[ConfigSource], overrides: &[String], environment: &dyn Environment) -> Result<Loaded, Problems> {
    load_with(sources, overrides, environment, &mut |_, _, _, _| {}).finish()
}

/// As [`load`], and lets `inspect` read and check the section of every component.
///
/// So problems in the settings of components are reported together with those of pipelines and references. `inspect`
/// is called once for each component, by kind and id, if all sources could be read, parsed and expanded.
pub fn load_with(
    sources: &[ConfigSource],
    overrides: &[String],
    environment: &dyn Environment,
    inspect: &mut dyn FnMut(ComponentKind, &ComponentId, &Section, &mut Problems),
) -> Attempt {
    let mut problems = Problems::new();
    let mut tree = read_all(sources, overrides, environment, &mut problems);
    if !problems.has_errors() {
        tree = expand(tree, environment, &mut problems);
    }
    let config = match problems.has_errors() {
        true => None,
        false => check(tree, inspect, &mut problems),
    };
    Attempt { config, problems }
}

/// Parses and merges everything. Meaningless if it pushed an error.
fn read_all(
    sources: &[ConfigSource],
    overrides: &[String],
    environment: &dyn Environment,
    problems: &mut Problems,
) -> Value {
    let empty = Source::new("", "");
    let mut merged = Value::new(Data::Null, crate::source::Span::new(&empty, 0, 0));
    if sources.is_empty() || sources.len() > MAX_SOURCES {
        let message = format!(
            "expected 1 to {MAX_SOURCES} configuration sources, found {}",
            sources.len()
        );
        problems.push(ConfigPath::root(), message);
        return merged;
    }
    for source in sources {
        if let Some(value) = read(source, environment, problems).and_then(|source| parse(&source, problems)) {
            merged = merge(merged, value);
        }
    }
    for argument in overrides {
        if let Some(value) = parse_override(argument, problems) {
            merged = merge(merged, value);
        }
    }
    merged
}

fn read(source: &ConfigSource, environment: &dyn Environment, problems: &mut Problems) -> Option<Arc<Source>> {
    let source = match source {
        ConfigSource::Text { name, text } => Source::new(name, text),
        ConfigSource::File(path) => match environment.read_file(path) {
            Ok(text) => Source::new(path.display().to_string(), text),
            Err(error) => {
                problems.push(
                    ConfigPath::root(),
                    format!("failed to read `{}`: {error}", path.display()),
                );
                return None;
            }
        },
    };
    if source.text().len() as u64 > MAX_FILE_BYTES {
        let message = format!("`{}` is larger than {MAX_FILE_BYTES} bytes", source.name());
        problems.push(ConfigPath::root(), message);
        return None;
    }
    Some(source)
}

/// Parses a source whose top must be a map. An empty one changes nothing.
fn parse(source: &Arc<Source>, problems: &mut Problems) -> Option<Value> {
    let value = yaml::parse(source, yaml::MAX_DEPTH, problems)?;
    match value.data {
        Data::Map(_) => Some(value),
        Data::Null => Some(Value {
            data: Data::Map(crate::value::Map::new()),
            ..value
        }),
        _ => {
            problems.push(
                &value.span,
                format!("expected a map at the top, found {}", value.kind()),
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::ProcessEnvironment;

    fn text(text: impl Into<String>) -> ConfigSource {
        ConfigSource::Text {
            name: "t.yaml".to_owned(),
            text: text.into(),
        }
    }

    fn errors(sources: &[ConfigSource]) -> String {
        load(sources, &[], &ProcessEnvironment).unwrap_err().to_string()
    }

    #[test]
    fn needs_between_one_source_and_the_limit() {
        assert_eq!(errors(&[]), "expected 1 to 100 configuration sources, found 0");
        let many = vec![text(""); MAX_SOURCES + 1];
        assert_eq!(errors(&many), "expected 1 to 100 configuration sources, found 101");
    }

    #[test]
    fn names_every_file_that_cannot_be_read() {
        let file = |name: &str| ConfigSource::File(PathBuf::from(name));
        let error = errors(&[file("no/such/a.yaml"), file("no/such/b.yaml")]);
        assert_eq!(error.lines().count(), 2, "{error}");
        assert!(
            error.starts_with("failed to read `no/such/a.yaml`: No such file"),
            "{error}"
        );
    }

    #[test]
    fn refuses_a_text_above_the_limit() {
        let error = errors(&[text("#".repeat(MAX_FILE_BYTES as usize + 1))]);
        assert_eq!(error, "`t.yaml` is larger than 1048576 bytes");
    }

    /// Many problems in a large section: the work stays bounded by the number of problems kept.
    #[test]
    fn a_large_section_with_endless_problems_is_reported_in_part() {
        let mut yaml = "processors:\n".to_owned();
        yaml.push_str("  sample:\n");
        for index in 0..20_000 {
            yaml.push_str(&format!("    key{index}: x\n"));
        }
        let mut attempts = 0;
        let problems = load_with(
            &[text(yaml)],
            &[],
            &ProcessEnvironment,
            &mut |_, _, section, problems| {
                attempts += 1;
                assert!(
                    section
                        .parse::<std::collections::BTreeMap<String, u64>>(problems)
                        .is_none()
                );
            },
        );
        assert_eq!(attempts, 1);
        assert!(problems.finish().unwrap_err().omitted_count() > 0);
    }
}
