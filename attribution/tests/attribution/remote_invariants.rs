//! Invariants of calls between processes over random programs. Every server runs in a process and on a host of its own,
//! whose clock is off by up to a second.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use spandrel_attribution::*;
use spandrel_model::*;

use crate::invariants::log_of;
use crate::random::Random;
use crate::simulator::{Setup, Unusual, simulate};
use crate::world::World;

/// Random programs that call each other; the first one is called by nobody.
fn programs() -> impl Strategy<Value = Vec<World>> {
    any::<u64>().prop_map(|seed| {
        let mut random = Random(seed);
        let mut worlds = Vec::new();
        let requests = 1 + random.below(6);
        let (mut first, truth) = program(&mut random, requests, 0);
        call(&mut random, &mut first, &mut worlds, 0);
        log(&mut random, &mut first, &truth);
        worlds.insert(0, first);
        worlds
    })
}

fn program(random: &mut Random, requests: u64, number: usize) -> (World, Vec<TaskId>) {
    let setup = Setup {
        seed: random.next(),
        processors: 2,
        requests,
        renamed_percent: 0,
        lost_percent: 0,
        servers: random.below(3),
        unusual: Unusual {
            handed_over: 10 * random.below(2),
            after_the_fact: 10 * random.below(2),
            ..Unusual::default()
        },
    };
    let simulation = simulate(setup);
    let mut world = simulation.world;
    world.process = Arc::new(ProcessIdentity {
        service_name: Arc::from(format!("service {number}")),
        host_name: Some(Arc::from(format!("host {number}"))),
        ..ProcessIdentity::default()
    });
    for span in &mut world.spans {
        span.process = world.process.clone();
    }
    (world, simulation.truth)
}

/// Makes clients of some spans of `world`, whose servers go to `worlds`.
fn call(random: &mut Random, world: &mut World, worlds: &mut Vec<World>, depth: u32) {
    for span in world.spans.iter_mut().filter(|span| span.kind == SpanKind::Internal) {
        if depth >= 3 || worlds.len() > 8 || !random.chance(50) {
            continue;
        }
        span.kind = SpanKind::Client;
        for _ in 0..1 + random.below(5) / 4 {
            let (mut server, truth) = program(random, 1, worlds.len() + 1);
            let first = server.spans.iter().position(|span| &*span.name == "HTTP").unwrap();
            let room = span.interval.duration_ns() - server.spans[first].interval.duration_ns();
            let starts_at = span.interval.start().0 + random.between(0, room.max(0));
            let clock_ns = random.between(-1_000_000_000, 1_000_000_000);
            let delta_ns = starts_at - server.spans[first].interval.start().0 + clock_ns;
            shift(&mut server, delta_ns);
            server.spans[first].parent_span_id = Some(span.span_id);
            for inner in &mut server.spans {
                inner.trace_id = span.trace_id;
            }
            let place = worlds.len();
            worlds.push(World::default());
            call(random, &mut server, worlds, depth + 1);
            log(random, &mut server, &truth);
            worlds[place] = server;
        }
    }
}

/// Has the ids of half of the spans logged; some spans lose their user tasks and so are not bound.
fn log(random: &mut Random, world: &mut World, truth: &[TaskId]) {
    for (span, task) in world.spans.iter().zip(truth) {
        if random.chance(50) {
            world.logs.push(log_of(span, *task));
        }
    }
    world.user_tasks.retain(|_| random.chance(80));
}

fn shift(world: &mut World, delta_ns: i64) {
    for state in &mut world.states {
        state.interval = state.interval.shifted(delta_ns);
    }
    for task in &mut world.tasks {
        task.birth += delta_ns;
        task.death = task.death.map(|death| death + delta_ns);
    }
    for user_task in &mut world.user_tasks {
        user_task.begin.1 += delta_ns;
        user_task.end = user_task.end.map(|(task, at)| (task, at + delta_ns));
    }
    world.logs.iter_mut().for_each(|log| log.at += delta_ns);
    for span in &mut world.spans {
        span.interval = span.interval.shifted(delta_ns);
    }
}

/// One recording of each program, or none of every fourth.
fn recordings(worlds: &[World]) -> Vec<Vec<TaskRecording>> {
    let record = |(number, world): (usize, &World)| match number % 4 {
        2 => Vec::new(),
        _ => vec![world.record_all()],
    };
    worlds.iter().enumerate().map(record).collect()
}

