//! Layers: an ordered list of rules decides to which part of the program a span belongs.
//!
//! The first rule whose conditions all hold names the layer; a span that no rule fits gets the fallback. The default
//! rules read OpenTelemetry's semantic conventions, each under its current and its former attribute name:
//!
//! | rule | layer |
//! |---|---|
//! | attribute `attribution.layer` | its value |
//! | `db.system.name` or `db.system` is a cache (redis, valkey, memcached ...) | `cache` |
//! | `db.system.name` or `db.system` | `db` |
//! | `messaging.system` | `messaging` |
//! | not a server, client, producer or consumer; scope or name `*middleware*` | `middleware` |
//! | client; `rpc.system` or `rpc.system.name` | `rpc.client` |
//! | client; `http.request.method`, `http.method`, `url.full` or `http.url` | `http.client` |
//! | server, consumer | `handler` |
//! | anything else | `service` |

use std::borrow::Cow;

use spandrel_model::{AttributeValue, Layer, Span, SpanKind};

use crate::Glob;

/// Longest layer name that is taken from an attribute, in bytes: a layer is a word for people, not a payload.
pub(crate) const LAYER_NAME_BYTES_MAX: usize = 64;

/// Attribute with which a span names its layer.
pub(crate) const LAYER_ATTRIBUTE: &str = "attribution.layer";

/// Ordered rules, and the layer of a span that none of them fits.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerRules {
    /// Rules, the first that fits wins.
    pub rules: Vec<LayerRule>,
    /// Layer when no rule fits.
    pub fallback: Layer,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerRule {
    /// The layer that it gives.
    pub layer: LayerSource,
    /// Conditions, all of which must hold. Without conditions the rule fits every span.
    pub when: Vec<Condition>,
}

/// Where a rule takes the name of the layer from.
#[derive(Clone, Debug, PartialEq)]
pub enum LayerSource {
    /// The rule itself.
    Named(Layer),
    /// The span attribute with this key. The rule does not fit a span without it, nor one whose value is empty or
    /// longer than 64 bytes.
    Attribute(String),
}

/// One condition of a rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// The kind is one of these.
    Kind(Vec<SpanKind>),
    /// The name of the instrumentation scope fits one of these.
    Scope(Vec<Glob>),
    /// The span name fits one of these.
    Name(Vec<Glob>),
    /// One of the attributes `keys` is present, with a value that fits one of `values`; with any value if `values`
    /// is empty.
    Attribute {
        /// Attribute keys, exact.
        keys: Vec<String>,
        /// Patterns for the value as text.
        values: Vec<Glob>,
    },
}

impl LayerRules {
    /// The layer of `span`.
    pub fn layer_of(&self, span: &Span) -> Layer {
        self.rules
            .iter()
            .find_map(|rule| rule.layer_of(span))
            .unwrap_or_else(|| self.fallback.clone())
    }

    /// The layer of `span` by the rules that name one, whatever its attributes do.
    pub(crate) fn named_layer_of(&self, span: &Span) -> Layer {
        let mut named = (self.rules.iter()).filter(|rule| matches!(rule.layer, LayerSource::Named(_)));
        named
            .find_map(|rule| rule.layer_of(span))
            .unwrap_or_else(|| self.fallback.clone())
    }
}

impl LayerRule {
    fn layer_of(&self, span: &Span) -> Option<Layer> {
        let fits = self.is_open_to(span) && self.fits_attributes(span);
        fits.then(|| self.layer.of(span))?
    }

    /// Whether the rule fits the span but for its attributes. That is so for all spans of its kind, scope and name, or for
    /// none.
    pub(crate) fn is_open_to(&self, span: &Span) -> bool {
        let mut of_name = self.when.iter().filter(|condition| !condition.is_of_attributes());
        of_name.all(|condition| condition.holds(span))
    }

    /// Whether the rule fits the attributes of the span.
    pub(crate) fn fits_attributes(&self, span: &Span) -> bool {
        let mut of_attributes = self.when.iter().filter(|condition| condition.is_of_attributes());
        of_attributes.all(|condition| condition.holds(span))
    }
}

impl LayerSource {
    /// The layer for `span`; `None` if the span does not name one.
    pub(crate) fn of(&self, span: &Span) -> Option<Layer> {
        match self {
            Self::Named(layer) => Some(layer.clone()),
            Self::Attribute(key) => said_layer(span, key),
        }
    }
}

/// The layer that the attribute `key` of the span names, if its value is a word.
pub(crate) fn said_layer(span: &Span, key: &str) -> Option<Layer> {
    let name = text_of(span.attribute(key)?);
    (!name.is_empty() && name.len() <= LAYER_NAME_BYTES_MAX).then(|| Layer::new(&name))
}

impl Condition {
    fn is_of_attributes(&self) -> bool {
        matches!(self, Self::Attribute { .. })
    }

    fn holds(&self, span: &Span) -> bool {
        match self {
            Self::Kind(kinds) => kinds.contains(&span.kind),
            Self::Scope(patterns) => patterns.iter().any(|pattern| pattern.matches(&span.scope_name)),
            Self::Name(patterns) => patterns.iter().any(|pattern| pattern.matches(&span.name)),
            Self::Attribute { keys, values } => keys.iter().filter_map(|key| span.attribute(key)).any(|value| {
                values.is_empty() || {
                    let text = text_of(value);
                    values.iter().any(|pattern| pattern.matches(&text))
                }
            }),
        }
    }
}

