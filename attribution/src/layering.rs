//! The layers of the spans of one process, by number, so that they compare fast; and the layer of an instant, which is
//! that of the span that owns the task, or that of the library in which the task stands.

use foldhash::HashMap;
use spandrel_model::Layer;

use crate::Rules;
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
        let mut layers = rules.stack_layers.layers().to_vec();
        let numbered = layers.iter().cloned().zip(0..);
        let mut numbers: HashMap<Layer, LayerNumber> = numbered.collect();
        let limit = numbers.len() + LAYERS_MAX;
        let (of_span, refined) = (0..spans.len())
            .map(|span| {
                let span = spans.span(span);
                let said = rules.layers.layer_of(span);
                let layer = match numbers.len() < limit || numbers.contains_key(&said) {
                    true => said,
                    false => rules.layers.named_layer_of(span),
                };
                let number = *numbers.entry(layer).or_insert_with_key(|layer| {
                    layers.push(layer.clone());
                    layers.len() - 1
                });
                (number, may_refine(span, &layers[number]))
            })
            .unzip();
        Self {
            layers,
            of_span,
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
