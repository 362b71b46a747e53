//! Samples of CPU profiles, known by labels that name spans, each test named after what must hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use spandrel_attribution::*;
use spandrel_model::*;

use crate::invariants::{parts, windows, worlds};
use crate::random::Random;
use crate::samples::matrix;
use crate::text::{Scene, parse};
use crate::world::{World, interval, stack_id};

/// A profile of `window`; of each sample the span whose label it has, how often it was seen, and the functions on the
/// stack, innermost first.
fn profile(world: &World, window: Interval, samples: &[(LabeledSpan, i64, &str)]) -> CpuProfile {
    let mut names = Names::new();
    let mut stacks: BTreeMap<StackId, Stack> = BTreeMap::new();
    let mut stack = |functions: &str| {
        let functions: Vec<String> = functions.split('<').map(str::to_owned).collect();
        stack_id(&functions, &mut stacks, &mut names)
    };
    let samples = (samples.iter())
        .map(|(span, count, functions)| CpuSamples {
            stack: stack(functions),
            count: *count,
            cpu_ns: 0,
            span: Some(*span),
        })
        .collect();
    CpuProfile {
        process: world.process.clone(),
        source: Arc::from("cpu.pprof"),
        window,
        period_ns: 1,
        names,
        stacks: stacks.into_values().collect(),
        samples,
    }
}

fn label(key: SpanKey) -> LabeledSpan {
    LabeledSpan {
        trace_id: Some(key.trace_id),
        span_id: key.span_id,
    }
}

/// The rows of `running_functions`: operation, layer, layer of the function, function, samples and nanoseconds.
fn rows_of(world: &World, recordings: &[TaskRecording], profiles: &[CpuProfile]) -> Vec<String> {
    let input = ProcessInput {
        spans: world.process_spans(),
        recordings: recordings.iter().collect(),
        cpu_profiles: profiles.iter().collect(),
    };
    let results = attribute_together(&[input], &Rules::default());
    let row = |row: RunningFunctionRow| {
        let layers = format!("{}/{}", row.layer, row.function_layer);
        format!(
            "{} {layers} {} {} {}",
            row.group.operation, row.function, row.n_samples, row.ns
        )
    };
    matrix(&results[0].spans).functions.into_iter().map(row).collect()
}

/// Joins a timeline with one profile of 0..`end`.
fn check(timeline: &str, end: i64, samples: &[(&str, i64, &str)], expected: &[&str]) {
    let Scene { world, recordings } = parse(timeline);
    let labeled: Vec<_> = (samples.iter())
        .map(|(span, n, stack)| (label(world.key(span)), *n, *stack))
        .collect();
    let profiles = [profile(&world, interval(0, end), &labeled)];
    assert_eq!(rows_of(&world, &recordings, &profiles), expected, "{timeline}");
}

const NESTED: &str = "g1: run 0..30, net 30..50 by ext, run 50..100
    | span GET on g1 kind server: 0..100 | span SELECT in GET on g1 layer db: 20..60";

#[test]
fn samples_count_in_the_layer_of_the_span_that_their_label_names() {
    check(
        NESTED,
        100,
        &[
            ("GET", 2, "main.encode<main.handle"),
            ("GET", 1, "main.sort"),
            ("SELECT", 5, "pgx.bind"),
        ],
        &[
            "GET db/db pgx.bind 5 20",
            "GET handler/handler main.encode 2 40",
            "GET handler/handler main.sort 1 20",
        ],
    );
}

#[test]
fn labels_that_name_only_the_request_divide_the_time_of_all_its_layers_together() {
    check(
        NESTED,
        100,
        &[
            ("GET", 3, "main.encode"),
            (
                "GET",
                1,
                "bufio.(*Writer).Write<github.com/redis/go-redis/v9.(*Client).Get",
            ),
        ],
        &["GET / main.encode 3 60", "GET /cache bufio.(*Writer).Write 1 20"],
    );
    check(
        "g1: run 0..40 | span GET on g1 kind server: 0..40",
        40,
        &[("GET", 1, "main.encode")],
        &["GET handler/handler main.encode 1 40"],
    );
}

