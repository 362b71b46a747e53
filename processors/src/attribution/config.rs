//! Configuration of the `attribution` connector.

use std::num::NonZeroI64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::Deserialize;
use spandrel_attribution::{Condition, Glob, LayerRule, LayerRules, LayerSource, Rules};
use spandrel_config::{ByteSize, HumanDuration, Problems, Section};
use spandrel_model::{Layer, SpanKind};
use spandrel_pipeline::{BuildContext, BuildError, Connector, ConnectorConfig, ConnectorFactory, Signal};
use spandrel_profiles::go_execution_trace::StateRules;

use super::AttributionConnector;
use super::slots::Round;
use super::stack_layers::{self, RawStackLayer};
use super::state_rules::{self, RawStateRule};
use super::windows::WindowRules;

/// The row of this component in the collector's table.
pub static FACTORY: ConnectorFactory = ConnectorFactory {
    kind: "attribution",
    accepts: &[Signal::Traces, Signal::Profiles],
    emits: &[Signal::Tables, Signal::Metrics],
    summary: "joins spans with runtime profiles and gives every nanosecond of a span to a layer and a state",
    check: |section, problems| {
        let config = AttributionConfig::check(section, problems)?;
        Some(Box::new(config))
    },
};

/// The section as it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawAttribution {
    join_delay: Option<HumanDuration>,
    retention: Option<HumanDuration>,
    window: Option<HumanDuration>,
    span_limit: Option<usize>,
    recording_limit: Option<ByteSize>,
    recordings_directory: Option<String>,
    recordings_directory_limit: Option<ByteSize>,
    restore: Option<bool>,
    layers: Vec<RawLayerRule>,
    stack_layers: Vec<RawStackLayer>,
    state_rules: Vec<RawStateRule>,
}

