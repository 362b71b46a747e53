//! A span without runtime data: what its children say of it.
//!
//! Nothing is known of the goroutine of a span that is not bound, so its self view is one unknown cell. The root view can
//! say more: while the span waited for a child, it goes to whatever the child's root view says, which is exact where the
//! child is bound. The rest is the span's own: its layer, state unknown with the reason, marked `inferred`.
//!
//! ```text
//! GET (not bound)     |-------------------------------|
//! SELECT (not bound)    |------|
//! call (bound)                    |--run--|---net---|
//! root of GET         |?|db/?  |? |run    |net      |?|
//! ```
//!
//! [`sections`] is the rule that finds for which child a span waited, `Parts` applies it to a span.

mod last_finishing;

use spandrel_model::{Binding, Interval};

pub(crate) use self::last_finishing::{Child, sections};
use crate::remote::{Calls, Instead, is_call};
use crate::spans::{SpanIndex, SpanSet};
use crate::stretches::Bindings;

/// How far two times that one clock gave may seem to be apart: exporters that keep microseconds cut off up to one.
pub(crate) const READING_ERROR_NS: i64 = 1_000;

/// For whom a span waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitedFor {
    /// A child in the process.
    Child(SpanIndex),
    /// The server with this number among those of the span's call.
    Server(usize),
}

/// Whose a part of a span without runtime data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// As the root view of this child says.
    Child(SpanIndex),
    /// The span's own, or its call's.
    Own(Option<Instead>),
}

/// What the parts of spans follow from.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) spans: &'a SpanSet<'a>,
    pub(crate) bindings: &'a Bindings,
    pub(crate) calls: &'a Calls,
}

impl Parts<'_> {
    /// The stretches in which `span` waited for others. Children in its process count only if it is not bound: of one that
    /// is bound the recording knows better.
    pub(crate) fn waits(&self, span: SpanIndex) -> Vec<(Interval, WaitedFor)> {
        let mut who = Vec::new();
        let mut children = Vec::new();
        if matches!(self.bindings.of(span), Binding::Unbound(_)) {
            let parent = self.spans.span(span);
            let local = self.spans.children(span).iter().copied();
            for child in local.filter(|child| !is_call(parent, self.spans.span(*child))) {
                who.push(WaitedFor::Child(child));
                children.push(Child {
                    interval: self.spans.interval(child),
                    slack_ns: 2 * READING_ERROR_NS,
                });
            }
        }
        for (number, server) in self.calls.servers(span).iter().enumerate() {
            who.push(WaitedFor::Server(number));
            children.push(server.child());
        }
        let sections = sections(self.spans.interval(span), &children).into_iter();
        sections.map(|(section, index)| (section, who[index])).collect()
    }

    /// The parts of a span that is not bound: in the order of time, tiling it.
    pub(crate) fn of_unbound(&self, span: SpanIndex) -> Vec<(Interval, Part)> {
        let interval = self.spans.interval(span);
        let mut parts = Vec::new();
        let add_own = |from, to, parts: &mut Vec<(Interval, Part)>| {
            if let Some(own) = Interval::new(from, to).filter(|own| !own.is_empty()) {
                let mut each = |part, instead| parts.push((part, Part::Own(instead)));
                self.calls.split_own(span, own, &mut each);
            }
        };
        let mut at = interval.start();
        for (section, who) in self.waits(span) {
            if let WaitedFor::Child(child) = who {
                add_own(at, section.start(), &mut parts);
                parts.push((section, Part::Child(child)));
                at = section.end();
            }
        }
        add_own(at, interval.end(), &mut parts);
        parts
    }
}