#[test]
fn the_example_of_the_documentation_comes_out() {
    let timeline = "g1: run 0..30000, net 30000..60000 by ext, ready 60000..65000, run 65000..83000
        | span GET on g1 kind server: 0..83000 | span SELECT in GET on g1 layer db: 20000..68000
        | span later kind server: 900000..990000 | span inside in later layer db: 910000..920000";
    let Scene { mut world, recordings } = parse(timeline);
    let [request, inside] = ["later", "inside"].map(|name| label(world.key(name)));
    let later = world.spans.iter_mut().find(|span| &*span.name == "later");
    later.unwrap().name = Arc::from("GET");
    let rows = |of_queries: LabeledSpan| {
        let samples = [
            (request, 4, "main.encode"),
            (request, 2, "main.sort"),
            (of_queries, 2, "pgx.bind"),
        ];
        rows_of(
            &world,
            &recordings,
            &[profile(&world, interval(800_000, 1_000_000), &samples)],
        )
    };
    assert_eq!(
        rows(inside),
        [
            "GET db/db pgx.bind 2 13000",
            "GET handler/handler main.encode 4 23333",
            "GET handler/handler main.sort 2 11667"
        ]
    );
    assert_eq!(
        rows(request),
        [
            "GET / main.encode 4 24000",
            "GET / main.sort 2 12000",
            "GET / pgx.bind 2 12000"
        ]
    );
}

#[test]
fn a_library_on_the_stack_gives_the_function_its_layer() {
    let get = "bufio.(*Writer).Write<github.com/redis/go-redis/v9.(*Client).Get<main.handle";
    check(
        "g1: run 0..40 | span GET on g1 kind server: 0..40",
        40,
        &[("GET", 1, get), ("GET", 1, "runtime.asyncPreempt<main.handle")],
        &[
            "GET handler/cache bufio.(*Writer).Write 1 20",
            "GET handler/handler main.handle 1 20",
        ],
    );
}

#[test]
fn a_request_partly_outside_of_the_profile_does_not_count() {
    let samples = [("GET", 1, "main.begin")];
    check("g1: run 0..40 | span GET on g1 kind server: 0..40", 39, &samples, &[]);
    check(
        "g1: run 0..40 | span GET on g1 kind server: 0..40",
        40,
        &samples,
        &["GET handler/handler main.begin 1 40"],
    );
}

#[test]
fn samples_of_requests_that_were_not_recorded_divide_the_time_of_those_that_were() {
    check(
        "g1: run 0..30 | span GET on g1 kind server: 0..30 | span GET on g7 kind server: 200..900",
        1_000,
        &[("GET", 1, "main.a")],
        &["GET handler/handler main.a 1 30"],
    );
    let Scene { world, recordings } = parse("g1: run 0..30 | span A on g1 kind server: 0..30 | span GET: 200..900");
    let samples = [(label(world.key("GET")), 9, "main.a")];
    let profiles = [profile(&world, interval(0, 1_000), &samples)];
    assert_eq!(
        rows_of(&world, &recordings, &profiles),
        [] as [&str; 0],
        "nothing to divide"
    );
}

#[test]
fn samples_of_the_execution_trace_count_in_the_place_of_those_of_the_profile() {
    let timeline = "g1: run 0..40 | span GET on g1 kind server: 0..40 | cpu g1: 5 main.a
        | span GET on g7 kind server: 200..900";
    let Scene { world, recordings } = parse(timeline);
    let [first, second] = [0, 1].map(|at| label(SpanKey::of(&world.spans[at])));
    let samples = [(first, 1, "main.a"), (second, 3, "main.b")];
    let profiles = [profile(&world, interval(0, 1_000), &samples)];
    assert_eq!(
        rows_of(&world, &recordings, &profiles),
        ["GET handler/handler main.a 1 10", "GET handler/handler main.b 3 30"],
        "the sample of the recorded request counts once"
    );
    let of_another_profiler = [profile(&world, interval(200, 1_000), &samples)];
    assert_eq!(
        rows_of(&world, &recordings, &of_another_profiler),
        ["GET handler/handler main.a 1 10", "GET handler/handler main.b 3 30"]
    );
}

