//! The layers of many spans: spans of the same kind, scope and name can fit the same rules, so those are found once.
//! Of the conditions only those on attributes are left for each span.

use foldhash::HashMap;
use spandrel_model::{Layer, Span, SpanKind};

use crate::layering::LayerNumber;
use crate::layers::{LayerRule, LayerRules, LayerSource};

/// Most kinds, scopes and names that are remembered. Programs that put ids into names have more; the rules for the rest are
/// found anew each time.
const REMEMBERED_MAX: usize = 4_096;

/// Finds the layers of spans, and numbers them.
pub(crate) struct LayerFinder<'a> {
    rules: &'a LayerRules,
    fallback: LayerNumber,
    // Rules that spans of this kind, scope and name fit if their attributes do.
    open: HashMap<(SpanKind, &'a str, &'a str), Vec<Open<'a>>>,
    pub(crate) layers: Layers,
}

struct Open<'a> {
    rule: &'a LayerRule,
    /// What it gives, if it says so itself.
    named: Option<LayerNumber>,
}

impl<'a> LayerFinder<'a> {
    pub(crate) fn new(rules: &'a LayerRules) -> Self {
        let mut layers = Layers::new(&[]);
        Self {
            rules,
            fallback: layers.number(&rules.fallback),
            open: HashMap::default(),
            layers,
        }
    }

    /// The number of the layer that [`LayerRules::layer_of`] says.
    pub(crate) fn layer_of(&mut self, span: &'a Span) -> LayerNumber {
        let key = (span.kind, &*span.scope_name, &*span.name);
        if self.open.len() >= REMEMBERED_MAX && !self.open.contains_key(&key) {
            return self.layers.number(&self.rules.layer_of(span));
        }
        let layers = &mut self.layers;
        let open = self.open.entry(key).or_insert_with(|| {
            let open = self.rules.rules.iter().filter(|rule| rule.is_open_to(span));
            open.map(|rule| Open::new(rule, layers)).collect()
        });
        for Open { rule, named } in open {
            if !rule.fits_attributes(span) {
                continue;
            }
            let said = || rule.layer.of(span).map(|layer| layers.number(&layer));
            if let Some(number) = named.or_else(said) {
                return number;
            }
        }
        self.fallback
    }
}

impl<'a> Open<'a> {
    fn new(rule: &'a LayerRule, layers: &mut Layers) -> Self {
        let named = match &rule.layer {
            LayerSource::Named(layer) => Some(layers.number(layer)),
            LayerSource::Attribute(_) => None,
        };
        Self { rule, named }
    }
}

/// Layers, each with a number.
pub(crate) struct Layers {
    pub(crate) names: Vec<Layer>,
    numbers: HashMap<Layer, LayerNumber>,
}

impl Layers {
    pub(crate) fn new(layers: &[Layer]) -> Self {
        Self {
            names: layers.to_vec(),
            numbers: layers.iter().cloned().zip(0..).collect(),
        }
    }

    pub(crate) fn find(&self, layer: &Layer) -> Option<LayerNumber> {
        self.numbers.get(layer).copied()
    }

    pub(crate) fn number(&mut self, layer: &Layer) -> LayerNumber {
        self.find(layer).unwrap_or_else(|| {
            self.numbers.insert(layer.clone(), self.names.len());
            self.names.push(layer.clone());
            self.names.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use spandrel_model::{AttributeValue, Interval, SpanId, TraceId, UnixNanos};

    use super::*;

    fn span(kind: SpanKind, scope: &str, name: &str, attributes: &[(&str, &str)]) -> Span {
        let attribute = |(key, value): &(&str, &str)| ((*key).to_owned(), AttributeValue::String((*value).to_owned()));
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
            attributes: attributes.iter().map(attribute).collect(),
        }
    }

    fn spans() -> impl Strategy<Value = Vec<Span>> {
        use SpanKind::*;
        let kinds = select(vec![Unspecified, Internal, Server, Client, Producer, Consumer]);
        let names = || select(vec!["", "GET /", "authMiddleware", "shop/middleware", "x"]);
        let keys = select(vec![
            "attribution.layer",
            "db.system",
            "db.system.name",
            "messaging.system",
            "rpc.system",
            "url.full",
            "y",
        ]);
        let values = select(vec!["", "redis", "postgresql", "grpc"]);
        let span = (kinds, names(), names(), vec((keys, values), 0..3))
            .prop_map(|(kind, scope, name, attributes)| span(kind, scope, name, &attributes));
        vec(span, 1..40)
    }

    proptest! {
        #[test]
        fn spans_of_the_same_name_have_the_layers_that_each_would_have_alone(spans in spans()) {
            let rules = LayerRules::default();
            let mut finder = LayerFinder::new(&rules);
            for span in &spans {
                let number = finder.layer_of(span);
                prop_assert_eq!(&finder.layers.names[number], &rules.layer_of(span), "{:?}", span);
            }
        }
    }

    #[test]
    fn names_beyond_what_is_remembered_have_layers_too() {
        let rules = LayerRules::default();
        let numbered = |number| span(SpanKind::Internal, "", &format!("middleware {number}"), &[]);
        let spans: Vec<Span> = (0..REMEMBERED_MAX + 10).map(numbered).collect();
        let mut finder = LayerFinder::new(&rules);
        for span in &spans {
            let number = finder.layer_of(span);
            assert_eq!(finder.layers.names[number].as_str(), "middleware");
        }
        assert_eq!(finder.open.len(), REMEMBERED_MAX);
    }
}
