//! Layers from stacks: in which library a task stands.
//!
//! Spans leave gaps. A driver without instrumentation waits for the network inside of the handler's span; the read loop of a
//! connection has no span at all. The stack at which a task stands still names the library whose doing that is:
//!
//! ```text
//! internal/poll.(*FD).Read                      stack of a network wait, innermost frame first
//! net/http.(*persistConn).Read                  http.client
//! github.com/elastic/elastic-transport-go/v8    db            <- the first rule that fits any frame gives the layer
//! main.search
//! ```
//!
//! The rules stand in the order in which libraries build on each other, so that a call counts as what the program
//! called, not as what carried it. A user's rules come first. Some functions of these libraries call the program back, as a
//! database transaction does with the function that it runs; what lies outside of such a function says nothing about
//! what the program does inside.
//!
//! A stack holds while a task stands still: in a wait, in a system call, and while it is ready to run again. Of a task that
//! runs nobody knows where it is, so running time keeps the layer of the span.

mod built_in;
mod user_rule;

use std::collections::HashMap;

use spandrel_model::{FunctionPattern, Layer, NameId, Names, Span, SpanKind, Stack, StackId};

pub use self::user_rule::{InvalidStackLayerRule, StackLayerFault, StackLayerRule};

use crate::layers::{LAYER_ATTRIBUTE, said_layer};

/// Attributes of a span that is itself a call to another system, whatever its kind.
const CALL_ATTRIBUTES: [&str; 5] = [
    "db.system.name",
    "db.system",
    "messaging.system",
    "rpc.system",
    "rpc.system.name",
];

/// Ordered rules from functions on a stack to layers: a user's before the built-in ones.
#[derive(Clone, Debug)]
pub struct StackLayers {
    rules: Vec<Rule>,
    // Distinct; a rule refers to them by position.
    layers: Vec<Layer>,
    callbacks: Vec<FunctionPattern>,
}

#[derive(Clone, Debug)]
struct Rule {
    layer: usize,
    functions: Vec<FunctionPattern>,
}

/// What a function on a stack tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// It is of a library that this rule knows.
    Library(usize),
    /// It is of a library, and calls the program back.
    CallsBack,
    /// Nothing.
    Other,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place(u16);

impl Place {
    /// No stack says.
    pub(crate) const NOT_KNOWN: Self = Self(0);
    /// In no library that a rule knows.
    const ELSEWHERE: Self = Self(1);

    fn in_layer(layer: usize) -> Self {
        Self(u16::try_from(layer + 2).expect("there are at most 1,000 rules of a user's"))
    }

    /// Layer of the library, as a position in [`StackLayers::layers`].
    pub(crate) fn layer(self) -> Option<usize> {
        usize::from(self.0).checked_sub(2)
    }
}

/// The stacks of one recording or profile that lie in a library.
pub(crate) struct Places {
    // Sorted by id.
    in_libraries: Vec<(StackId, Place)>,
}

impl Places {
    pub(crate) fn of(&self, stack: Option<StackId>) -> Place {
        let Some(stack) = stack else {
            return Place::NOT_KNOWN;
        };
        let found = self.in_libraries.binary_search_by_key(&stack, |(id, _)| *id);
        found.map_or(Place::ELSEWHERE, |at| self.in_libraries[at].1)
    }
}

impl StackLayers {
    /// No rules: stacks say nothing.
    pub fn none() -> Self {
        Self {
            rules: Vec::new(),
            layers: Vec::new(),
            callbacks: Vec::new(),
        }
    }

    /// A user's rules before the built-in ones.
    ///
    /// # Errors
    /// What is wrong with the rules, all of it.
    pub fn with_user_rules(rules: &[StackLayerRule]) -> Result<Self, Vec<InvalidStackLayerRule>> {
        user_rule::check(rules)?;
        let mut all = Self::none();
        for rule in rules {
            all.add(&rule.layer, rule.functions.iter().map(String::as_str));
        }
        for rule in built_in::LIBRARIES {
            all.add(&Layer::new(rule.layer), rule.functions.iter().copied());
        }
        all.callbacks = patterns(built_in::CALLBACKS.iter().copied());
        Ok(all)
    }