#[test]
fn labels_say_nothing_where_other_tasks_ran_for_the_requests() {
    let timeline = |helped: i64| {
        format!(
            "g1: run 0..40, wg 40..90 by g2, run 90..100 | g2 from g1: run 20..{helped}, net {helped}..90 by ext
             | span GET on g1 kind server: 0..100"
        )
    };
    check(
        &timeline(22),
        100,
        &[("GET", 1, "main.a")],
        &["GET handler/handler main.a 1 50"],
    );
    check(&timeline(23), 100, &[("GET", 1, "main.a")], &[]);
}

#[test]
fn a_span_inside_on_another_task_is_a_helper_too() {
    check(
        "g1: run 0..50, wg 50..90 by g2, run 90..100 | g2: run 0..90 | span GET on g1 kind server: 0..100
         | span render in GET on g2 layer view: 50..90",
        100,
        &[("GET", 1, "main.a"), ("render", 4, "main.b")],
        &[],
    );
}

#[test]
fn ids_without_a_trace_count_where_they_are_unique_and_unknown_ones_do_not() {
    let Scene { mut world, recordings } = parse("g1: run 0..40 | span GET on g1 kind server: 0..40");
    let span_id = world.key("GET").span_id;
    let without_trace = LabeledSpan {
        trace_id: None,
        span_id,
    };
    let unknown = LabeledSpan {
        trace_id: None,
        span_id: SpanId::new([9; 8]),
    };
    let other_trace = LabeledSpan {
        trace_id: Some(TraceId::new([9; 16])),
        span_id,
    };
    let samples = [
        (without_trace, 1, "main.a"),
        (unknown, 1, "main.b"),
        (other_trace, 1, "main.c"),
    ];
    let profiles = [profile(&world, interval(0, 40), &samples)];
    let expected = ["GET handler/handler main.a 1 40"];
    assert_eq!(rows_of(&world, &recordings, &profiles), expected);
    let again = Span {
        trace_id: TraceId::new([8; 16]),
        ..world.spans[0].clone()
    };
    world.spans.push(again);
    assert_eq!(rows_of(&world, &recordings, &profiles), [] as [&str; 0]);
}

#[test]
fn a_profile_that_is_given_twice_counts_once() {
    let Scene { world, recordings } = parse("g1: run 0..40 | span GET on g1 kind server: 0..40");
    let samples = [(label(world.key("GET")), 3, "main.a")];
    let whole = profile(&world, interval(0, 40), &samples);
    let later = profile(&world, interval(0, 60), &samples);
    let expected = ["GET handler/handler main.a 3 40"];
    assert_eq!(rows_of(&world, &recordings, &[whole.clone(), later, whole]), expected);
}

#[test]
fn a_request_takes_its_samples_from_the_profile_of_its_replica_whichever_begins_first() {
    let timeline = "g1: run 0..40 | span GET on g1 kind server: 10..40 | span GET on g7 kind server: 100..190";
    let Scene { world, recordings } = parse(timeline);
    let [first, second] = [0, 1].map(|at| label(SpanKey::of(&world.spans[at])));
    let of_the_other = LabeledSpan {
        trace_id: Some(TraceId::new([9; 16])),
        span_id: SpanId::new([9; 8]),
    };
    let own = profile(&world, interval(5, 195), &[(first, 2, "main.a"), (second, 1, "main.b")]);
    let expected = ["GET handler/handler main.a 2 20", "GET handler/handler main.b 1 10"];
    for window in [interval(0, 200), interval(5, 195), interval(8, 192)] {
        let other = profile(&world, window, &[(of_the_other, 7, "main.c")]);
        for profiles in [[own.clone(), other.clone()], [other, own.clone()]] {
            assert_eq!(
                rows_of(&world, &recordings, &profiles),
                expected,
                "other replica: {window:?}"
            );
        }
    }
    // Each request has its own profile: of two that say something of a request, the first counts.
    let before = profile(&world, interval(0, 192), &[(second, 3, "main.d")]);
    assert_eq!(
        rows_of(&world, &recordings, &[own, before]),
        ["GET handler/handler main.a 2 12", "GET handler/handler main.d 3 18"]
    );
}

