//! Both views by their definition, one instant at a time: slow, and independent of the sweep and the walk.

use std::collections::BTreeMap;

use spandrel_attribution::{Analysis, SpanKey, Stretch};
use spandrel_model::*;

use crate::world::{World, WorldState, WorldTask};

/// Knows the world as far as recordings of these windows show it.
pub(crate) struct Oracle<'a> {
    pub(crate) chain_limit: usize,
    spans: BTreeMap<SpanKey, (&'a Span, Layer)>,
    tasks: BTreeMap<u64, &'a WorldTask>,
    states: BTreeMap<u64, Vec<&'a WorldState>>,
    bound: BTreeMap<u64, Vec<(&'a Span, Interval)>>,
    windows: Vec<Interval>,
}

/// What is known of a task at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    State(State, String),
    Unknown(UnknownReason),
}

/// The chain from a task at an instant: the tasks on it, each with what it does, the last one where it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Task, what it does (`None` if it is not born), and when the next one acted on it.
    pub(crate) links: Vec<(u64, Option<Known>, i64)>,
}

/// A root cell without its time, the task at the end of the chain and its distance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) layer: Layer,
    pub(crate) state: State,
    pub(crate) sub_state: String,
    pub(crate) relation: Relation,
    pub(crate) culprit: Option<Culprit>,
    pub(crate) task: u64,
    pub(crate) depth: usize,
}

enum Moment {
    Unborn { creator: Option<u64>, birth: i64 },
    Waits { known: Known, waker: u64, until: i64 },
    Ends(Known),
}

impl<'a> Oracle<'a> {
    pub(crate) fn new(world: &'a World, windows: &[Interval], analysis: &Analysis<'_>) -> Self {
        let result = analysis.attributed();
        let layers = result.spans.iter().map(|span| {
            let key = SpanKey {
                trace_id: span.trace_id,
                span_id: span.span_id,
            };
            (key, span.layer.clone())
        });
        let layers: BTreeMap<SpanKey, Layer> = layers.collect();
        let mut oracle = Self {
            chain_limit: 64,
            spans: BTreeMap::new(),
            tasks: world.tasks.iter().map(|task| (task.id, task)).collect(),
            states: BTreeMap::new(),
            bound: BTreeMap::new(),
            windows: windows.to_vec(),
        };
        for span in &world.spans {
            let key = SpanKey::of(span);
            oracle.spans.insert(key, (span, layers[&key].clone()));
            for Stretch { task, interval } in analysis.stretches(key) {
                oracle.bound.entry(task.0).or_default().push((span, interval));
            }
        }
        for state in &world.states {
            oracle.states.entry(state.task).or_default().push(state);
        }
        for states in oracle.states.values_mut() {
            states.sort_by_key(|state| state.interval);
        }
        oracle
    }

    /// The instants in `interval` at which anything may change.
    pub(crate) fn boundaries(&self, interval: Interval) -> Vec<UnixNanos> {
        let states = self.states.values().flatten().map(|state| state.interval);
        let spans = self.spans.values().map(|(span, _)| span.interval);
        let windows = self.windows.iter().copied();
        let stretches = self.bound.values().flatten().map(|(_, stretch)| *stretch);
        let ends = states
            .chain(spans)
            .chain(stretches)
            .chain(windows)
            .flat_map(|time| [time.start(), time.end()]);
        let lives = self.tasks.values().flat_map(|task| [Some(task.birth), task.death]);
        let mut instants: Vec<UnixNanos> = ends.chain(lives.flatten().map(UnixNanos)).collect();
        instants.push(interval.start());
        instants.retain(|at| interval.contains(*at));
        instants.sort_unstable();
        instants.dedup();
        instants
    }