fn inputs<'a>(worlds: &'a [World], recordings: &'a [Vec<TaskRecording>]) -> Vec<ProcessInput<'a>> {
    let inputs = worlds.iter().zip(recordings).map(|(world, recordings)| ProcessInput {
        spans: world.process_spans(),
        recordings: recordings.iter().collect(),
        cpu_profiles: Vec::new(),
    });
    inputs.collect()
}

fn by_key(results: &[Attributed]) -> BTreeMap<SpanKey, &SpanAttribution> {
    let spans = results.iter().flat_map(|result| &result.spans);
    spans
        .map(|span| {
            (
                SpanKey {
                    trace_id: span.trace_id,
                    span_id: span.span_id,
                },
                span,
            )
        })
        .collect()
}

fn view(span: &SpanAttribution, view: View) -> Vec<&Cell> {
    span.cells.iter().filter(|cell| cell.view == view).collect()
}

fn sum_of(pieces: &[RootPiece]) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    for RootPiece { cell: piece, .. } in pieces {
        let same = |cell: &&mut Cell| {
            Cell {
                ns: piece.ns,
                ..(*cell).clone()
            } == *piece
        };
        match cells.iter_mut().find(same) {
            Some(cell) => cell.ns += piece.ns,
            None => cells.push(piece.clone()),
        }
    }
    cells
}

fn without_time(cell: &Cell) -> (Layer, State, Relation, Option<Culprit>, Evidence) {
    (
        cell.layer.clone(),
        cell.state,
        cell.relation,
        cell.culprit.as_deref().cloned(),
        cell.evidence,
    )
}

