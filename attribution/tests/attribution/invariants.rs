//! Invariants of attribution over random programs, named as in the definition.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use spandrel_attribution::*;
use spandrel_model::*;

use crate::random::Random;
use crate::simulator::{Setup, Unusual, simulate};
use crate::world::{World, WorldLog, WorldSample, WorldState, interval};

/// A random program of fewer requests than `requests`.
pub(crate) fn worlds(requests: u64) -> impl Strategy<Value = World> {
    let setups = (any::<u64>(), 1_usize..5, 1_u64..requests, 0_u64..20);
    setups.prop_map(|(seed, processors, requests, lost_percent)| world_of(seed, processors, requests, lost_percent))
}

/// A random program; half of the spans have their id logged, so that both kinds of binding occur, and half say their layer,
/// so that stacks may refine the others. Stacks are where Go has them, and here and there.
pub(crate) fn world_of(seed: u64, processors: usize, requests: u64, lost_percent: u64) -> World {
    let setup = Setup {
        seed,
        processors,
        requests,
        renamed_percent: 30,
        lost_percent,
        servers: seed % 3,
        unusual: Unusual {
            handed_over: 10 * (seed % 2),
            after_the_fact: 10 * (seed / 2 % 2),
            ..Unusual::default()
        },
    };
    let simulation = simulate(setup);
    let mut world = simulation.world;
    let mut random = Random(seed);
    for (span, task) in world.spans.iter().zip(&simulation.truth) {
        if random.chance(50) {
            world.logs.push(log_of(span, *task));
        }
    }
    for span in &mut world.spans {
        if random.chance(50) {
            span.attributes.clear();
        }
    }
    for state in &mut world.states {
        let percent = if state.state.is_wait() { 70 } else { 10 };
        if random.chance(percent) {
            let stack = STACKS[usize::try_from(random.below(4)).unwrap()];
            state.stack = stack.iter().map(|function| (*function).to_owned()).collect();
        }
    }
    for state in world.states.iter().filter(|state| state.state == State::Running) {
        if random.chance(10) {
            let stack = STACKS[usize::try_from(random.below(4)).unwrap()];
            world.samples.push(WorldSample {
                task: state.task,
                at: random.between(state.interval.start().0, state.interval.end().0),
                stack: stack.iter().map(|function| (*function).to_owned()).collect(),
            });
        }
    }
    world
}

/// Innermost function first.
const STACKS: [&[&str]; 4] = [
    &["internal/poll.(*FD).Read", "database/sql.(*DB).conn", "main.load"],
    &["github.com/redis/go-redis/v9.(*Client).Get", "main.load"],
    &["net/http.(*persistConn).readLoop"],
    &["time.Sleep", "main.work"],
];

pub(crate) fn log_of(span: &Span, task: TaskId) -> WorldLog {
    WorldLog {
        task: task.0,
        user_task: None,
        at: span.interval.start().0,
        category: "otel".to_owned(),
        message: [&span.trace_id.as_bytes()[..], span.span_id.as_bytes()].concat(),
    }
}

/// The world's time from these parts of a thousand on.
pub(crate) fn windows(world: &World, parts: &[(i64, i64)]) -> Vec<Interval> {
    let extent = world.extent();
    let at = |part: i64| extent.start().0 + extent.duration_ns() * part / 1000;
    parts
        .iter()
        .map(|(start, end)| interval(at(*start), at(*end)))
        .collect()
}

/// Sometimes all of it, sometimes with gaps and overlaps.
pub(crate) fn parts() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop_oneof![
        Just(vec![(0, 1000)]),
        Just(vec![(200, 700)]),
        Just(vec![(0, 350), (330, 600), (750, 1000)]),
    ]
}

fn key(span: &SpanAttribution) -> SpanKey {
    SpanKey {
        trace_id: span.trace_id,
        span_id: span.span_id,
    }
}

pub(crate) fn without_stacks() -> Rules {
    Rules {
        stack_layers: StackLayers::none(),
        ..Rules::default()
    }
}