    /// What the instant `at` of `span`, which is on `task` then, goes to.
    pub(crate) fn answer(&self, span: &Span, task: u64, at: UnixNanos) -> Answer {
        let chain = self.chain(task, at);
        let waiting = self.owner(task, at).expect("the span itself is open");
        let own_layer = self.layer_of_time(waiting, self.place(task, at));
        let (last, known, _) = chain.links.last().unwrap().clone();
        let depth = chain.links.len() - 1;
        let answer = |layer, state, sub_state: &str, relation| Answer {
            layer,
            state,
            sub_state: sub_state.to_owned(),
            relation,
            culprit: None,
            task: last,
            depth,
        };
        let (state, sub_state) = match known.unwrap() {
            Known::Unknown(reason) => return answer(own_layer, State::Unknown, reason.as_str(), Relation::Same),
            Known::State(state, sub_state) => (state, sub_state),
        };
        if depth == 0 {
            return answer(own_layer, state, &sub_state, Relation::Same);
        }
        let owners = chain.links[1..].iter().map(|(task, _, _)| self.owner(*task, at));
        let owners: Vec<Option<&Span>> = owners.collect();
        let of_last = owners.last().copied().flatten();
        let nearest = owners.iter().rev().find_map(|owner| *owner);
        let is_system = self.tasks[&last].kind == TaskKind::System;
        let nearest_at = 1 + owners.iter().rposition(|owner| owner.is_some()).unwrap_or_default();
        let waiting_for = |from: usize| chain.links[from..].iter().rev().find_map(|link| self.place(link.0, at));
        let layer = match nearest {
            None => self.layer_of_time(waiting, waiting_for(0)),
            Some(owner) if owner.trace_id == span.trace_id => self.layer_of_time(owner, waiting_for(nearest_at)),
            Some(_) => own_layer.clone(),
        };
        let relation = match nearest {
            _ if is_system => Relation::Runtime,
            Some(owner) if owner.trace_id != span.trace_id => Relation::Interference,
            _ if of_last.is_some() => Relation::Same,
            _ => Relation::Helper,
        };
        if relation != Relation::Interference {
            return answer(layer, state, &sub_state, relation);
        }
        let waits_in = match &chain.links[0].1 {
            Some(Known::State(state, _)) => state.as_str(),
            _ => "",
        };
        let culprit = nearest.unwrap();
        Answer {
            culprit: Some(Culprit {
                operation: self.request(culprit).name.clone(),
                layer: self.spans[&SpanKey::of(culprit)].1.clone(),
                state,
            }),
            ..answer(own_layer.clone(), State::BlockedOnOther, waits_in, relation)
        }
    }

    /// The layer of what `task`, on which a span is open, does at `at`.
    pub(crate) fn self_layer(&self, task: u64, at: UnixNanos) -> Layer {
        let owner = self.owner(task, at).expect("a span is open");
        self.layer_of_time(owner, self.place(task, at))
    }

    /// The layer of time that `owner` owns, spent in a library of layer `place`.
    fn layer_of_time(&self, owner: &Span, place: Option<&str>) -> Layer {
        match place {
            Some(place) if owner.attribute("attribution.layer").is_none() => Layer::new(place),
            _ => self.spans[&SpanKey::of(owner)].1.clone(),
        }
    }

