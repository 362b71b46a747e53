//! The section of a `go_runtime` receiver.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use spandrel_config::{ByteSize, HumanDuration, Problems, Section};
use spandrel_model::ProcessIdentity;
use spandrel_pipeline::{BuildContext, BuildError, Receiver, ReceiverConfig};

use super::GoRuntimeReceiver;
use crate::receivers::resource;

const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_TRACE_DURATION: Duration = Duration::from_secs(5);

/// What a pull may take on top of the recording itself, by default: the runtime flushes, the network carries.
const DEFAULT_TIMEOUT_MARGIN: Duration = Duration::from_secs(10);
const DEFAULT_MAX_TRACE_BYTES: u64 = 256 << 20;

/// Each target has a worker that may hold one trace.
const MAX_TARGETS: usize = 1000;

/// Where `net/http/pprof` serves execution traces.
const TRACE_PATH: &str = "/debug/pprof/trace";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawGoRuntime {
    targets: Vec<RawTarget>,
    collection_interval: Option<HumanDuration>,
    trace_duration: Option<HumanDuration>,
    timeout: Option<HumanDuration>,
    max_trace_size: Option<ByteSize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTarget {
    endpoint: String,
    #[serde(default)]
    resource: BTreeMap<String, AttributeText>,
}

/// A valid `go_runtime` section.
#[derive(Clone, Debug)]
pub(super) struct GoRuntimeConfig {
    /// At least one, no endpoint twice.
    pub(super) targets: Vec<Target>,
    /// At least `trace_duration`.
    pub(super) collection_interval: Duration,
    /// More than zero.
    pub(super) trace_duration: Duration,
    /// More than `trace_duration`.
    pub(super) timeout: Duration,
    pub(super) max_trace_bytes: usize,
}

/// A process to pull traces from.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Without the `seconds` parameter.
    pub(super) endpoint: Url,
    pub(super) process: ProcessIdentity,
}

/// Checks a section and reports every problem in it.
pub(super) fn check(section: &Section, problems: &mut Problems) -> Option<Box<dyn ReceiverConfig>> {
    Some(Box::new(GoRuntimeConfig::check(section, problems)?))
}

impl GoRuntimeConfig {
    pub(super) fn check(section: &Section, problems: &mut Problems) -> Option<Self> {
        let raw: RawGoRuntime = section.parse(problems)?;
        let mut found = Problems::new();
        let targets = check_targets(raw.targets, section, &mut found);
        let trace_duration = raw.trace_duration.map_or(DEFAULT_TRACE_DURATION, |duration| duration.0);
        let config = Self {
            targets,
            collection_interval: raw.collection_interval.map_or(DEFAULT_INTERVAL, |interval| interval.0),
            trace_duration,
            timeout: raw
                .timeout
                .map_or(trace_duration.saturating_add(DEFAULT_TIMEOUT_MARGIN), |timeout| {
                    timeout.0
                }),
            max_trace_bytes: usize::try_from(raw.max_trace_size.map_or(DEFAULT_MAX_TRACE_BYTES, |size| size.0))
                .unwrap_or(usize::MAX),
        };
        config.check_times(section, &mut found);
        if config.max_trace_bytes == 0 {
            found
                .push(section.at("max_trace_size"), "must be at least 1 byte")
                .help("leave it out for 256MiB");
        }
        let valid = !found.has_errors();
        problems.append(found);
        valid.then_some(config)
    }

    fn check_times(&self, section: &Section, problems: &mut Problems) {
        if self.trace_duration.is_zero() {
            problems
                .push(section.at("trace_duration"), "must be more than 0")
                .help("leave it out for 5s");
        }
        if self.collection_interval < self.trace_duration {
            let message = format!("must be at least trace_duration, {:?}", self.trace_duration);
            problems
                .push(section.at("collection_interval"), message)
                .help("set it equal to trace_duration for one trace right after the other");
        }
        if self.timeout <= self.trace_duration {
            let message = format!("must be more than trace_duration, {:?}", self.trace_duration);
            problems
                .push(section.at("timeout"), message)
                .help("leave it out for trace_duration + 10s");
        }
    }
}

fn check_targets(raw: Vec<RawTarget>, section: &Section, problems: &mut Problems) -> Vec<Target> {
    if raw.is_empty() {
        problems.push(section.at("targets"), "lists no target").help(
            "for example `- {endpoint: http://localhost:6060/debug/pprof/trace, resource: {service.name: shop}}`",
        );
    }
    if raw.len() > MAX_TARGETS {
        problems
            .push(
                section.at("targets"),
                format!("lists {} targets, at most {MAX_TARGETS} are allowed", raw.len()),
            )
            .help("run more collectors");
    }
    let mut seen = BTreeSet::new();
    let mut targets = Vec::new();
    for (index, target) in raw.into_iter().enumerate() {
        let endpoint = check_endpoint(&target.endpoint);
        let process = check_resource(target.resource);
        match &endpoint {
            Err((message, help)) => {
                problems
                    .push(section.at(&format!("targets::{index}::endpoint")), message.as_str())
                    .help(*help);
            }
            Ok(endpoint) if !seen.insert(endpoint.clone()) => {
                problems
                    .push(section.at(&format!("targets::{index}::endpoint")), "is listed twice")
                    .help("a process records one execution trace at a time");
            }
            Ok(_) => {}
        }
        if let Err(message) = &process {
            problems
                .push(section.at(&format!("targets::{index}::resource")), message.as_str())
                .help("for example `resource: {service.name: shop, service.instance.id: shop-1}`");
        }
        if let (Ok(endpoint), Ok(process)) = (endpoint, process) {
            targets.push(Target { endpoint, process });
        }
    }
    targets
}

/// The URL to pull from, or what is wrong and how to repair it.
fn check_endpoint(text: &str) -> Result<Url, (String, &'static str)> {
    const EXAMPLE: &str = "write it like http://localhost:6060/debug/pprof/trace";
    let mut url = Url::parse(text).map_err(|error| (format!("`{text}` is not a URL: {error}"), EXAMPLE))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err((format!("`{text}` is not an http or https URL"), EXAMPLE));
    }
    if url.query_pairs().any(|(key, _)| key == "seconds") {
        return Err(("sets `seconds`".to_owned(), "set trace_duration instead"));
    }
    if url.path() == "/" {
        url.set_path(TRACE_PATH);
    }
    url.set_fragment(None);
    Ok(url)
}

fn check_resource(resource: BTreeMap<String, AttributeText>) -> Result<ProcessIdentity, String> {
    let attributes = resource
        .into_iter()
        .map(|(key, AttributeText(value))| (key, value))
        .collect();
    resource::identify(&attributes).map_err(|error| error.to_string())
}

/// An attribute's value as text: `process.pid: 123` needs no quotes.
#[derive(Debug)]
struct AttributeText(String);

impl<'de> Deserialize<'de> for AttributeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = AttributeText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an integer")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<AttributeText, E> {
                Ok(AttributeText(text.to_owned()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<AttributeText, E> {
                Ok(AttributeText(number.to_string()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<AttributeText, E> {
                Ok(AttributeText(number.to_string()))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

#[async_trait]
impl ReceiverConfig for GoRuntimeConfig {
    async fn build(self: Box<Self>, context: BuildContext) -> Result<Box<dyn Receiver>, BuildError> {
        Ok(Box::new(GoRuntimeReceiver::build(*self, &context)?))
    }
}
