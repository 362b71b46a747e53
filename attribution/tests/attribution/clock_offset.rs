//! The offset of a recording without a wall clock: right to the bound that it comes with, or refused.

use std::sync::Arc;

use spandrel_attribution::{Anchor, NoOffset, NotAnchored, choose_anchor, estimate_offset};
use spandrel_model::*;

use crate::load::{Load, SECOND, YEAR, any_load};
use crate::random::Random;
use crate::simulator::{Setup, Unusual, simulate};
use crate::text::parse;
use crate::world::{World, interval};

/// A recording of the world on a clock that is `offset` behind.
fn unanchored(world: &World, window: Interval, offset: i64) -> UnanchoredRecording {
    let back = OffsetEstimate {
        offset_ns: -offset,
        error_ns: 0,
        witnesses: 0,
        asked: 0,
    };
    let recording = world.record(&[window]).remove(0);
    UnanchoredRecording::new(UnanchoredRecording::new(recording).anchored(back))
}

#[test]
fn the_offset_of_random_programs_is_found_and_nearly_all_spans_are_bound() {
    let mut random = Random(7);
    let (mut found, mut inside, mut bound) = (0, 0, 0);
    for _ in 0..60 {
        let simulation = simulate(Setup {
            seed: random.next(),
            processors: usize::try_from(random.between(1, 6)).unwrap(),
            requests: 150,
            renamed_percent: 50 * random.below(3),
            lost_percent: 10 * random.below(3),
            servers: 0,
            unusual: Unusual::default(),
        });
        let world = &simulation.world;
        let extent = world.extent();
        let part = |per_mille: i64| extent.start().0 + extent.duration_ns() * per_mille / 1000;
        let offset = random.between(-50 * YEAR, 50 * YEAR);
        let recording = unanchored(world, interval(part(200), part(800)), offset);
        let Ok(estimate) = estimate_offset(&world.process_spans(), &recording) else {
            continue;
        };
        found += 1;
        let error = offset + simulation.clock_error_ns - estimate.offset_ns;
        assert!(error.abs() <= estimate.error_ns, "off by {error} ns: {estimate}");
        let recording = recording.anchored(estimate);
        let window = recording.window;
        let result = world.attribute(&[recording]);
        let spans = (result.spans.iter()).filter(|span| span.interval.intersection(window) == Some(span.interval));
        for span in spans {
            inside += 1;
            bound += usize::from(span.on_task.is_some());
        }
    }
    assert!(found >= 57, "{found} of 60");
    assert!(
        inside > 10_000 && bound * 100 >= inside * 95,
        "{bound} of {inside} bound"
    );
}

#[test]
fn no_estimate_is_off_by_more_than_it_says_whatever_the_load() {
    let mut random = Random(3);
    let found = (0..300)
        .filter(|_| any_load(&mut random).observed().estimate().is_ok())
        .count();
    assert!(found >= 75, "only {found} of 300 found");
}

#[test]
fn an_irregular_load_shows_its_offset_though_most_of_its_spans_are_lost() {
    let mut random = Random(4);
    for lost_percent in [0, 10, 50, 90] {
        for names in [1, 30] {
            let load = Load {
                seed: random.next(),
                random: 3_000,
                names,
                lost_percent,
                ..Load::default()
            };
            let estimate = load.observed().estimate().unwrap();
            assert!(estimate.error_ns < 2_000, "{estimate}");
            assert!(estimate.witnesses > 25, "{estimate}");
        }
    }
}

/// A timer that fires every ten milliseconds, and work that always takes the same time.
fn clockwork() -> Load {
    Load {
        periodic: 1_200,
        durations: (5_000_000, 5_000_000),
        names: 1,
        children: 0,
        ..Load::default()
    }
}

#[test]
fn load_that_repeats_itself_exactly_is_refused() {
    let exact = clockwork().observed().estimate().unwrap_err();
    let NoOffset::Ambiguous { rival_after_ns, .. } = exact else {
        panic!("{exact}");
    };
    assert!(
        (rival_after_ns.abs() + 2_000) % 10_000_000 < 4_000,
        "{rival_after_ns} ns is no period"
    );
    assert!(exact.to_string().contains("a period later"), "{exact}");
    let with_losses = Load {
        lost_percent: 30,
        ..clockwork()
    };
    assert!(with_losses.observed().estimate().is_err());
}

#[test]
fn what_is_irregular_tells_periods_apart() {
    let real_timers = Load {
        jitter: 50_000,
        ..clockwork()
    };
    real_timers.observed().estimate().unwrap();
    let other_requests = Load {
        random: 1_000,
        ..clockwork()
    };
    other_requests.observed().estimate().unwrap();
}

#[test]
fn a_recording_whose_spans_have_not_arrived_waits_for_them() {
    let early = Load {
        random: 3_000,
        arrived: (0, 4 * SECOND),
        ..Load::default()
    };
    assert!(matches!(
        early.observed().estimate(),
        Err(NoOffset::TooFewWitnesses { .. })
    ));
    let later = Load {
        arrived: (0, 5 * SECOND),
        ..early
    };
    later.observed().estimate().unwrap();
}

#[test]
fn a_few_requests_are_too_few() {
    let load = Load {
        random: 20,
        ..Load::default()
    };
    let error = load.observed().estimate().unwrap_err();
    assert!(matches!(error, NoOffset::TooFewWitnesses { .. }), "{error}");
    assert_eq!(Load::default().observed().estimate(), Err(NoOffset::NoUserTasks));
}