/// One rule as it stands in the file. All conditions given must hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLayerRule {
    layer: String,
    kind: Vec<RawKind>,
    scope: Vec<String>,
    name: Vec<String>,
    attribute: Vec<String>,
    value: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawKind {
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

/// A valid section.
#[derive(Clone, Debug)]
pub struct AttributionConfig {
    /// How long a span waits for recordings after it arrived. Default 10 s.
    pub join_delay: Duration,
    /// How long joined spans and recordings are kept for later neighbors. Default 60 s.
    pub retention: Duration,
    /// Length of a window of the `matrix` table. Default 60 s.
    pub window_ns: NonZeroI64,
    /// Spans held, waiting and joined, beyond which batches are refused. Default 500 000.
    pub span_limit: usize,
    /// Memory for recordings; beyond it the oldest are on disk only, or go. Default 1 GiB.
    pub recording_limit_bytes: u64,
    /// Where profiles are kept on disk. Default: nowhere, recordings are in memory only.
    pub recordings_directory: Option<PathBuf>,
    /// Disk for profiles; beyond it the oldest go. Default 4 GiB.
    pub recordings_directory_limit_bytes: u64,
    /// Whether a start takes up what earlier runs left in the store. Default true.
    pub restore: bool,
    /// Layers of spans and of stacks, user rules first.
    pub rules: Rules,
    /// Kinds of waits and system calls, user rules first.
    pub state_rules: Arc<StateRules>,
}

impl Default for AttributionConfig {
    fn default() -> Self {
        Self {
            join_delay: Duration::from_secs(10),
            retention: Duration::from_secs(60),
            window_ns: NonZeroI64::new(60_000_000_000).expect("60 s is not zero"),
            span_limit: 500_000,
            recording_limit_bytes: 1 << 30,
            recordings_directory: None,
            recordings_directory_limit_bytes: 4 << 30,
            restore: true,
            rules: Rules::default(),
            state_rules: Arc::default(),
        }
    }
}

/// The most that a slot waits for more of what comes late.
const LONGEST_SETTLE: Duration = Duration::from_millis(2_500);

/// The longest time for which anything can be held. Far below what clocks can add up.
const LONGEST_HOLD: Duration = Duration::from_secs(31 * 24 * 3600);

impl AttributionConfig {
    /// A round of work at `now`.
    pub(super) fn round(&self, now: Instant, is_last: bool) -> Round {
        Round {
            now,
            join_delay: self.join_delay,
            retention: self.retention,
            settle: self.settle(),
            is_last,
        }
    }

    /// How windows come and go. Closed ones are kept for as long as requests in them can be corrected.
    pub(super) fn window_rules(&self, first_emission: i32) -> WindowRules {
        WindowRules {
            window_ns: self.window_ns,
            patience: self.join_delay,
            settle: self.settle(),
            retention: self.retention + self.join_delay,
            request_limit: self.span_limit,
            first_emission,
        }
    }

    fn settle(&self) -> Duration {
        (self.join_delay / 4).min(LONGEST_SETTLE)
    }

    /// Checks a section; every problem goes to `problems`.
    pub fn check(section: &Section, problems: &mut Problems) -> Option<Self> {
        let Some(raw) = section.parse::<RawAttribution>(problems) else {
            if let Some(rules) = section.inside("state_rules") {
                state_rules::check_malformed(&rules, problems);
            }
            return None;
        };
        let default = Self::default();
        let mut valid = true;
        let mut refuse = |key: &str, message: &str| {
            problems.push(section.at(key), message);
            valid = false;
        };
        let window = raw
            .window
            .map_or(Some(default.window_ns), |window| nanoseconds(window.0));
        if window.is_none() {
            refuse("window", "must be greater than 0 and below 292 years");
        }
        let retention = raw.retention.map_or(default.retention, |duration| duration.0);
        let join_delay = raw.join_delay.map_or(default.join_delay, |duration| duration.0);
        if retention < join_delay {
            refuse(
                "retention",
                "must not be shorter than join_delay, or recordings are gone when spans are joined",
            );
        }
        for (key, duration) in [("retention", retention), ("join_delay", join_delay)] {
            if duration > LONGEST_HOLD {
                refuse(
                    key,
                    "must not be longer than 31 days: everything that arrives is held for that long",
                );
            }
        }
        let span_limit = raw.span_limit.unwrap_or(default.span_limit);
        if span_limit == 0 {
            refuse("span_limit", "must be at least 1");
        }
        if raw.recordings_directory.as_deref() == Some("") {
            refuse(
                "recordings_directory",
                "must not be empty; leave it out to hold recordings in memory only",
            );
        }
        if raw.recordings_directory_limit.is_some() && raw.recordings_directory.is_none() {
            refuse("recordings_directory_limit", "needs recordings_directory");
        }
        let rules = layer_rules(raw.layers, section, problems);
        let stack_layers = stack_layers::check(raw.stack_layers, section, problems);
        let state_rules = state_rules::check(raw.state_rules, section, Some("state_rules"), problems);
        if !valid {
            return None;
        }
        Some(Self {
            join_delay,
            retention,
            window_ns: window?,
            span_limit,
            recording_limit_bytes: raw.recording_limit.map_or(default.recording_limit_bytes, |size| size.0),
            recordings_directory: raw.recordings_directory.map(PathBuf::from),
            recordings_directory_limit_bytes: raw
                .recordings_directory_limit
                .map_or(default.recordings_directory_limit_bytes, |size| size.0),
            restore: raw.restore.unwrap_or(default.restore),
            rules: Rules {
                stack_layers: stack_layers?,
                ..rules?
            },
            state_rules: Arc::new(state_rules?),
        })
    }
}

fn nanoseconds(duration: Duration) -> Option<NonZeroI64> {
    i64::try_from(duration.as_nanos()).ok().and_then(NonZeroI64::new)
}

/// User rules before the default ones, so that the first match is the user's.
fn layer_rules(raw: Vec<RawLayerRule>, section: &Section, problems: &mut Problems) -> Option<Rules> {
    let mut rules = Rules::default();
    let mut valid = true;
    let mut user_rules = Vec::with_capacity(raw.len());
    for (index, rule) in raw.into_iter().enumerate() {
        let mut refuse = |key: &str, message: &str, help: &str| {
            problems
                .push(section.at(&format!("layers::{index}{key}")), message)
                .help(help);
            valid = false;
        };
        if rule.layer.is_empty() {
            refuse(
                "",
                "a layer rule needs `layer`",
                "name the layer that matching spans belong to",
            );
        }
        if !rule.value.is_empty() && rule.attribute.is_empty() {
            refuse(
                "::value",
                "needs `attribute`",
                "name the attribute keys whose value is compared",
            );
        }
        let conditions = conditions(&rule);
        if conditions.is_empty() {
            refuse(
                "",
                "a layer rule needs a condition",
                "give at least one of kind, scope, name, attribute",
            );
        }
        user_rules.push(LayerRule {
            layer: LayerSource::Named(Layer::new(&rule.layer)),
            when: conditions,
        });
    }
    let LayerRules {
        rules: defaults,
        fallback,
    } = rules.layers;
    user_rules.extend(defaults);
    rules.layers = LayerRules {
        rules: user_rules,
        fallback,
    };
    valid.then_some(rules)
}

fn conditions(rule: &RawLayerRule) -> Vec<Condition> {
    let globs = |patterns: &[String]| patterns.iter().map(|pattern| Glob::new(pattern)).collect::<Vec<_>>();
    let mut conditions = Vec::new();
    if !rule.kind.is_empty() {
        conditions.push(Condition::Kind(rule.kind.iter().copied().map(span_kind).collect()));
    }
    if !rule.scope.is_empty() {
        conditions.push(Condition::Scope(globs(&rule.scope)));
    }
    if !rule.name.is_empty() {
        conditions.push(Condition::Name(globs(&rule.name)));
    }
    if !rule.attribute.is_empty() {
        conditions.push(Condition::Attribute {
            keys: rule.attribute.clone(),
            values: globs(&rule.value),
        });
    }
    conditions
}

fn span_kind(kind: RawKind) -> SpanKind {
    match kind {
        RawKind::Internal => SpanKind::Internal,
        RawKind::Server => SpanKind::Server,
        RawKind::Client => SpanKind::Client,
        RawKind::Producer => SpanKind::Producer,
        RawKind::Consumer => SpanKind::Consumer,
    }
}

#[async_trait]
impl ConnectorConfig for AttributionConfig {
    async fn build(self: Box<Self>, context: BuildContext) -> Result<Arc<dyn Connector>, BuildError> {
        Ok(Arc::new(AttributionConnector::new(*self, &context)?))
    }
}