#[test]
fn the_random_programs_call_each_other_in_every_way() {
    let mut counts = CallCounts::default();
    let (mut remote_ns, mut in_flight_ns, mut inferred_ns, mut nested) = (0, 0, 0, false);
    let mut divided = 0;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..150 {
        let worlds = programs().new_tree(&mut runner).unwrap().current();
        let recordings = recordings(&worlds);
        for result in attribute_together(&inputs(&worlds, &recordings), &Rules::default()) {
            counts.servers += result.calls.servers;
            counts.detached += result.calls.detached;
            divided += result.spans.iter().filter(|span| span.in_flight.is_some()).count();
            for cell in result.spans.iter().flat_map(|span| &span.cells) {
                remote_ns += if cell.relation == Relation::Remote { cell.ns } else { 0 };
                in_flight_ns += if &*cell.sub_state == "in_flight" { cell.ns } else { 0 };
                inferred_ns += if cell.evidence == Evidence::Inferred {
                    cell.ns
                } else {
                    0
                };
                nested |= cell.relation == Relation::Remote && &*cell.sub_state == "in_flight";
            }
        }
    }
    assert!(
        counts.detached > 20 && counts.servers > counts.detached + 20,
        "{counts:?}"
    );
    let seen = (remote_ns, in_flight_ns, inferred_ns);
    assert!(
        remote_ns > 0 && in_flight_ns > 0 && inferred_ns > 0 && nested && divided > 20,
        "{seen:?} {nested} {divided}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i2_i3_i4_views_conserve_and_root_cells_are_the_sums_of_pieces_that_tile_the_span(worlds in programs()) {
        let recordings = recordings(&worlds);
        for (analysis, world) in analyze_together(&inputs(&worlds, &recordings), &Rules::default()).iter().zip(&worlds) {
            let result = analysis.attributed();
            prop_assert_eq!(&result.violations, &[]);
            prop_assert_eq!(result.spans.len(), world.spans.len());
            for span in &result.spans {
                let key = SpanKey { trace_id: span.trace_id, span_id: span.span_id };
                let pieces = analysis.root_pieces(key).unwrap();
                let mut at = span.interval.start();
                for piece in &pieces {
                    prop_assert_eq!((piece.interval.start(), piece.cell.ns), (at, piece.interval.duration_ns()));
                    prop_assert!(piece.cell.ns > 0);
                    at = piece.interval.end();
                }
                prop_assert_eq!(at, span.interval.end());
                let (cells, sums) = (view(span, View::Root), sum_of(&pieces));
                prop_assert_eq!(cells.len(), sums.len());
                prop_assert!(cells.iter().all(|cell| sums.contains(cell)), "{:?} {:?}", cells, sums);
            }
        }
    }

    #[test]
    fn i16_what_servers_did_stands_in_network_waits_only_and_nothing_else_changes(worlds in programs()) {
        let recordings = recordings(&worlds);
        let together = analyze_together(&inputs(&worlds, &recordings), &Rules::default());
        for ((analysis, world), recordings) in together.iter().zip(&worlds).zip(&recordings) {
            let alone = world.analyze(recordings);
            for span in &world.spans {
                let key = SpanKey::of(span);
                prop_assert_eq!(analysis.pieces(key), alone.pieces(key));
                let Some(Binding::Bound { .. }) = alone.binding(key) else { continue };
                let before = alone.root_pieces(key).unwrap();
                for piece in analysis.root_pieces(key).unwrap() {
                    let first = before.partition_point(|before| before.interval.end() <= piece.interval.start());
                    let shared = before[first..].iter().take_while(|before| before.interval.start() < piece.interval.end());
                    for before in shared {
                        let own = matches!(before.cell.relation, Relation::Same | Relation::Helper);
                        let is_wait = before.cell.state == State::Network && own;
                        match piece.cell.relation {
                            Relation::Remote => prop_assert!(is_wait, "{:?} for {:?}", piece, before),
                            _ => prop_assert_eq!(without_time(&piece.cell), without_time(&before.cell)),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn i16_what_is_in_flight_is_the_wait_less_the_server(
        waits in prop::collection::vec((1_000_i64..50_000, 1_000_i64..50_000), 1..6),
        (server_from, server_to) in (0_i64..300_000, 0_i64..300_000),
        clock_ns in -1_000_000_i64..1_000_000,
    ) {
        let mut at = 0;
        let mut states = Vec::new();
        for (run, wait) in &waits {
            states.push(format!("run {at}..{}, net {}..{} by ext", at + run, at + run, at + run + wait));
            at += run + wait;
        }
        let waited: i64 = waits.iter().map(|(_, wait)| wait).sum();
        let (from, to) = (server_from.min(server_to).min(at), server_from.max(server_to).min(at));
        let timeline = format!(
            "host a | g1: {} | span call on g1 kind client: 0..{at}
             || host b | g1: syscall {}..{} | span serve in call on g1 kind server: {}..{}",
            states.join(", "), clock_ns - 1_000_000, clock_ns + 1_000_000, clock_ns + from, clock_ns + to,
        );
        let scenes = crate::text::parse_together(&timeline);
        let result = crate::text::attribute_scenes(&scenes);
        let call = result.spans.iter().find(|span| &*span.operation == "call").unwrap();
        let ns = |wanted: &dyn Fn(&Cell) -> bool| -> i64 {
            view(call, View::Root).into_iter().filter(|cell| wanted(cell)).map(|cell| cell.ns).sum()
        };
        let in_flight = ns(&|cell| &*cell.sub_state == "in_flight");
        let remote = ns(&|cell| cell.relation == Relation::Remote);
        prop_assert_eq!(in_flight + remote, waited);
        prop_assert!(waited - (to - from) <= in_flight && in_flight <= waited);
        prop_assert!(call.offset_lo_ns.unwrap() <= clock_ns && clock_ns <= call.offset_hi_ns.unwrap());
        // Wherever within the one long wait the server was.
        if waits.len() == 1 && to - from <= waited - waits[0].0 {
            prop_assert_eq!(in_flight, waited - (to - from));
        }
    }

    #[test]
    fn i16_wherever_the_clock_is_what_is_in_flight_and_the_request_lie_in_their_ranges_which_are_no_wider(
        waits in prop::collection::vec((1_i64..5_000, 1_i64..5_000), 1..6),
        (server_from, server_to) in (0_i64..30_000, 0_i64..30_000),
        clock_ns in -1_000_000_i64..1_000_000,
        is_one_host in any::<bool>(),
    ) {
        let clock_ns = if is_one_host { 0 } else { clock_ns };
        let (mut at, mut states, mut waited) = (0, Vec::new(), Vec::new());
        for (run, wait) in &waits {
            states.push(format!("run {at}..{}, net {}..{} by ext", at + run, at + run, at + run + wait));
            waited.push((at + run, at + run + wait));
            at += run + wait;
        }
        let (from, to) = (server_from.min(server_to).min(at), server_from.max(server_to).min(at));
        let timeline = format!(
            "host a | g1: {} | span call on g1 kind client: 0..{at}
             || host {} | span serve in call kind server: {}..{}",
            states.join(", "), if is_one_host { "a" } else { "b" }, clock_ns + from, clock_ns + to,
        );
        let result = crate::text::attribute_scenes(&crate::text::parse_together(&timeline));
        let call = result.spans.iter().find(|span| &*span.operation == "call").unwrap();
        let found = call.in_flight.unwrap();

        // At an offset: what is in flight before the server, and in all.
        let before = |at: i64| -> i64 { waited.iter().map(|(from, to)| at.clamp(*from, *to) - from).sum() };
        let at_offset = |offset_ns: i64| {
            let request = before(clock_ns + from - offset_ns);
            (request, request + before(at) - before(clock_ns + to - offset_ns))
        };
        let (lo_ns, hi_ns) = (call.offset_lo_ns.unwrap(), call.offset_hi_ns.unwrap());
        let all: Vec<(i64, i64)> = (lo_ns..=hi_ns).map(at_offset).collect();
        let requests = all.iter().map(|(request, _)| *request);
        let totals = all.iter().map(|(_, total)| *total);
        prop_assert_eq!(Some(found.request_min_ns), requests.clone().min());
        prop_assert_eq!(Some(found.request_max_ns), requests.max());
        prop_assert_eq!(Some(found.min_ns), totals.clone().min());
        prop_assert_eq!(Some(found.max_ns), totals.max());

        prop_assert!(all.contains(&at_offset(clock_ns)), "the truth is not among them");
        let cells = view(call, View::Root).into_iter().filter(|cell| &*cell.sub_state == "in_flight");
        let placed_ns: i64 = cells.map(|cell| cell.ns).sum();
        prop_assert_eq!(placed_ns, at_offset(lo_ns + (hi_ns - lo_ns) / 2).1);
        prop_assert!(before(at) - (to - from) <= found.min_ns && found.max_ns <= before(at));
    }

    #[test]
    fn i16_no_request_is_longer_than_what_is_in_flight_and_nothing_than_the_wait(worlds in programs()) {
        for span in attribute_together(&inputs(&worlds, &recordings(&worlds)), &Rules::default()).iter().flat_map(|result| &result.spans) {
            let Some(InFlight { min_ns, max_ns, request_min_ns, request_max_ns }) = span.in_flight else { continue };
            prop_assert!(0 <= request_min_ns && request_min_ns <= min_ns && min_ns <= max_ns);
            prop_assert!(request_min_ns <= request_max_ns && request_max_ns <= max_ns);
            let total = |wanted: &dyn Fn(&Cell) -> bool| -> i64 {
                view(span, View::Root).into_iter().filter(|cell| wanted(cell)).map(|cell| cell.ns).sum()
            };
            // Calls inside the call are in flight, too.
            let in_flight_ns = total(&|cell| cell.relation != Relation::Remote && &*cell.sub_state == "in_flight");
            let remote_ns = total(&|cell| cell.relation == Relation::Remote);
            prop_assert!(min_ns <= in_flight_ns && max_ns <= in_flight_ns + remote_ns, "{:?}", span);
        }
    }

    #[test]
    fn i12_neither_the_order_of_processes_nor_the_clock_of_a_host_matters(worlds in programs(), seed in any::<u64>()) {
        let mut random = Random(seed);
        let here = attribute_together(&inputs(&worlds, &recordings(&worlds)), &Rules::default());
        let mut moved: Vec<(World, Vec<TaskRecording>)> = Vec::new();
        for (world, mut recordings) in worlds.iter().cloned().zip(recordings(&worlds)) {
            let mut world = world;
            shift(&mut world, random.between(-1_000_000_000_000, 1_000_000_000_000));
            if !recordings.is_empty() {
                recordings = vec![world.record_all()];
            }
            let place = usize::try_from(random.below(u64::try_from(moved.len() + 1).unwrap())).unwrap();
            moved.insert(place, (world, recordings));
        }
        let (worlds, recordings): (Vec<World>, Vec<Vec<TaskRecording>>) = moved.into_iter().unzip();
        let there = attribute_together(&inputs(&worlds, &recordings), &Rules::default());
        let (here, there) = (by_key(&here), by_key(&there));
        prop_assert_eq!(here.len(), there.len());
        for (key, span) in here {
            prop_assert_eq!(&span.cells, &there[&key].cells);
            prop_assert_eq!(span.detached_ns, there[&key].detached_ns);
        }
    }

    #[test]
    fn the_true_offset_lies_in_every_range_also_after_a_clock_was_set(
        seed in any::<u64>(), offset_ns in -5_000_000_000_i64..5_000_000_000, drift_ppm in -25_i64..=25, steps in any::<bool>()
    ) {
        let mut random = Random(seed);
        let calls = 60_u64;
        let step_at = 10 + random.below(calls - 20);
        let (mut here, mut there) = (String::from("host a"), String::from("|| host b"));
        let mut truth = BTreeMap::new();
        let mut now = 0_i64;
        for number in 0..calls {
            now += random.between(10_000, 20_000_000);
            let step_ns = if steps && number >= step_at { 30_000_000 } else { 0 };
            let ahead = |at: i64| at + offset_ns + step_ns + at * drift_ppm / 1_000_000;
            let (request, response) = (random.between(20_000, 900_000), random.between(5_000, 90_000));
            let (starts, ends) = (now + request, now + request + random.between(0, 3_000_000));
            now = ends + response;
            here += &format!(" | span c{number} kind client: {}..{now}", starts - request);
            there += &format!(" | span s{number} in c{number} kind server: {}..{}", ahead(starts), ahead(ends));
            truth.insert(format!("c{number}"), ahead(starts) - starts);
        }
        let result = crate::text::attribute_scenes(&crate::text::parse_together(&(here + &there)));
        for span in result.spans.iter().filter(|span| truth.contains_key(&*span.operation)) {
            let (lo_ns, hi_ns) = (span.offset_lo_ns, span.offset_hi_ns);
            let truth = truth[&*span.operation];
            let holds = lo_ns.is_some_and(|lo_ns| lo_ns <= truth) && hi_ns.is_some_and(|hi_ns| truth <= hi_ns);
            prop_assert!(holds, "{}: {lo_ns:?} {truth} {hi_ns:?}", span.operation);
        }
    }
}

#[test]
fn calls_cost_what_their_servers_have_pieces() {
    let pieces = |calls: i64| {
        let states = |at: i64| format!("run {at}..{}, mutex {}..{}", at + 20, at + 20, at + 50);
        let (mut here, mut there) = (Vec::new(), Vec::new());
        let (mut clients, mut servers) = (String::new(), String::new());
        for call in 0..calls {
            let at = call * 100;
            here.push(format!("run {at}..{}, net {}..{} by ext", at + 10, at + 10, at + 100));
            there.push(states(at + 20));
            there.push(states(at + 70));
            clients += &format!(" | span c{call} in GET on g1 kind client: {}..{}", at + 5, at + 100);
            servers += &format!(" | span s{call} in c{call} on g1 kind server: {}..{}", at + 20, at + 90);
        }
        let timeline = format!(
            "host a | g1: {} | span GET on g1: 0..{}{clients} || host a | g1: {}{servers}",
            here.join(", "),
            calls * 100,
            there.join(", ")
        );
        let scenes = crate::text::parse_together(&timeline);
        let results = attribute_together(&crate::text::inputs(&scenes), &Rules::default());
        assert_eq!(results[0].calls.servers, u64::try_from(calls).unwrap());
        results[0].calls.pieces
    };
    assert_eq!((pieces(500), pieces(1_000)), (1_500, 3_000));
}

#[test]
fn many_servers_on_one_task_have_no_more_pieces_than_the_input_allows() {
    let (servers, states) = (300, 2_000);
    let times = (0..states).map(|state| {
        format!(
            "run {0}..{1}, mutex {1}..{2}",
            20 * state,
            20 * state + 9,
            20 * state + 20
        )
    });
    let mut here = String::from("host a | g1: net 0..50000 by ext");
    let mut there = format!("|| host a | g1: {}", times.collect::<Vec<_>>().join(", "));
    for call in 0..servers {
        here += &format!(" | span c{call} on g1 kind client: {call}..45000");
        there += &format!(" | span s{call} in c{call} on g1 kind server: {call}..40000");
    }
    let scenes = crate::text::parse_together(&(here + &there));
    let results = attribute_together(&crate::text::inputs(&scenes), &Rules::default());
    assert!(results.iter().all(|result| result.violations.is_empty()));
    let calls = results[0].calls;
    let limit = 65_536 + 16 * (2 * states + 1 + 2 * servers) + 2 * states;
    assert!(calls.pieces <= limit && calls.too_many > 200, "{calls:?}");
    assert_eq!(calls.too_many + calls.pieces / (2 * states - 100), servers);
}

#[test]
fn an_empty_process_takes_no_part() {
    let process = Arc::new(ProcessIdentity::default());
    let input = || ProcessInput {
        spans: ProcessSpans {
            process: process.clone(),
            spans: Vec::new(),
            context: Vec::new(),
        },
        recordings: Vec::new(),
        cpu_profiles: Vec::new(),
    };
    assert_eq!(
        attribute_together(&[input(), input()], &Rules::default()),
        vec![Attributed::default(); 2]
    );
}