#[test]
fn a_clock_that_was_set_during_the_recording_is_refused() {
    for step in [-SECOND, -50_000, 50_000, SECOND] {
        let load = Load {
            random: 3_000,
            step,
            ..Load::default()
        };
        let result = load.observed();
        let spans = result.process_spans(&Arc::default());
        assert!(
            estimate_offset(&spans, &result.recording).is_err(),
            "a step of {step} ns"
        );
    }
}

#[test]
fn spans_that_get_their_name_late_count_too() {
    let load = Load {
        random: 3_000,
        children: 0,
        ..Load::default()
    };
    let mut observed = load.observed();
    for span in &mut observed.spans {
        span.name = format!("{}/route", span.name).into();
    }
    observed.estimate().unwrap();
}

#[test]
fn what_ends_together_is_one_witness() {
    // Three bursts, of which the second is recorded and the spans of the third have arrived.
    let load = Load {
        periodic: 3,
        period: 4 * SECOND,
        burst: 100,
        durations: (5_000_000, 5_000_000),
        children: 0,
        recorded: (4 * SECOND, 8 * SECOND),
        arrived: (8 * SECOND, 12 * SECOND),
        ..Load::default()
    };
    let error = load.observed().estimate().unwrap_err();
    assert!(
        matches!(error, NoOffset::TooFewWitnesses { witnesses: 1, .. }),
        "{error}"
    );
}

#[test]
fn machines_three_times_as_slow_widen_the_error() {
    let mut random = Random(5);
    let errors_ns: Vec<i64> = (0..200)
        .filter_map(|index| {
            let load = Load {
                seed: random.next(),
                random: 40 + index,
                slowness: 3,
                ..Load::default()
            };
            Some(load.observed().estimate().ok()?.error_ns)
        })
        .collect();
    assert!(errors_ns.len() > 100, "{} of 200 found", errors_ns.len());
    assert!(errors_ns.iter().all(|error_ns| *error_ns < 15_000), "{errors_ns:?}");
}

#[test]
fn lags_that_are_never_small_lie_within_the_error() {
    let mut random = Random(8);
    for requests in [50, 50, 50, 50, 200, 3_000] {
        let load = Load {
            seed: random.next(),
            random: requests,
            end_lag_min: 1_500,
            ..Load::default()
        };
        load.observed().estimate().unwrap();
    }
}

#[test]
fn equal_spans_close_together_widen_the_error() {
    let mut random = Random(6);
    for _ in 0..200 {
        let load = Load {
            seed: random.next(),
            random: 120,
            burst: 20,
            names: 1,
            durations: (5_000, 5_000),
            children: 0,
            lost_percent: 10,
            ..Load::default()
        };
        let _ = load.observed().estimate();
    }
}

#[test]
fn lags_far_beyond_the_measured_ones_are_refused() {
    let load = Load {
        random: 3_000,
        slowness: 30,
        ..Load::default()
    };
    assert!(matches!(load.observed().estimate(), Err(NoOffset::Scattered { .. })));
}

#[test]
fn times_at_the_ends_of_64_bits_are_no_trouble() {
    let load = Load {
        random: 100,
        ..Load::default()
    };
    for at in [i64::MIN, i64::MAX] {
        let mut observed = load.observed();
        for span in &mut observed.spans {
            span.interval = interval(at, at);
        }
        assert!(observed.estimate().is_err());
        observed.spans[0].interval = interval(i64::MIN, i64::MAX);
        assert!(observed.estimate().is_err());
    }
}

fn instance(id: &str) -> Arc<ProcessIdentity> {
    Arc::new(ProcessIdentity {
        service_instance_id: Some(id.into()),
        ..ProcessIdentity::default()
    })
}

#[test]
fn of_several_processes_the_one_whose_spans_show_an_offset_is_the_recorded_one() {
    let load = |seed| Load {
        seed,
        random: 1_000,
        ..Load::default()
    };
    let (first, second) = (load(1).observed(), load(2).observed());
    let (one, two) = (instance("1"), instance("2"));
    let processes = [first.process_spans(&one), second.process_spans(&two)];
    let Anchor { index, estimate } = choose_anchor(&second.recording, &processes).unwrap();
    assert_eq!(index, 1);
    assert_eq!(Ok(estimate), second.estimate());
    let twins = [second.process_spans(&one), second.process_spans(&two)];
    let undecided = choose_anchor(&second.recording, &twins);
    assert_eq!(undecided, Err(NotAnchored::Undecided { compatible: 2 }));
    let wrong = choose_anchor(&second.recording, &processes[..1]).unwrap_err();
    assert!(
        wrong.to_string().contains("cannot be tied to the wall clock"),
        "{wrong}"
    );
    assert_eq!(choose_anchor(&second.recording, &[]), Err(NotAnchored::NoneCompatible));
}

#[test]
fn spans_say_how_far_the_clock_of_their_recording_can_be_off() {
    let scene = parse(
        "window 0..20000000 | window 40000000..90000000 | g1: run 0..90000000
         | span before: 1000000..2000000 | span across: 15000000..50000000 | span between: 25000000..30000000",
    );
    let [first, second] = <[TaskRecording; 2]>::try_from(scene.recordings).unwrap();
    let estimate = OffsetEstimate {
        offset_ns: 0,
        error_ns: 1_500,
        witnesses: 8,
        asked: 8,
    };
    let second = UnanchoredRecording::new(second).anchored(estimate);
    let result = scene.world.attribute(&[first, second]);
    let errors: Vec<Option<i64>> = result.spans.iter().map(|span| span.clock_error_ns).collect();
    assert_eq!(errors, [None, Some(1_500), None]);
}