    fn add<'a>(&mut self, layer: &Layer, functions: impl Iterator<Item = &'a str>) {
        let known = self.layers.iter().position(|known| known == layer);
        let layer = known.unwrap_or_else(|| {
            self.layers.push(layer.clone());
            self.layers.len() - 1
        });
        self.rules.push(Rule {
            layer,
            functions: patterns(functions),
        });
    }

    /// The layer of the library in which a stack with these functions, innermost first, lies; `None` if no rule knows one.
    pub fn layer_of<'a>(&self, functions: impl IntoIterator<Item = &'a str>) -> Option<&Layer> {
        let frames = functions.into_iter().map(|function| self.frame(function));
        Some(&self.layers[self.layer_of_frames(frames)?])
    }

    /// The layers that stacks may have.
    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Asks the rules about the stacks of a recording or profile, once for each function.
    pub(crate) fn places(&self, stacks: &[Stack], names: &Names) -> Places {
        let mut known: HashMap<NameId, Frame> = HashMap::new();
        let mut frame =
            |function: NameId| *(known.entry(function)).or_insert_with(|| self.frame(names.resolve(function)));
        let mut place = |stack: &Stack| {
            let frames = stack.frames.iter().map(|of_stack| frame(of_stack.function));
            Some((stack.id, Place::in_layer(self.layer_of_frames(frames)?)))
        };
        let mut in_libraries: Vec<(StackId, Place)> = match self.rules.is_empty() {
            true => Vec::new(),
            false => stacks.iter().filter_map(&mut place).collect(),
        };
        in_libraries.sort_unstable_by_key(|(id, _)| *id);
        Places { in_libraries }
    }

    fn frame(&self, function: &str) -> Frame {
        let function = FunctionPattern::without_type_arguments(function);
        let fits = |patterns: &[FunctionPattern]| patterns.iter().any(|pattern| pattern.matches(&function));
        if fits(&self.callbacks) {
            return Frame::CallsBack;
        }
        let rule = self.rules.iter().position(|rule| fits(&rule.functions));
        rule.map_or(Frame::Other, Frame::Library)
    }

    fn layer_of_frames(&self, frames: impl Iterator<Item = Frame>) -> Option<usize> {
        let inside = frames.take_while(|frame| *frame != Frame::CallsBack);
        let rules = inside.filter_map(|frame| match frame {
            Frame::Library(rule) => Some(rule),
            Frame::CallsBack | Frame::Other => None,
        });
        Some(self.rules[rules.min()?].layer)
    }
}

/// The built-in rules.
impl Default for StackLayers {
    fn default() -> Self {
        Self::with_user_rules(&[]).expect("no rules have no faults")
    }
}

/// Whether stacks may name the layer of time that belongs to the span, whose own layer is `layer`. A span that is itself a
/// call to another system is all of that call, and one that says its layer is believed, if its layer is what it says.
pub(crate) fn may_refine(span: &Span, layer: &Layer) -> bool {
    let has = |key: &str| span.attribute(key).is_some();
    let is_call = match span.kind {
        SpanKind::Client | SpanKind::Producer => true,
        SpanKind::Server | SpanKind::Consumer => false,
        SpanKind::Internal | SpanKind::Unspecified => CALL_ATTRIBUTES.into_iter().any(has),
    };
    !is_call && said_layer(span, LAYER_ATTRIBUTE).as_ref() != Some(layer)
}

fn patterns<'a>(functions: impl Iterator<Item = &'a str>) -> Vec<FunctionPattern> {
    functions.map(FunctionPattern::new).collect()
}

#[cfg(test)]
mod tests;
