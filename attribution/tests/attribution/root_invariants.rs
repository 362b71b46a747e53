//! Invariants of the root view over random programs, named as in the definition.

use std::collections::BTreeMap;

use proptest::prelude::*;
use spandrel_attribution::*;
use spandrel_model::*;

use crate::invariants::{log_of, parts, pin, windows, world_of, worlds};
use crate::oracle::{Answer, Known, Oracle};
use crate::random::Random;
use crate::world::{World, interval};

/// The task that the span is on at `at`.
fn bound_at(analysis: &Analysis<'_>, span: &Span, at: UnixNanos) -> Option<u64> {
    let stretches = analysis.stretches(SpanKey::of(span));
    let there = stretches.iter().find(|stretch| stretch.interval.contains(at));
    there.map(|stretch| stretch.task.0)
}

fn answer_of(piece: &RootPiece) -> Answer {
    Answer {
        layer: piece.cell.layer.clone(),
        state: piece.cell.state,
        sub_state: piece.cell.sub_state.to_string(),
        relation: piece.cell.relation,
        culprit: piece.cell.culprit.as_deref().cloned(),
        task: piece.task.map_or(0, |task| task.0),
        depth: usize::try_from(piece.depth).unwrap(),
    }
}

/// What the task at the end of the chain did.
fn state_of(piece: &RootPiece) -> State {
    piece
        .cell
        .culprit
        .as_ref()
        .map_or(piece.cell.state, |culprit| culprit.state)
}

fn sum(cells: &[Cell], view: View, wanted: impl Fn(&Cell) -> bool) -> i64 {
    let cells = cells.iter().filter(|cell| cell.view == view && wanted(cell));
    cells.map(|cell| cell.ns).sum()
}

/// The cells of a view without the view.
fn cells(span: &SpanAttribution, view: View) -> Vec<Cell> {
    let cells = span.cells.iter().filter(|cell| cell.view == view);
    cells
        .map(|cell| Cell {
            view: View::Root,
            ..cell.clone()
        })
        .collect()
}

fn limited(world: &World, windows: &[Interval], chain_limit: u32) -> Attributed {
    let recordings = world.record(windows);
    let rules = Rules {
        chain_limit,
        ..Rules::default()
    };
    attribute(&world.process_spans(), &recordings.iter().collect::<Vec<_>>(), &rules)
}

#[test]
fn the_random_programs_have_chains_of_every_kind() {
    let mut seen: BTreeMap<Relation, i64> = BTreeMap::new();
    let (mut deepest, mut unborn) = (0, false);
    for seed in 0..40 {
        let world = world_of(seed, 2, 12, 0);
        let all = [world.extent()];
        let analysis = world.analyze(&world.record(&all));
        let oracle = Oracle::new(&world, &all, &analysis);
        for span in &world.spans {
            for piece in analysis.root_pieces(SpanKey::of(span)).unwrap() {
                *seen.entry(piece.cell.relation).or_default() += 1;
                deepest = deepest.max(piece.depth);
                let at = piece.interval.start();
                let links = bound_at(&analysis, span, at).map(|task| oracle.chain(task, at).links);
                unborn |= links.is_some_and(|links| links.iter().any(|link| link.1.is_none()));
            }
        }
    }
    assert!(seen.len() == 4 && seen.values().all(|pieces| *pieces > 100), "{seen:?}");
    assert!(deepest >= 4 && unborn, "{deepest} {unborn}");
}

#[test]
fn what_is_summed_up_is_what_the_walk_finds() {
    let mut summed = 0;
    for seed in 0..6 {
        let world = world_of(3 * seed + seed % 3, 4, 150, 5);
        for chain_limit in [64, 2] {
            let all = [world.extent()];
            summed += limited(&world, &all, chain_limit).walks.summed;
            assert_root_cells_are_the_sums_of_the_pieces(&world, &all, chain_limit);
        }
        let with_gaps = windows(&world, &[(0, 350), (330, 600), (750, 1000)]);
        assert_root_cells_are_the_sums_of_the_pieces(&world, &with_gaps, 64);
    }
    assert!(summed > 100, "{summed}");
}