type Total = BTreeMap<(Layer, State, String), i64>;

/// The same, for time in these states with all layers together.
fn over_layers(totals: &Total, states: &[State]) -> Total {
    let mut sums = Total::new();
    for ((layer, state, sub_state), ns) in totals {
        let layer = if states.contains(state) {
            Layer::new("")
        } else {
            layer.clone()
        };
        *sums.entry((layer, *state, sub_state.clone())).or_default() += ns;
    }
    sums
}

/// The root view for all layers together: what was done, and whose doing it was.
fn root_over_layers(span: &SpanAttribution) -> BTreeMap<(State, String, Relation, Option<Culprit>), i64> {
    let mut sums = BTreeMap::new();
    for cell in span.cells.iter().filter(|cell| cell.view == View::Root) {
        let key = (
            cell.state,
            cell.sub_state.to_string(),
            cell.relation,
            cell.culprit.as_deref().cloned(),
        );
        *sums.entry(key).or_default() += cell.ns;
    }
    sums
}

fn totals(span: &SpanAttribution) -> Total {
    let cells = span.cells.iter().filter(|cell| cell.view == View::SelfView);
    cells
        .map(|cell| ((cell.layer.clone(), cell.state, cell.sub_state.to_string()), cell.ns))
        .collect()
}

#[test]
fn the_random_programs_have_time_in_libraries() {
    for layer in ["db", "cache", "http.client"] {
        let has_time = |seed| {
            let world = world_of(seed, 2, 12, 0);
            let result = world.attribute(&[world.record_all()]);
            let in_view = |view| {
                let mut cells = result.spans.iter().flat_map(|span| &span.cells);
                cells.any(|cell| cell.layer.as_str() == layer && cell.view == view)
            };
            in_view(View::SelfView) && in_view(View::Root)
        };
        assert!((0..10).all(has_time), "{layer}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i1_states_tile_the_life_of_each_task_and_so_does_what_recordings_show_of_them(
        world in worlds(16), parts in parts()
    ) {
        let windows = windows(&world, &parts);
        let analysis = world.analyze(&world.record(&windows));
        for task in &world.tasks {
            let states: Vec<&WorldState> = world.states.iter().filter(|state| state.task == task.id).collect();
            let mut at = UnixNanos(task.birth);
            for state in &states {
                prop_assert_eq!(state.interval.start(), at);
                at = state.interval.end();
                for instant in windows.iter().map(|window| window.start()).chain([state.interval.start()]) {
                    let known = analysis.timeline().covers(instant) && state.interval.contains(instant);
                    let found = analysis.timeline().state_at(TaskId(task.id), instant);
                    prop_assert!(!known || found == Some(state.state), "{:?} at {:?}", state, instant);
                }
            }
            prop_assert!(task.death.is_none_or(|death| UnixNanos(death) == at));
            for outside in [UnixNanos(task.birth - 1), at] {
                prop_assert_eq!(analysis.timeline().state_at(TaskId(task.id), outside), None);
            }
        }
    }

    #[test]
    fn i2_partition_pieces_tile_the_span_and_are_maximal(world in worlds(16), parts in parts()) {
        let analysis = world.analyze(&world.record(&windows(&world, &parts)));
        for span in &world.spans {
            let pieces = analysis.pieces(SpanKey::of(span)).unwrap();
            let mut at = span.interval.start();
            for piece in &pieces {
                prop_assert_eq!(piece.interval.start(), at);
                prop_assert!(!piece.interval.is_empty());
                at = piece.interval.end();
            }
            prop_assert_eq!(at, span.interval.end());
            for pair in pieces.windows(2) {
                let cell = |piece: &Piece| (piece.layer.clone(), piece.state, piece.sub_state.clone());
                prop_assert_ne!(cell(&pair[0]), cell(&pair[1]));
            }
        }
    }

    #[test]
    fn i3_i4_cells_are_positive_and_sum_to_the_duration(world in worlds(16), parts in parts()) {
        let recordings = world.record(&windows(&world, &parts));
        let analysis = world.analyze(&recordings);
        let result = analysis.attributed();
        prop_assert_eq!(&result.violations, &[]);
        prop_assert_eq!(result.spans.len(), world.spans.len());
        for span in &result.spans {
            prop_assert!(span.cells.iter().all(|cell| cell.ns > 0));
            for view in [View::SelfView, View::Root] {
                let cells = span.cells.iter().filter(|cell| cell.view == view);
                prop_assert_eq!(cells.map(|cell| cell.ns).sum::<i64>(), span.interval.duration_ns());
            }
            prop_assert_eq!(span.exact_ns + span.unknown_ns, span.interval.duration_ns());
            prop_assert!(span.exact_ns <= span.recorded_ns);
            let mut from_pieces = Total::new();
            for piece in analysis.pieces(key(span)).unwrap() {
                let cell = (piece.layer, piece.state, piece.sub_state.to_string());
                *from_pieces.entry(cell).or_default() += piece.interval.duration_ns();
            }
            prop_assert_eq!(totals(span), from_pieces);
        }
    }

    #[test]
    fn i5_evidence_every_known_piece_is_the_recorded_state_of_the_bound_task(world in worlds(16), parts in parts()) {
        let windows = windows(&world, &parts);
        let analysis = world.analyze(&world.record(&windows));
        for span in &world.spans {
            let stretches = analysis.stretches(SpanKey::of(span));
            for piece in analysis.pieces(SpanKey::of(span)).unwrap() {
                if stretches.is_empty() {
                    prop_assert_eq!(piece.state, State::Unknown);
                }
                if piece.state == State::Unknown {
                    continue;
                }
                let same = world.states.iter().filter(|state| state.state == piece.state && state.sub_state == *piece.sub_state);
                let shared: i64 = same.flat_map(|state| {
                    let there = stretches.iter().filter(|stretch| stretch.task.0 == state.task);
                    let there = there.filter_map(|stretch| stretch.interval.intersection(piece.interval));
                    there.filter_map(|part| state.interval.intersection(part)).map(Interval::duration_ns)
                }).sum();
                prop_assert_eq!(shared, piece.interval.duration_ns());
                let recorded = analysis.timeline().covered_ns(piece.interval);
                prop_assert_eq!(recorded, piece.interval.duration_ns());
            }
        }
    }

    #[test]
    fn stretches_tile_the_span_and_each_follows_from_a_wake_or_a_creation_by_the_one_before(
        world in worlds(16), parts in parts()
    ) {
        let analysis = world.analyze(&world.record(&windows(&world, &parts)));
        for span in &world.spans {
            let stretches = analysis.stretches(SpanKey::of(span));
            let Some((first, last)) = stretches.first().zip(stretches.last()) else { continue };
            prop_assert_eq!((first.interval.start(), last.interval.end()), (span.interval.start(), span.interval.end()));
            for pair in stretches.windows(2) {
                let (from, to) = (pair[0].task, pair[1].task);
                let at = pair[1].interval.start();
                prop_assert_eq!(pair[0].interval.end(), at);
                let created = world.tasks.iter().any(|task| {
                    task.id == to.0 && task.creator == Some(from.0) && task.birth == at.0
                });
                let woken = world.states.iter().any(|state| {
                    state.task == to.0 && state.interval.end() == at && state.waker == Waker::Task(from)
                });
                prop_assert!(created || woken, "{:?}", stretches);
            }
            let tasks: BTreeSet<TaskId> = stretches.iter().map(|stretch| stretch.task).collect();
            prop_assert_eq!(tasks.len(), stretches.len());
        }
    }

    #[test]
    fn i10_no_instant_of_a_task_is_owned_twice_and_the_innermost_span_owns(world in worlds(16), parts in parts()) {
        let analysis = world.analyze(&world.record(&windows(&world, &parts)));
        let depth = |span: &Span| {
            let parent = |span: &&Span| {
                let id = span.parent_span_id;
                world.spans.iter().find(|other| Some(other.span_id) == id && other.trace_id == span.trace_id)
            };
            std::iter::successors(Some(span), |span| parent(span)).count()
        };
        let mut bound: BTreeMap<TaskId, Vec<(&Span, Interval)>> = BTreeMap::new();
        for span in &world.spans {
            for Stretch { task, interval } in analysis.stretches(SpanKey::of(span)) {
                bound.entry(task).or_default().push((span, interval));
            }
        }
        for (task, stretches) in bound {
            let owned = analysis.owned(task);
            prop_assert!(owned.windows(2).all(|pair| pair[0].0.end() <= pair[1].0.start()));
            for (piece, owner) in &owned {
                let open = stretches.iter().filter(|(_, stretch)| stretch.contains(piece.start())).map(|(span, _)| span);
                let innermost = open.max_by_key(|span| (span.interval.start(), depth(span), SpanKey::of(span)));
                prop_assert_eq!(innermost.map(|span| SpanKey::of(span)), Some(*owner));
                prop_assert_eq!(analysis.owner_at(task, piece.start()), Some(*owner));
            }
            let mut ends: Vec<(i64, i64)> = stretches.iter().map(|(_, stretch)| (stretch.start().0, stretch.end().0)).collect();
            ends.sort_unstable();
            let mut union = 0;
            let mut reached = i64::MIN;
            for (start, end) in ends {
                union += (end - start.max(reached)).max(0);
                reached = reached.max(end);
            }
            prop_assert_eq!(owned.iter().map(|(piece, _)| piece.duration_ns()).sum::<i64>(), union);
        }
    }

    #[test]
    fn i11_cutting_intervals_and_recordings_changes_nothing(world in worlds(16), seed in any::<u64>()) {
        let whole = world.attribute(&world.record(&windows(&world, &[(0, 1000)])));
        let consecutive = windows(&world, &[(0, 300), (300, 420), (420, 1000)]);
        prop_assert_eq!(&world.attribute(&world.record(&consecutive)), &whole);
        let overlapping = windows(&world, &[(0, 300), (250, 420), (419, 1000)]);
        prop_assert_eq!(&world.attribute(&world.record(&overlapping)), &whole);

        let mut random = Random(seed);
        let mut cut = world.clone();
        cut.states = world.states.iter().flat_map(|state| cut_in_two(state, &mut random)).collect();
        prop_assert_eq!(&cut.attribute(&cut.record(&windows(&world, &[(0, 1000)]))), &whole);
    }

    #[test]
    fn i12_a_translation_in_time_and_the_order_of_arrival_change_nothing(
        world in worlds(16), parts in parts(), shift in -1_000_000_000_i64..1_000_000_000, seed in any::<u64>()
    ) {
        let recordings = world.record(&windows(&world, &parts));
        let result = world.attribute(&recordings);

        let moved = translated(&world, shift);
        let mut there = moved.attribute(&moved.record(&windows(&moved, &parts)));
        for span in &mut there.spans {
            span.interval = translate(span.interval, -shift);
            for on_task in span.on_task.iter_mut().chain(&mut span.handed_over) {
                on_task.interval = translate(on_task.interval, -shift);
            }
        }
        prop_assert_eq!(&there, &result);

        let mut random = Random(seed);
        let mut shuffled = world.clone();
        shuffle(&mut shuffled.spans, &mut random);
        let mut recordings = recordings;
        shuffle(&mut recordings, &mut random);
        prop_assert_eq!(&shuffled.attribute(&recordings), &result);
    }

    #[test]
    fn i12_other_trace_and_span_ids_change_nothing_but_the_ids(
        world in worlds(16), parts in parts(), seed in any::<u64>()
    ) {
        let windows = windows(&world, &parts);
        let result = world.attribute(&world.record(&windows));
        let renamed = with_other_ids(&world, seed | 1);
        let mut there = renamed.attribute(&renamed.record(&windows));
        let names: BTreeMap<SpanKey, SpanKey> =
            renamed.spans.iter().map(SpanKey::of).zip(world.spans.iter().map(SpanKey::of)).collect();
        for span in &mut there.spans {
            SpanKey { trace_id: span.trace_id, span_id: span.span_id } = names[&key(span)];
        }
        prop_assert_eq!(&there, &result);
    }

    #[test]
    fn i13_spans_and_recordings_that_arrive_twice_count_once(world in worlds(16), parts in parts()) {
        let mut recordings = world.record(&windows(&world, &parts));
        let result = world.attribute(&recordings);
        let mut twice = world.clone();
        twice.spans.extend(world.spans.iter().step_by(2).cloned());
        recordings.extend(recordings.clone());
        prop_assert_eq!(&twice.attribute(&recordings), &result);
    }

    /// With layers from stacks, time of a goroutine that gets ready to run is compared for all layers together: it
    /// stands where it waited, and if that wait is lost, nobody knows in which library.
    #[test]
    fn i14_losing_states_only_moves_time_to_unknown(world in worlds(16), seed in any::<u64>()) {
        let mut random = Random(seed);
        let mut world = world;
        pin(&mut world);
        let window = [world.extent()];
        let mut poorer = world.clone();
        poorer.states.retain(|_| random.chance(80));
        for with_stacks in [false, true] {
            let rules = if with_stacks { Rules::default() } else { without_stacks() };
            let ready_in_any_layer = |cells: Total| if with_stacks { over_layers(&cells, &[State::Runnable]) } else { cells };
            let all = world.attribute_by(&world.record(&window), &rules);
            let less = poorer.attribute_by(&poorer.record(&window), &rules);
            prop_assert_eq!(less.violations, []);
            for (all, less) in all.spans.iter().zip(&less.spans) {
                prop_assert_eq!(key(all), key(less));
                let before = ready_in_any_layer(totals(all));
                for (cell, ns) in ready_in_any_layer(totals(less)).into_iter().filter(|(cell, _)| cell.1 != State::Unknown) {
                    prop_assert!(ns <= before.get(&cell).copied().unwrap_or(0), "{:?} grew", cell);
                }
            }
        }
    }

    #[test]
    fn i17_layers_from_stacks_only_move_time_from_layer_to_layer(world in worlds(16), parts in parts()) {
        let recordings = world.record(&windows(&world, &parts));
        let with = world.attribute(&recordings);
        let without = world.attribute_by(&recordings, &without_stacks());
        for (with, without) in with.spans.iter().zip(&without.spans) {
            prop_assert_eq!(key(with), key(without));
            prop_assert_eq!(&with.layer, &without.layer);
            prop_assert_eq!(over_layers(&totals(with), &State::ALL), over_layers(&totals(without), &State::ALL));
            prop_assert_eq!(root_over_layers(with), root_over_layers(without));
        }
    }

    #[test]
    fn i15_a_shift_of_the_clock_moves_no_more_than_the_boundaries_allow(
        world in worlds(16), parts in parts(), shift_ns in -100_000..100_000_i64
    ) {
        let mut world = world;
        pin(&mut world);
        let recordings = world.record(&windows(&world, &parts));
        let mut shifted = world.clone();
        for span in &mut shifted.spans {
            span.interval = translate(span.interval, shift_ns);
        }
        let (before, after) = (world.attribute(&recordings).spans, shifted.attribute(&recordings).spans);
        let bindings = |spans: &[SpanAttribution]| spans.iter().map(|span| (key(span), span.binding)).collect::<BTreeMap<_, _>>();
        prop_assume!(bindings(&before) == bindings(&after));
        let after: BTreeMap<SpanKey, &SpanAttribution> = after.iter().map(|span| (key(span), span)).collect();
        for span in before {
            let (cells, other) = (totals(&span), totals(after[&key(&span)]));
            let all: std::collections::BTreeSet<_> = cells.keys().chain(other.keys()).collect();
            let ns = |of: &Total, cell| of.get(cell).copied().unwrap_or(0);
            let moved: i64 = all.into_iter().map(|cell| (ns(&cells, cell) - ns(&other, cell)).abs()).sum();
            match span.boundaries {
                Some(boundaries) => prop_assert!(moved <= 2 * shift_ns.abs() * (boundaries - 1)),
                None => prop_assert_eq!(moved, 0),
            }
        }
    }
}

/// Leaves the spans that are bound when all is recorded, and logs their ids, so that they stay bound to the same tasks. What
/// matches by being the only one may match otherwise when evidence changes.
pub(crate) fn pin(world: &mut World) {
    let truth: BTreeMap<SpanKey, TaskId> = {
        let analysis = world.analyze(&[world.record_all()]);
        let bound = world
            .spans
            .iter()
            .filter_map(|span| match analysis.binding(SpanKey::of(span)) {
                Some(Binding::Bound { task, .. }) => Some((SpanKey::of(span), task)),
                _ => None,
            });
        bound.collect()
    };
    world.spans.retain(|span| truth.contains_key(&SpanKey::of(span)));
    // Who ended them is not told, because they would be handed over by wakes that may be lost.
    world.user_tasks.clear();
    world.logs = (world.spans.iter())
        .map(|span| log_of(span, truth[&SpanKey::of(span)]))
        .collect();
}

/// Every trace id and span id is multiplied by an odd number, which no two share afterwards that did not before. So their
/// order is another one, too.
fn with_other_ids(world: &World, factor: u64) -> World {
    let trace_id = |id: TraceId| {
        let number = u128::from_be_bytes(*id.as_bytes());
        TraceId::new(number.wrapping_mul(u128::from(factor)).to_be_bytes())
    };
    let span_id = |id: SpanId| SpanId::new(u64::from_be_bytes(*id.as_bytes()).wrapping_mul(factor).to_be_bytes());
    let mut renamed = world.clone();
    for span in &mut renamed.spans {
        span.trace_id = trace_id(span.trace_id);
        span.span_id = span_id(span.span_id);
        span.parent_span_id = span.parent_span_id.map(span_id);
    }
    for log in &mut renamed.logs {
        let (trace, span) = log.message.split_at(TraceId::LEN);
        let trace = trace_id(TraceId::from_slice(trace).unwrap());
        let span = span_id(SpanId::from_slice(span).unwrap());
        log.message = [&trace.as_bytes()[..], span.as_bytes()].concat();
    }
    renamed
}

fn cut_in_two(state: &WorldState, random: &mut Random) -> Vec<WorldState> {
    let (start, end) = (state.interval.start().0, state.interval.end().0);
    let middle = random.between(start, end);
    [(start, middle), (middle, end)]
        .into_iter()
        .filter(|(start, end)| start < end)
        .map(|(start, cut)| WorldState {
            interval: interval(start, cut),
            waker: if cut == end { state.waker } else { Waker::None },
            ..state.clone()
        })
        .collect()
}

fn translate(time: Interval, shift: i64) -> Interval {
    interval(time.start().0 + shift, time.end().0 + shift)
}

fn translated(world: &World, shift: i64) -> World {
    let mut moved = world.clone();
    for task in &mut moved.tasks {
        task.birth += shift;
        task.death = task.death.map(|death| death + shift);
    }
    moved
        .states
        .iter_mut()
        .for_each(|state| state.interval = translate(state.interval, shift));
    for user_task in &mut moved.user_tasks {
        user_task.begin.1 += shift;
        user_task.end = user_task.end.map(|(task, at)| (task, at + shift));
    }
    moved.logs.iter_mut().for_each(|log| log.at += shift);
    moved.samples.iter_mut().for_each(|sample| sample.at += shift);
    moved
        .spans
        .iter_mut()
        .for_each(|span| span.interval = translate(span.interval, shift));
    moved
}

fn shuffle<T>(items: &mut [T], random: &mut Random) {
    for last in (1..items.len()).rev() {
        let other = usize::try_from(random.below(u64::try_from(last + 1).unwrap())).unwrap();
        items.swap(last, other);
    }
}