    /// The layer of the library in which `task` stands at `at`: by the stack of its state or, where that has none and the
    /// task did not run since, of the one before.
    fn place(&self, task: u64, at: UnixNanos) -> Option<&'static str> {
        self.seen(at.0).then_some(())?;
        let state = self
            .states
            .get(&task)?
            .iter()
            .find(|state| state.interval.contains(at))?;
        let before = UnixNanos(state.interval.start().0 - 1);
        match state.state {
            State::Running | State::Unknown => None,
            _ if !state.stack.is_empty() => state.stack.iter().find_map(|function| library(function)),
            _ if self.covers(before, at) => self.place(task, before),
            _ => None,
        }
    }

    /// The chain from `task` at `at`.
    pub(crate) fn chain(&self, task: u64, at: UnixNanos) -> Chain {
        let mut links: Vec<(u64, Option<Known>, i64)> = Vec::new();
        let mut here = task;
        loop {
            let known = match self.moment(here, at) {
                None => Known::Unknown(UnknownReason::WakerNotRecorded),
                Some(_) if links.len() > self.chain_limit => Known::Unknown(UnknownReason::ChainTooLong),
                Some(Moment::Ends(known)) => known,
                Some(Moment::Waits { known, waker, until }) => {
                    links.push((here, Some(known), until));
                    here = waker;
                    continue;
                }
                Some(Moment::Unborn {
                    creator: Some(creator),
                    birth,
                }) => {
                    links.push((here, None, birth));
                    here = creator;
                    continue;
                }
                Some(Moment::Unborn { creator: None, .. }) => {
                    while links.last().is_some_and(|link| link.1.is_none()) {
                        links.pop();
                    }
                    if !links.is_empty() {
                        return Chain { links };
                    }
                    here = task;
                    Known::Unknown(UnknownReason::TaskNotAlive)
                }
            };
            links.push((here, Some(known), i64::MIN));
            return Chain { links };
        }
    }

    /// The owner of `task` at `at`.
    pub(crate) fn owner(&self, task: u64, at: UnixNanos) -> Option<&'a Span> {
        let open = self.bound.get(&task).into_iter().flatten();
        let open = open.filter(|(_, stretch)| stretch.contains(at)).map(|(span, _)| *span);
        let innermost = open.max_by_key(|span| (span.interval.start(), self.depth(span), SpanKey::of(span)));
        if innermost.is_some() {
            return innermost;
        }
        let task = self
            .tasks
            .get(&task)
            .filter(|task| task.kind == TaskKind::Application)?;
        let birth = UnixNanos(task.birth);
        let creator = task.creator.filter(|_| self.seen(task.birth) && birth <= at)?;
        self.recorded(creator).then_some(())?;
        let inherited = self.owner(creator, birth);
        inherited.filter(|span| span.interval.contains(at))
    }

    fn parent(&self, span: &Span) -> Option<&'a Span> {
        let key = SpanKey {
            trace_id: span.trace_id,
            span_id: span.parent_span_id?,
        };
        self.spans.get(&key).map(|(span, _)| *span)
    }

    fn depth(&self, span: &Span) -> usize {
        std::iter::successors(self.parent(span), |span| self.parent(span)).count()
    }

    /// The span with which the work of `span` entered the process.
    fn request(&self, span: &'a Span) -> &'a Span {
        let mut ancestors = std::iter::successors(Some(span), |span| self.parent(span));
        let server = ancestors.clone().find(|span| span.kind == SpanKind::Server);
        server.or_else(|| ancestors.by_ref().last()).unwrap_or(span)
    }

    fn seen(&self, at: i64) -> bool {
        self.windows.iter().any(|window| window.contains(UnixNanos(at)))
    }

    fn recorded(&self, task: u64) -> bool {
        let Some(told) = self.tasks.get(&task) else {
            return false;
        };
        let states = self.states.get(&task).into_iter().flatten();
        let mut shown = states.flat_map(|state| self.windows.iter().map(|window| window.intersection(state.interval)));
        self.seen(told.birth) || told.death.is_some_and(|death| self.seen(death)) || shown.any(|part| part.is_some())
    }

    fn moment(&self, task: u64, at: UnixNanos) -> Option<Moment> {
        let told = self.tasks.get(&task).filter(|_| self.recorded(task))?;
        if at.0 < told.birth && self.seen(told.birth) {
            return Some(Moment::Unborn {
                creator: told.creator,
                birth: told.birth,
            });
        }
        let unknown = |reason| Some(Moment::Ends(Known::Unknown(reason)));
        if told.death.is_some_and(|death| death <= at.0 && self.seen(death)) {
            return unknown(UnknownReason::TaskNotAlive);
        }
        if !self.seen(at.0) {
            return unknown(UnknownReason::NotRecorded);
        }
        let states = self.states.get(&task).map_or(&[][..], Vec::as_slice);
        let next = states.partition_point(|state| state.interval.end() <= at);
        let Some(state) = states.get(next).filter(|state| state.interval.contains(at)) else {
            return unknown(UnknownReason::StateNotRecorded);
        };
        let known = Known::State(state.state, state.sub_state.clone());
        let until = state.interval.end();
        // The windows cover the time up to the wake without a gap.
        let told_who = self.covers(at, until);
        let is_system = |task: TaskId| {
            self.tasks
                .get(&task.0)
                .is_some_and(|task| task.kind == TaskKind::System)
        };
        let is_for_poller = matches!(state.state, State::Network | State::Sleep);
        let is_stopped = states
            .get(next + 1)
            .is_some_and(|after| after.state == State::GcStw && after.interval.start() == until);
        Some(match state.waker {
            Waker::Task(waker) if told_who && !(is_for_poller && (is_stopped || is_system(waker))) => Moment::Waits {
                known,
                waker: waker.0,
                until: until.0,
            },
            _ => Moment::Ends(known),
        })
    }

    /// Whether no instant from `from` to `to` lies outside of the windows.
    fn covers(&self, from: UnixNanos, to: UnixNanos) -> bool {
        let mut reached = from;
        while let Some(window) = self.windows.iter().find(|window| window.contains(reached)) {
            reached = window.end();
            if reached >= to {
                return true;
            }
        }
        false
    }
}

/// The layer of the libraries on the stacks of random programs.
fn library(function: &str) -> Option<&'static str> {
    let libraries = [
        ("database/sql", "db"),
        ("github.com/redis", "cache"),
        ("net/http.", "http.client"),
    ];
    let found = libraries.iter().find(|(library, _)| function.starts_with(library))?;
    Some(found.1)
}