fn assert_root_cells_are_the_sums_of_the_pieces(world: &World, windows: &[Interval], chain_limit: u32) {
    let recordings = world.record(windows);
    let rules = Rules {
        chain_limit,
        ..Rules::default()
    };
    let analysis = Analysis::new(&world.process_spans(), &recordings.iter().collect::<Vec<_>>(), &rules);
    let result = analysis.attributed();
    assert_eq!(result.violations, []);
    for span in &result.spans {
        let key = SpanKey {
            trace_id: span.trace_id,
            span_id: span.span_id,
        };
        let mut from_pieces: Vec<Cell> = Vec::new();
        for piece in analysis.root_pieces(key).unwrap() {
            let without_time = |cell: &Cell| Cell { ns: 0, ..cell.clone() };
            let same = |cell: &&mut Cell| without_time(cell) == without_time(&piece.cell);
            match from_pieces.iter_mut().find(same) {
                Some(cell) => cell.ns += piece.cell.ns,
                None => from_pieces.push(piece.cell),
            }
        }
        let root = cells(span, View::Root);
        assert!(
            root.iter().all(|cell| from_pieces.contains(cell)),
            "{root:?} {from_pieces:?}"
        );
        assert_eq!(root.len(), from_pieces.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i2_partition_root_pieces_tile_the_span_and_are_maximal(world in worlds(16), parts in parts()) {
        let analysis = world.analyze(&world.record(&windows(&world, &parts)));
        for span in &world.spans {
            let pieces = analysis.root_pieces(SpanKey::of(span)).unwrap();
            let mut at = span.interval.start();
            for piece in &pieces {
                prop_assert_eq!(piece.interval.start(), at);
                prop_assert!(!piece.interval.is_empty());
                prop_assert_eq!(piece.cell.ns, piece.interval.duration_ns());
                at = piece.interval.end();
            }
            prop_assert_eq!(at, span.interval.end());
            prop_assert!(pieces.windows(2).all(|pair| answer_of(&pair[0]) != answer_of(&pair[1])));
        }
    }

    #[test]
    fn i3_i4_root_cells_are_positive_distinct_and_the_sums_of_the_pieces(world in worlds(16), parts in parts()) {
        let windows = windows(&world, &parts);
        assert_root_cells_are_the_sums_of_the_pieces(&world, &windows, 64);
        for span in &world.attribute(&world.record(&windows)).spans {
            for cell in &cells(span, View::Root) {
                prop_assert!(cell.ns > 0);
                prop_assert_eq!(cell.culprit.is_some(), cell.relation == Relation::Interference);
                prop_assert_eq!(cell.culprit.is_some(), cell.state == State::BlockedOnOther);
                let is_known = cell.evidence == Evidence::Exact;
                prop_assert_eq!(!is_known, cell.state == State::Unknown);
            }
        }
    }

    #[test]
    fn i5_evidence_every_known_root_piece_is_the_recorded_state_of_its_task(world in worlds(16), parts in parts()) {
        let analysis = world.analyze(&world.record(&windows(&world, &parts)));
        for span in &world.spans {
            for piece in analysis.root_pieces(SpanKey::of(span)).unwrap() {
                if piece.cell.state == State::Unknown {
                    continue;
                }
                let task = piece.task.unwrap().0;
                let states = world.states.iter().filter(|state| state.task == task && state.state == state_of(&piece));
                let shared = states.filter_map(|state| state.interval.intersection(piece.interval));
                prop_assert_eq!(shared.map(Interval::duration_ns).sum::<i64>(), piece.interval.duration_ns());
                prop_assert_eq!(analysis.timeline().covered_ns(piece.interval), piece.interval.duration_ns());
            }
        }
    }

    #[test]
    fn the_self_view_has_at_every_instant_the_layer_of_the_definition(world in worlds(8), parts in parts()) {
        let windows = windows(&world, &parts);
        let analysis = world.analyze(&world.record(&windows));
        let oracle = Oracle::new(&world, &windows, &analysis);
        for span in &world.spans {
            let pieces = analysis.pieces(SpanKey::of(span)).unwrap();
            for at in oracle.boundaries(span.interval) {
                let Some(task) = bound_at(&analysis, span, at) else { continue };
                let piece = &pieces[pieces.partition_point(|piece| piece.interval.end() <= at)];
                prop_assert_eq!(&piece.layer, &oracle.self_layer(task, at), "{:?} at {:?}", piece, at);
            }
        }
    }

    #[test]
    fn the_walk_says_at_every_instant_what_the_definition_says(
        world in worlds(6), parts in parts(), chain_limit in prop_oneof![Just(64_usize), 0_usize..4]
    ) {
        let windows = windows(&world, &parts);
        let recordings = world.record(&windows);
        let rules = Rules { chain_limit: u32::try_from(chain_limit).unwrap(), ..Rules::default() };
        let analysis = Analysis::new(&world.process_spans(), &recordings.iter().collect::<Vec<_>>(), &rules);
        let mut oracle = Oracle::new(&world, &windows, &analysis);
        oracle.chain_limit = chain_limit;
        for span in &world.spans {
            let pieces = analysis.root_pieces(SpanKey::of(span)).unwrap();
            for at in oracle.boundaries(span.interval) {
                let Some(task) = bound_at(&analysis, span, at) else { continue };
                let piece = &pieces[pieces.partition_point(|piece| piece.interval.end() <= at)];
                prop_assert_eq!(answer_of(piece), oracle.answer(span, task, at), "{:?} of {:?}", at, span);
            }
        }
    }

    #[test]
    fn i6_maximality_no_root_piece_ends_in_a_wait_that_a_known_task_ended(world in worlds(16)) {
        let all = [world.extent()];
        let analysis = world.analyze(&world.record(&all));
        for span in &world.spans {
            for piece in analysis.root_pieces(SpanKey::of(span)).unwrap() {
                let same = |task| piece.task == Some(TaskId(task));
                let state = world.states.iter().find(|state| same(state.task) && state.interval.contains(piece.interval.start()));
                let waker = state.filter(|_| piece.cell.state != State::Unknown).map(|state| state.waker);
                prop_assert!(!matches!(waker, Some(Waker::Task(_))), "{:?}", piece);
            }
        }
    }

    #[test]
    fn i7_termination_times_of_wakes_fall_along_every_chain_and_pieces_are_few(world in worlds(6)) {
        let all = [world.extent()];
        let analysis = world.analyze(&world.record(&all));
        let oracle = Oracle::new(&world, &all, &analysis);
        prop_assert_eq!(analysis.attributed().walks.contradictions, 0);
        for span in &world.spans {
            let boundaries = oracle.boundaries(span.interval);
            prop_assert!(analysis.root_pieces(SpanKey::of(span)).unwrap().len() <= boundaries.len());
            for at in boundaries {
                let Some(task) = bound_at(&analysis, span, at) else { continue };
                let links = oracle.chain(task, at).links;
                let acts = links[..links.len() - 1].iter().map(|link| link.2);
                let acts: Vec<i64> = acts.collect();
                prop_assert!(acts.iter().all(|act| *act > at.0));
                prop_assert!(acts.windows(2).all(|pair| pair[0] > pair[1]), "{:?}", acts);
            }
        }
    }

    /// Wakes also tell how a span was handed over; where one was, all spans are bound by logs to where they started. A
    /// span that is not bound has no self view that its root view could be.
    #[test]
    fn i8_without_wakes_the_root_view_is_the_self_view_which_they_do_not_change(world in worlds(16), parts in parts()) {
        let windows = windows(&world, &parts);
        let mut world = world;
        let is_handed_over = |span: &SpanAttribution| !span.handed_over.is_empty();
        if world.attribute(&world.record(&windows)).spans.iter().any(is_handed_over) {
            pin(&mut world);
        }
        let full = world.attribute(&world.record(&windows));
        let mut severed = world.clone();
        severed.states.iter_mut().for_each(|state| state.waker = Waker::None);
        for without_creators in [false, true] {
            if without_creators {
                severed.tasks.iter_mut().for_each(|task| task.creator = None);
            }
            let result = severed.attribute(&severed.record(&windows));
            for (span, with_wakes) in result.spans.iter().zip(&full.spans) {
                prop_assert_eq!(cells(span, View::SelfView), cells(with_wakes, View::SelfView));
                let Binding::Bound { .. } = span.binding else { continue };
                // Before a goroutine is born, its creator has not got round to creating it.
                let dead = UnknownReason::TaskNotAlive.as_str();
                if without_creators || sum(&span.cells, View::SelfView, |cell| &*cell.sub_state == dead) == 0 {
                    prop_assert_eq!(cells(span, View::Root), cells(span, View::SelfView));
                }
            }
        }
    }

    #[test]
    fn i9_any_limit_of_chains_conserves_and_a_longer_one_truncates_less(world in worlds(16), parts in parts()) {
        let windows = windows(&world, &parts);
        let mut before: Option<Vec<i64>> = None;
        for chain_limit in [0, 1, 2, 3, 64] {
            let result = limited(&world, &windows, chain_limit);
            prop_assert_eq!(&result.violations, &[]);
            prop_assert!(result.walks.depth_max <= chain_limit);
            for span in &result.spans {
                let word = UnknownReason::ChainTooLong.as_str();
                prop_assert_eq!(span.truncated_ns, sum(&span.cells, View::Root, |cell| &*cell.sub_state == word));
            }
            let truncated: Vec<i64> = result.spans.iter().map(|span| span.truncated_ns).collect();
            if let Some(before) = before {
                prop_assert!(truncated.iter().zip(&before).all(|(now, before)| now <= before));
            }
            before = Some(truncated);
        }
    }

    #[test]
    fn i10_owners_bound_and_inherited_are_those_of_the_definition(world in worlds(6), parts in parts()) {
        let windows = windows(&world, &parts);
        let analysis = world.analyze(&world.record(&windows));
        let oracle = Oracle::new(&world, &windows, &analysis);
        for task in analysis.timeline().tasks() {
            for at in oracle.boundaries(world.extent()) {
                let owner = oracle.owner(task.id.0, at).map(SpanKey::of);
                prop_assert_eq!(analysis.owner_at(task.id, at), owner);
            }
        }
    }

    /// What spans own is counted by the pieces, what they do not by the stretches and inheritance.
    #[test]
    fn i10_owned_and_inherited_time_and_that_of_helpers_sum_to_the_life_of_a_task(world in worlds(6), parts in parts()) {
        let windows = windows(&world, &parts);
        let analysis = world.analyze(&world.record(&windows));
        let oracle = Oracle::new(&world, &windows, &analysis);
        let extent = world.extent();
        for task in &world.tasks {
            let life = interval(task.birth, task.death.unwrap_or(extent.end().0));
            let id = TaskId(task.id);
            let owned = analysis.owned(id).into_iter().filter_map(|(piece, _)| piece.intersection(life));
            let owned_ns: i64 = owned.map(Interval::duration_ns).sum();
            let (mut inherited_ns, mut helper_ns) = (0, 0);
            let mut instants = oracle.boundaries(life);
            instants.push(life.end());
            for pair in instants.windows(2) {
                let is_on_task = |span: &Span| bound_at(&analysis, span, pair[0]) == Some(task.id);
                match analysis.owner_at(id, pair[0]) {
                    None => helper_ns += pair[1].since(pair[0]),
                    Some(_) if !world.spans.iter().any(is_on_task) => inherited_ns += pair[1].since(pair[0]),
                    Some(_) => {}
                }
            }
            prop_assert_eq!(owned_ns + inherited_ns + helper_ns, life.duration_ns(), "{:?}", task);
        }
    }

    #[test]
    fn i12_other_goroutine_ids_change_no_cell(world in worlds(16), parts in parts()) {
        let windows = windows(&world, &parts);
        let result = world.attribute(&world.record(&windows));
        let mut renamed = world.clone();
        let rename = |id: u64| (id ^ 0b1011) * 3;
        for task in &mut renamed.tasks {
            task.id = rename(task.id);
            task.creator = task.creator.map(rename);
        }
        for state in &mut renamed.states {
            state.task = rename(state.task);
            if let Waker::Task(waker) = state.waker {
                state.waker = Waker::Task(TaskId(rename(waker.0)));
            }
        }
        for user_task in &mut renamed.user_tasks {
            user_task.begin.0 = rename(user_task.begin.0);
            user_task.end = user_task.end.map(|(task, at)| (rename(task), at));
        }
        renamed.logs.iter_mut().for_each(|log| log.task = rename(log.task));
        renamed.samples.iter_mut().for_each(|sample| sample.task = rename(sample.task));
        let there = renamed.attribute(&renamed.record(&windows));
        for (here, there) in result.spans.iter().zip(&there.spans) {
            prop_assert_eq!(&here.cells, &there.cells);
        }
    }

    /// Up the chain means: what is found is what a task on the full chain did. Its layer and relation are those that
    /// the definition gives where so little is known, and may be others than before, because the chain ends earlier.
    #[test]
    fn i14_losing_states_and_wakes_moves_root_time_to_unknown_or_up_the_chain(world in worlds(6), seed in any::<u64>()) {
        let mut random = Random(seed);
        let mut world = world;
        let truth: BTreeMap<SpanKey, u64> = {
            let analysis = world.analyze(&[world.record_all()]);
            let start = |span: &Span| bound_at(&analysis, span, span.interval.start());
            // By the other clock a span may start before anything is recorded, and then its log would not be.
            let recorded = world.spans.iter().filter(|span| world.extent().contains(span.interval.start()));
            let bound = recorded.filter_map(|span| Some((SpanKey::of(span), start(span)?)));
            bound.collect()
        };
        world.spans.retain(|span| truth.contains_key(&SpanKey::of(span)));
        let pinned = world.spans.iter().map(|span| log_of(span, TaskId(truth[&SpanKey::of(span)])));
        world.logs = pinned.collect();
        // Who ended them is not told, because they would be handed over by wakes that may be lost.
        world.user_tasks.clear();
        let all = [world.extent()];
        let analysis = world.analyze(&world.record(&all));
        let oracle = Oracle::new(&world, &all, &analysis);
        let mut poorer = world.clone();
        poorer.states.retain(|_| random.chance(90));
        for state in poorer.states.iter_mut().filter(|_| random.chance(20)) {
            state.waker = Waker::None;
        }
        let poorer_analysis = poorer.analyze(&poorer.record(&all));
        let poorer_oracle = Oracle::new(&poorer, &all, &poorer_analysis);
        for span in &world.spans {
            let task = truth[&SpanKey::of(span)];
            let pieces = poorer_analysis.root_pieces(SpanKey::of(span)).unwrap();
            for at in oracle.boundaries(span.interval) {
                let piece = &pieces[pieces.partition_point(|piece| piece.interval.end() <= at)];
                prop_assert_eq!(answer_of(piece), poorer_oracle.answer(span, task, at));
                if piece.cell.state == State::Unknown {
                    continue;
                }
                let chain = oracle.chain(task, at).links;
                let link = chain.iter().find(|link| piece.task == Some(TaskId(link.0)));
                let state = link.and_then(|link| match &link.1 {
                    Some(Known::State(state, _)) => Some(*state),
                    _ => None,
                });
                prop_assert_eq!(state, Some(state_of(piece)), "{:?} at {:?}: {:?}", piece, at, chain);
            }
        }
    }

    #[test]
    fn i23_what_victims_lose_is_what_culprits_cause(world in worlds(6), parts in parts()) {
        let windows = windows(&world, &parts);
        let analysis = world.analyze(&world.record(&windows));
        let result = analysis.attributed();
        let is_bound = |span: &&SpanAttribution| matches!(span.binding, Binding::Bound { .. });
        let bound = result.spans.iter().filter(is_bound);
        let mut matrix = Matrix::new(std::num::NonZeroI64::MAX);
        bound.clone().for_each(|span| matrix.add(span));
        let rows = matrix.tables().interference;
        let requests = bound.filter(|span| span.is_request);
        let lost: i64 = requests
            .clone()
            .map(|span| sum(&span.cells, View::Root, |cell| cell.state == State::BlockedOnOther))
            .sum();
        prop_assert_eq!(rows.iter().map(|row| row.ns).sum::<i64>(), lost);

        let oracle = Oracle::new(&world, &windows, &analysis);
        let mut caused: BTreeMap<(String, State), i64> = BTreeMap::new();
        for request in requests {
            let key = SpanKey { trace_id: request.trace_id, span_id: request.span_id };
            let span = world.spans.iter().find(|span| SpanKey::of(span) == key).unwrap();
            let mut instants = oracle.boundaries(span.interval);
            instants.push(span.interval.end());
            for pair in instants.windows(2) {
                let Some(task) = bound_at(&analysis, span, pair[0]) else { continue };
                if let Some(culprit) = oracle.answer(span, task, pair[0]).culprit {
                    *caused.entry((culprit.operation.to_string(), culprit.state)).or_default() += pair[1].since(pair[0]);
                }
            }
        }
        let mut by_culprit: BTreeMap<(String, State), i64> = BTreeMap::new();
        for row in rows {
            *by_culprit.entry((row.culprit.operation.to_string(), row.culprit.state)).or_default() += row.ns;
        }
        prop_assert_eq!(by_culprit, caused);
    }
}
