//! Hand-over: spans that another goroutine ends than started them.

use spandrel_attribution::*;
use spandrel_model::*;

use crate::simulator::{Setup, Unusual, simulate};
use crate::text::{check, parse};

/// The stretches of the span `s`, as `g1 0..10`.
fn stretches(timeline: &str) -> Vec<String> {
    let scene = parse(timeline);
    let analysis = scene.world.analyze(&scene.recordings);
    let shown = |stretch: &Stretch| {
        let (start, end) = (stretch.interval.start().0, stretch.interval.end().0);
        format!("g{} {start}..{end}", stretch.task.0)
    };
    analysis.stretches(scene.world.key("s")).iter().map(shown).collect()
}

#[test]
fn a_span_goes_to_the_goroutine_that_ends_it_when_that_is_created() {
    let timeline = "g1: run 0..100 | g2 from g1: ready/created 30..35, run 35..60, net 60..70, run 70..90
        | span p on g1 layer p: 0..95 | span s in p on g1 ends g2 layer s: 10..80";
    assert_eq!(stretches(timeline), ["g1 10..30", "g2 30..80"]);
    check(
        timeline,
        "s self: run 55, ready/created 5, net 10 | p self: run 75, s/run 20 | s root: run 55, ready/created 5, net 10",
    );
}

#[test]
fn a_span_goes_to_the_goroutine_that_ends_it_when_that_is_woken() {
    let timeline = "g1: run 0..100 | g2: chan 0..40 by g1, run 40..100 | span s on g1 ends g2: 10..80";
    assert_eq!(stretches(timeline), ["g1 10..40", "g2 40..80"]);
    let twice = "g1: run 0..100 | g2: chan 0..20 by g1, run 20..30, chan 30..40 by g1, run 40..100
        | span s on g1 ends g2: 10..80";
    assert_eq!(stretches(twice), ["g1 10..40", "g2 40..80"], "the last time counts");
    let created = "g1: run 0..100 | g2 from g1: run 20..30, mutex 30..40 by g1, run 40..100
        | span s on g1 ends g2: 10..80";
    assert_eq!(
        stretches(created),
        ["g1 10..20", "g2 20..80"],
        "but its creation before that"
    );
}

#[test]
fn the_user_task_tells_who_ended_the_span_as_well() {
    let timeline = "g1: run 0..9000000 | g2 from g1: run 3000000..9000000 | span s: 1000000..5000000
        | task 5 named s on g1 ends g2: 1012000..5001000";
    assert_eq!(stretches(timeline), ["g1 1000000..3000000", "g2 3000000..5000000"]);
}

#[test]
fn a_span_may_pass_through_several_goroutines() {
    let timeline = "g1: run 0..100 | g2 from g1: run 20..60 | g3: chan 0..50 by g2, run 50..100
        | span s on g1 ends g3: 10..80";
    assert_eq!(stretches(timeline), ["g1 10..20", "g2 20..50", "g3 50..80"]);
}

#[test]
fn a_short_way_counts_before_a_long_one() {
    let timeline = "g1: run 0..100 | g3 from g1: run 20..50, mutex 50..60 by g2, run 60..100
        | g2: chan 0..40 by g1, run 40..100 | span s on g1 ends g3: 10..80";
    assert_eq!(stretches(timeline), ["g1 10..20", "g3 20..80"]);
}

#[test]
fn times_rise_along_the_way() {
    let timeline = "g1: run 0..100 | g2: chan 0..60 by g1, run 60..100 | g3: chan 0..50 by g2, run 50..100
        | span s on g1 ends g3: 10..80";
    assert_eq!(
        stretches(timeline),
        ["g1 10..80"],
        "g2 woke g3 before it could have had the span"
    );
}

#[test]
fn without_a_way_inside_the_span_it_stays_where_it_started_until_that_dies() {
    let outside = "g1: run 0..40 | g2: chan 0..5 by g1, run 5..100 | span s on g1 ends g2: 10..80";
    assert_eq!(stretches(outside), ["g1 10..80"]);
    check(outside, "s self: run 30, ?task_not_alive 40");
    let poller = "g1: run 0..100 | g2: net 0..40 by ext, run 40..100 | span s on g1 ends g2: 10..80";
    assert_eq!(stretches(poller), ["g1 10..80"]);
    let runtime = "g1: run 0..100 | system g3: chan 0..20 by g1, run 20..100
        | g2: other 0..40 by g3, run 40..100 | span s on g1 ends g2: 10..80";
    assert_eq!(stretches(runtime), ["g1 10..80"]);
}

#[test]
fn the_innermost_span_owns_a_goroutine_whichever_way_it_came_there() {
    // `late` started before `local` and comes to g2 after it: `local` stays the one that was started last.
    let timeline = "g1: run 0..100 | g2: run 0..30, chan 30..40 by g1, run 40..100
        | span late on g1 ends g2 layer late: 10..80 | span local on g2 layer local: 20..60";
    check(
        timeline,
        "late self: run 50, local/run 20 | local self: run 30, chan 10 | late root: run 50, local/run 20",
    );
}

#[test]
fn each_stretch_is_a_row_of_the_table_with_the_life_of_its_task_as_limit() {
    let scene = parse(
        "g1: run 0..35 | g2 from g1: run 30..60 | g3: chan 0..50 by g2, run 50..100 | span s on g1 ends g3: 10..80",
    );
    let result = scene.world.attribute(&scene.recordings);
    let span = &result.spans[0];
    let row = |row: &TaskSpan| (row.task.0, row.interval.start().0, row.interval.end().0);
    assert_eq!(span.on_task.as_ref().map(row), Some((1, 10, 30)));
    let later: Vec<_> = span.handed_over.iter().map(row).collect();
    assert_eq!(later, [(2, 30, 50), (3, 50, 80)]);
}

#[test]
fn simulated_spans_end_on_the_goroutine_that_ended_them() {
    let (mut handed_over, mut right) = (0, 0);
    for seed in 0..30 {
        let simulation = simulate(Setup {
            seed,
            processors: 2,
            requests: 20,
            renamed_percent: 0,
            lost_percent: 0,
            servers: 1,
            unusual: Unusual {
                handed_over: 20,
                ..Unusual::default()
            },
        });
        let world = &simulation.world;
        let analysis = world.analyze(&[world.record_all()]);
        for (span, ended_by) in world.spans.iter().zip(&simulation.ended_by) {
            let key = SpanKey::of(span);
            if matches!(analysis.binding(key), Some(Binding::Unbound(_))) {
                continue;
            }
            let stretches = analysis.stretches(key);
            match ended_by {
                None => assert_eq!(stretches.len(), 1),
                Some(task) => {
                    let birth = world.tasks.iter().find(|told| told.id == task.0).unwrap().birth;
                    let came_at = UnixNanos(birth);
                    handed_over += 1;
                    right += usize::from(
                        stretches.len() == 2 && (stretches[1].task, stretches[1].interval.start()) == (*task, came_at),
                    );
                }
            }
        }
    }
    assert!(handed_over > 300, "{handed_over}");
    assert!(right * 100 >= handed_over * 99, "{right} of {handed_over}");
}
