//! The layers of the spans of one process, by number, so that they compare fast; and the layer of an instant, which is
//! that of the span that owns the task, or that of the library in which the task stands.

use foldhash::HashMap;
use spandrel_model::Layer;

use crate::Rules;
use crate::layer_finder::LayerFinder;
use crate::spans::{SpanIndex, SpanSet};
use crate::stack_layers::may_refine;

/// Number of a layer.
pub(crate) type LayerNumber = usize;

/// How many layers the spans of one analysis may have, beside those of rules. A span has cells of every layer inside it, so
/// that without a limit nested spans that all name a layer of their own would have cells in proportion to the square of
/// their number.
const LAYERS_MAX: usize = 256;

/// Layers by number. Those of [`StackLayers`](crate::StackLayers) come first, under the numbers that they have there.
pub(crate) struct Layering {
    layers: Vec<Layer>,
    of_span: Vec<LayerNumber>,
    // By span: whether stacks may name the layer of its time.
    refined: Vec<bool>,
}

impl Layering {
    pub(crate) fn new(spans: &SpanSet<'_>, rules: &Rules) -> Self {
        let said = Said::by(spans, rules);
        let mut layers = Layers::new(rules.stack_layers.layers());
        let limit = layers.names.len() + LAYERS_MAX;
        let mut refined = said.refined;
        let of_span = (0..spans.len()).map(|span| {
            let said = &said.layers.names[said.of_span[span]];
            if layers.names.len() < limit || layers.numbers.contains_key(said) {
                return layers.number(said);
            }
            let layer = rules.layers.named_layer_of(spans.span(span));
            refined[span] = may_refine(spans.span(span), &layer);
            layers.number(&layer)
        });
        Self {
            of_span: of_span.collect(),
            layers: layers.names,
            refined,
        }
    }

    /// The layer with this number.
    pub(crate) fn layer(&self, number: LayerNumber) -> &Layer {
        &self.layers[number]
    }

    /// The layer of the span itself.
    pub(crate) fn of_span(&self, span: SpanIndex) -> LayerNumber {
        self.of_span[span]
    }

    /// The layer of time that `span` owns, while a task stands in a library of layer `stack_layer`.
    pub(crate) fn of_time(&self, span: SpanIndex, stack_layer: Option<LayerNumber>) -> LayerNumber {
        self.refinement(span, stack_layer).unwrap_or(self.of_span[span])
    }

    /// `stack_layer`, if stacks may name the layer of time that `span` owns.
    pub(crate) fn refinement(&self, span: SpanIndex, stack_layer: Option<LayerNumber>) -> Option<LayerNumber> {
        stack_layer.filter(|_| self.refined[span])
    }
}

/// Layers, each with a number.
struct Layers {
    names: Vec<Layer>,
    numbers: HashMap<Layer, LayerNumber>,
}

impl Layers {
    fn new(layers: &[Layer]) -> Self {
        Self {
            names: layers.to_vec(),
            numbers: layers.iter().cloned().zip(0..).collect(),
        }
    }

    fn number(&mut self, layer: &Layer) -> LayerNumber {
        if let Some(number) = self.numbers.get(layer) {
            return *number;
        }
        self.numbers.insert(layer.clone(), self.names.len());
        self.names.push(layer.clone());
        self.names.len() - 1
    }
}

/// The layers of the spans by the rules, however many there are.
struct Said {
    layers: Layers,
    of_span: Vec<LayerNumber>,
    refined: Vec<bool>,
}

impl Said {
    fn by(spans: &SpanSet<'_>, rules: &Rules) -> Self {
        let mut said = Self {
            layers: Layers::new(&[]),
            of_span: vec![0; spans.len()],
            refined: vec![false; spans.len()],
        };
        let mut finder = LayerFinder::new(&rules.layers);
        for index in spans.as_given() {
            let span = spans.span(index);
            let layer = finder.layer_of(span);
            said.of_span[index] = said.layers.number(&layer);
            said.refined[index] = may_refine(span, &layer);
        }
        said
    }
}