#[test]
fn which_of_two_profiles_of_the_same_time_counts_does_not_depend_on_their_order() {
    let Scene { world, recordings } = parse("g1: run 0..40 | span GET on g1 kind server: 0..40");
    let of = |function| profile(&world, interval(0, 40), &[(label(world.key("GET")), 1, function)]);
    let rows = |profiles: [CpuProfile; 2]| rows_of(&world, &recordings, &profiles);
    assert_eq!(rows([of("main.a"), of("main.b")]), rows([of("main.b"), of("main.a")]));
}

/// Some profiles of a world, with labels of all kinds of spans and of none.
fn profiles_of(world: &World, seed: u64, inner_percent: u64) -> Vec<CpuProfile> {
    const STACKS: [&str; 4] = [
        "main.sort<main.handle",
        "database/sql.(*DB).conn<main.load",
        "runtime.asyncPreempt<main.render",
        "github.com/redis/go-redis/v9.(*Client).Get<main.load",
    ];
    let mut random = Random(seed);
    let mut samples = Vec::new();
    for span in &world.spans {
        if span.parent_span_id.is_some() && !random.chance(inner_percent) || random.chance(20) {
            continue;
        }
        let stack = STACKS[usize::try_from(random.below(4)).unwrap()];
        let labeled = label(SpanKey::of(span));
        let labeled = LabeledSpan {
            trace_id: labeled.trace_id.filter(|_| random.chance(70)),
            ..labeled
        };
        samples.push((labeled, random.between(1, 9), stack));
    }
    let (first, second) = samples.split_at(samples.len() / 2);
    let windows = windows(world, &[(0, 1000), (300, 800)]);
    let of = |window, samples| profile(world, window, samples);
    vec![of(windows[0], first), of(windows[1], second)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn functions_sum_to_the_running_time_of_their_cell_or_of_all(
        world in worlds(16),
        parts in parts(),
        seed in any::<u64>(),
        inner_percent in prop_oneof![Just(0_u64), Just(50)],
        is_sampled in any::<bool>(),
    ) {
        let mut world = world;
        if !is_sampled {
            world.samples.clear();
        }
        let recordings = world.record(&windows(&world, &parts));
        let mut profiles = profiles_of(&world, seed, inner_percent);
        let attributed = |profiles: &[CpuProfile]| {
            let input = ProcessInput {
                spans: world.process_spans(),
                recordings: recordings.iter().collect(),
                cpu_profiles: profiles.iter().collect(),
            };
            attribute_together(&[input], &Rules::default()).remove(0)
        };
        let result = attributed(&profiles);
        prop_assert_eq!(&result.violations, &[]);
        let tables = matrix(&result.spans);
        let mut sums: BTreeMap<(&RequestGroup, &Layer), i64> = BTreeMap::new();
        for row in &tables.functions {
            prop_assert!(0 <= row.lo_ns && row.lo_ns <= row.ns && row.ns <= row.hi_ns);
            prop_assert!(row.n_samples > 0);
            *sums.entry((&row.group, &row.layer)).or_default() += row.ns;
        }
        for ((group, layer), ns) in &sums {
            let running = tables.cells.iter().filter(|row| {
                let is_running = (row.view, row.state) == (View::SelfView, State::Running) && row.group == **group;
                is_running && (row.layer == **layer || layer.as_str().is_empty())
            });
            prop_assert_eq!(running.map(|row| row.times.sum_ns).sum::<i64>(), *ns);
            let has_all = layer.as_str().is_empty();
            prop_assert!(!has_all || sums.keys().filter(|(other, _)| other == group).count() == 1, "nothing twice");
        }

        let without = attributed(&[]);
        for (with, without) in result.spans.iter().zip(&without.spans) {
            prop_assert_eq!(&with.cells, &without.cells, "profiles change no cell of a span");
        }
        profiles.reverse();
        profiles.extend(profiles.clone());
        prop_assert_eq!(&attributed(&profiles), &result, "neither order nor repeats matter");
    }
}