fn text_of(value: &AttributeValue) -> Cow<'_, str> {
    match value {
        AttributeValue::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

impl Default for LayerRules {
    fn default() -> Self {
        const CACHES: [&str; 6] = ["redis", "valkey", "memcached", "keydb", "dragonfly", "garnet"];
        const DB: [&str; 2] = ["db.system.name", "db.system"];
        const HTTP: [&str; 4] = ["http.request.method", "http.method", "url.full", "http.url"];
        let middleware = || vec![Glob::new("*middleware*")];
        let inside = || Condition::Kind(vec![SpanKind::Internal, SpanKind::Unspecified]);
        let client = || Condition::Kind(vec![SpanKind::Client]);
        let named = |layer: &str, when| LayerRule {
            layer: LayerSource::Named(Layer::new(layer)),
            when,
        };
        Self {
            rules: vec![
                LayerRule {
                    layer: LayerSource::Attribute(LAYER_ATTRIBUTE.to_owned()),
                    when: Vec::new(),
                },
                named("cache", vec![attribute(&DB, &CACHES)]),
                named("db", vec![attribute(&DB, &[])]),
                named("messaging", vec![attribute(&["messaging.system"], &[])]),
                named("middleware", vec![inside(), Condition::Scope(middleware())]),
                named("middleware", vec![inside(), Condition::Name(middleware())]),
                named(
                    "rpc.client",
                    vec![client(), attribute(&["rpc.system", "rpc.system.name"], &[])],
                ),
                named("http.client", vec![client(), attribute(&HTTP, &[])]),
                named(
                    "handler",
                    vec![Condition::Kind(vec![SpanKind::Server, SpanKind::Consumer])],
                ),
            ],
            fallback: Layer::new("service"),
        }
    }
}

fn attribute(keys: &[&str], values: &[&str]) -> Condition {
    Condition::Attribute {
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        values: values.iter().map(|value| Glob::new(value)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use spandrel_model::{Interval, SpanId, TraceId, UnixNanos};

    use super::*;

    fn span(kind: SpanKind, scope: &str, name: &str, attributes: &[(&str, &str)]) -> Span {
        Span {
            trace_id: TraceId::default(),
            span_id: SpanId::default(),
            parent_span_id: None,
            parent_is_remote: None,
            process: Arc::default(),
            name: Arc::from(name),
            kind,
            scope_name: Arc::from(scope),
            interval: Interval::new(UnixNanos(0), UnixNanos(1)).unwrap(),
            attributes: attributes
                .iter()
                .map(|(key, value)| ((*key).to_owned(), AttributeValue::String((*value).to_owned())))
                .collect(),
        }
    }

    #[test]
    fn semantic_conventions_decide_by_default() {
        use SpanKind::*;
        type Case<'a> = (SpanKind, &'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);
        let cases: [Case<'_>; 16] = [
            (
                Server,
                "otelhttp",
                "GET /",
                &[("http.request.method", "GET")],
                "handler",
            ),
            (Consumer, "", "work", &[], "handler"),
            (Consumer, "", "work", &[("messaging.system", "kafka")], "messaging"),
            (Internal, "", "checkout", &[], "service"),
            (Internal, "shop/middleware/auth", "auth", &[], "middleware"),
            (Unspecified, "", "authMiddleware", &[], "middleware"),
            (Server, "shop/middleware", "GET /", &[], "handler"),
            (Client, "", "SELECT", &[("db.system.name", "postgresql")], "db"),
            (Client, "", "SELECT", &[("db.system", "postgresql")], "db"),
            (Client, "", "get", &[("db.system", "redis")], "cache"),
            (Internal, "", "get", &[("db.system.name", "valkey")], "cache"),
            (
                Client,
                "",
                "Get",
                &[("rpc.system", "grpc"), ("url.full", "x")],
                "rpc.client",
            ),
            (Client, "", "GET", &[("http.request.method", "GET")], "http.client"),
            (Client, "", "GET", &[("http.method", "GET")], "http.client"),
            (Client, "", "dial", &[], "service"),
            (
                Server,
                "",
                "GET /",
                &[("attribution.layer", "edge"), ("db.system", "x")],
                "edge",
            ),
        ];
        let rules = LayerRules::default();
        for (kind, scope, name, attributes, expected) in cases {
            let span = span(kind, scope, name, attributes);
            assert_eq!(rules.layer_of(&span).as_str(), expected, "{span:?}");
        }
    }

    #[test]
    fn the_first_rule_whose_conditions_all_hold_wins() {
        let rule = |layer: &str, when| LayerRule {
            layer: LayerSource::Named(Layer::new(layer)),
            when,
        };
        let rules = LayerRules {
            rules: vec![
                rule(
                    "a",
                    vec![
                        Condition::Name(vec![Glob::new("x*")]),
                        Condition::Kind(vec![SpanKind::Client]),
                    ],
                ),
                rule("b", vec![Condition::Name(vec![Glob::new("x*")])]),
                rule("c", vec![]),
            ],
            fallback: Layer::new("never"),
        };
        let layer = |kind, name| rules.layer_of(&span(kind, "", name, &[])).as_str().to_owned();
        assert_eq!(layer(SpanKind::Client, "xy"), "a");
        assert_eq!(layer(SpanKind::Server, "xy"), "b");
        assert_eq!(layer(SpanKind::Client, "yx"), "c");
    }

    #[test]
    fn a_layer_attribute_that_is_no_word_is_passed_over() {
        let long = "x".repeat(LAYER_NAME_BYTES_MAX + 1);
        for value in ["", long.as_str()] {
            let span = span(SpanKind::Server, "", "", &[("attribution.layer", value)]);
            assert_eq!(LayerRules::default().layer_of(&span).as_str(), "handler");
        }
    }
}
