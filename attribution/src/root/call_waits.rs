//! When a call waited for its answer, over time.

use spandrel_model::Interval;

use super::RootView;
use super::unbound::Leaf;
use super::walk::Reached;
use crate::spans::SpanIndex;

impl RootView<'_> {
    /// The stretches of `client` in which its root view waits for the answer of its own call, whatever stands in their
    /// place: in the order of time, without overlap. None if no server of the call is known.
    pub(crate) fn call_waits(&self, client: SpanIndex) -> Vec<Interval> {
        let mut waits: Vec<Interval> = Vec::new();
        let Some(call) = self.calls.of_known_servers(client) else {
            return waits;
        };
        let mut walker = self.walker();
        let mut leaves = self.leaves(client, self.evidences.spans.interval(client));
        while let Some((interval, leaf)) = leaves.next() {
            match leaf {
                Leaf::Child(child) => leaves.enter(child, interval),
                Leaf::Own(span, _, instead) => {
                    waits.extend(instead.filter(|_| span == client).map(|_| interval));
                }
                Leaf::OnTask(_, task) => {
                    for owned in self.evidences.owned_within(task, interval) {
                        // Whoever waits for this call is of the client's trace, so nothing of it is interference.
                        let mut each = |reached: Reached| {
                            waits.extend(
                                Some(reached.interval).filter(|_| self.call(owned.span, &reached) == Some(call)),
                            );
                        };
                        walker.walk(task, owned, &mut each);
                    }
                }
            }
        }
        waits
    }
}
