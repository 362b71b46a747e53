//! The layers of the spans of one process, by number, so that they compare fast; and the layer of an instant, which is
//! that of the span that owns the task, or that of the library in which the task stands.

use spandrel_model::Layer;

use crate::Rules;
use crate::layer_finder::{LayerFinder, Layers};
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
    // By layer: how many have a name that comes before.
    places: Vec<usize>,
    of_span: Vec<LayerNumber>,
    // By span: whether stacks may name the layer of its time.
    refined: Vec<bool>,
}

impl Layering {
    pub(crate) fn new(spans: &SpanSet<'_>, rules: &Rules) -> Self {
        let mut said = Said::by(spans, rules);
        let mut layers = Layers::new(rules.stack_layers.layers());
        let limit = layers.names.len() + LAYERS_MAX;
        let mut numbers = vec![None; said.layers.names.len()];
        let of_span = (0..spans.len()).map(|span| {
            let (known, layer) = (&mut numbers[said.of_span[span]], &said.layers.names[said.of_span[span]]);
            *known = known.or_else(|| layers.find(layer));
            if known.is_none() && layers.names.len() < limit {
                *known = Some(layers.number(layer));
            }
            known.unwrap_or_else(|| {
                let layer = rules.layers.named_layer_of(spans.span(span));
                said.refined[span] = may_refine(spans.span(span), &layer);
                layers.number(&layer)
            })
        });
        let of_span = of_span.collect();
        Self {
            places: places(&layers.names),
            layers: layers.names,
            of_span,
            refined: said.refined,
        }
    }

    /// The layer with this number.
    pub(crate) fn layer(&self, number: LayerNumber) -> &Layer {
        &self.layers[number]
    }

    /// Place of the layer in the order of names.
    pub(crate) fn place(&self, number: LayerNumber) -> usize {
        self.places[number]
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

fn places(layers: &[Layer]) -> Vec<usize> {
    let mut sorted: Vec<LayerNumber> = (0..layers.len()).collect();
    sorted.sort_unstable_by_key(|number| &layers[*number]);
    let mut places = vec![0; layers.len()];
    for (place, number) in sorted.into_iter().enumerate() {
        places[number] = place;
    }
    places
}

/// The layers of the spans by the rules, however many there are.
struct Said {
    layers: Layers,
    of_span: Vec<LayerNumber>,
    refined: Vec<bool>,
}

impl Said {
    fn by(spans: &SpanSet<'_>, rules: &Rules) -> Self {
        let mut finder = LayerFinder::new(&rules.layers);
        let mut of_span = vec![0; spans.len()];
        let mut refined = vec![false; spans.len()];
        for index in spans.as_given() {
            let span = spans.span(index);
            of_span[index] = finder.layer_of(span);
            refined[index] = may_refine(span, &finder.layers.names[of_span[index]]);
        }
        Self {
            layers: finder.layers,
            of_span,
            refined,
        }
    }
}
