//! Layers from stacks, each test named after what must hold.

use spandrel_attribution::*;
use spandrel_model::*;

use crate::text::{check, parse, shown};

#[test]
fn a_client_without_spans_has_the_layer_of_its_library_while_it_stands_still() {
    check(
        "g1: run 0..10, select 10..20 by ext at database/sql.(*DB).conn<main.load, ready/unblocked 20..25, run 25..30,
             net 30..60 by ext at net.(*conn).Read<github.com/lib/pq.(*conn).recv<database/sql.(*DB).Query<main.load,
             ready/unblocked 60..65, run 65..80, sleep 80..90 by ext at time.Sleep<main.load, ready/unblocked 90..95, run 95..100
         | span GET on g1 kind server: 0..100",
        "GET self: db/ready/unblocked 10, db/select 10, db/net 30, run 35, ready/unblocked 5, sleep 10 \
         | GET root: db/ready/unblocked 10, db/select 10, db/net 30, run 35, ready/unblocked 5, sleep 10",
    );
}

#[test]
fn a_call_keeps_its_layer_and_so_does_a_span_that_says_it() {
    let on_stack = "g1: run 0..10, net 10..40 by ext at net/http.(*persistConn).Read, run 40..50";
    for (span, root) in [
        ("span s on g1 kind client", "run 20, net/remote 30"),
        ("span s on g1 kind producer", "run 20, net/remote 30"),
        ("span s on g1 layer search", "run 20, net 30"),
    ] {
        let expected = format!("s self: run 20, net 30 | s root: {root}");
        check(&format!("{on_stack} | {span}: 0..50"), &expected);
    }
    for span in ["span s on g1", "span s on g1 kind internal"] {
        let expected = "s self: http.client/net 30, run 20 | s root: http.client/net 30, run 20";
        check(&format!("{on_stack} | {span}: 0..50"), expected);
    }
    check(
        &format!("{on_stack} | span s on g1 kind consumer: 0..50"),
        "s self: run 20, http.client/net 30",
    );
}

#[test]
fn what_a_span_says_that_is_no_layer_keeps_no_stack_from_naming_one() {
    let mut scene = parse(
        "g1: run 0..10, net 10..40 by ext at net/http.(*persistConn).Read, run 40..50 | span s on g1 kind internal: 0..50",
    );
    let names = [String::new(), "x".repeat(65)];
    for said in names.map(AttributeValue::String) {
        scene.world.spans[0].attributes = vec![("attribution.layer".to_owned(), said)];
        let result = scene.world.attribute(&scene.recordings);
        assert_eq!(shown(&result, "s self"), "s self: http.client/net 30, run 20");
    }
}

#[test]
fn the_innermost_span_decides_whether_the_stack_may() {
    check(
        "g1: run 0..10, net 10..40 by ext at github.com/redis/go-redis/v9.(*Client).Get, run 40..50
         | span GET on g1 kind server: 0..50 | span fetch in GET on g1 kind client: 20..45",
        "GET self: cache/net 10, run 15, service/run 5, service/net 20 | fetch self: run 5, net 20",
    );
}

#[test]
fn where_a_goroutine_runs_nobody_knows() {
    check(
        "g1: run 0..10 at database/sql.Open, assist 10..20, run 20..30, ready/preempted 30..40 at database/sql.Open, run 40..50
         | span GET on g1 kind server: 0..50",
        "GET self: db/ready/preempted 10, run 30, assist 10",
    );
}

#[test]
fn a_wait_goes_on_in_the_same_library_when_the_next_recording_knows_no_stack() {
    let first = parse(
        "window 0..50 | g1: run 0..20, net 20..90 at database/sql.(*Rows).Next, run 90..99 | span GET on g1 kind server: 0..100",
    );
    let second = parse("window 50..100 | g1: run 0..20, other 20..90 by ext, ready/unblocked 90..95, run 95..100");
    let recordings = [first.recordings[0].clone(), second.recordings[0].clone()];
    let expected = "GET self: db/ready/unblocked 5, db/net 30, db/other 40, run 25";
    assert_eq!(shown(&first.world.attribute(&recordings), expected), expected);
}

#[test]
fn what_lies_between_two_recordings_tells_nothing_of_the_time_after_it() {
    check(
        "window 0..30 | window 40..100
         | g1: run 0..20, syscall 20..35 at database/sql.(*Rows).Next, ready/syscall_exit 35..50, run 50..100
         | span GET on g1 kind server: 0..60",
        "GET self: db/syscall 10, run 30, ready/syscall_exit 10, ?not_recorded 10",
    );
}

const READ_LOOP: &str = "g2: run 0..20, net 20..70 by ext at net/http.(*persistConn).readLoop, ready/unblocked 70..75,
     run 75..100";

#[test]
fn a_helper_has_the_layer_of_a_call_that_waits_for_it() {
    check(
        &format!(
            "g1: run 0..10, select 10..80 by g2 at net/http.(*persistConn).roundTrip, run 80..100 | {READ_LOOP}
             | span GET on g1 kind server: 0..100 | span ask in GET on g1 kind client: 5..90"
        ),
        "ask root: run 15, helper:run 15, helper:ready/unblocked 5, helper:net/remote 50",
    );
}

#[test]
fn a_helper_under_another_span_has_the_layer_of_its_library_or_of_that_in_which_it_is_waited_for() {
    check(
        &format!(
            "g1: run 0..10, select 10..80 by g2 at net/http.(*persistConn).roundTrip, run 80..100 | {READ_LOOP}
             | span work on g1: 0..100"
        ),
        "work root: helper:http.client/run 15, helper:http.client/ready/unblocked 5, helper:http.client/net 50, run 30",
    );
    check(
        &format!("g1: run 0..10, chan 10..80 by g2 at main.ask, run 80..100 | {READ_LOOP} | span work on g1: 0..100"),
        "work root: helper:http.client/ready/unblocked 5, helper:http.client/net 50, run 30, helper:run 15",
    );
}

#[test]
fn a_helper_between_the_two_says_more_than_the_span() {
    check(
        "g1: run 0..10, chan 10..90 by g2 at main.load, run 90..100
         | g2: run 0..20, select 20..80 by g3 at database/sql.(*DB).conn, run 80..100 | g3: run 0..100
         | span work on g1: 0..100",
        "work root: helper:db/run 60, run 20, helper:run 20",
    );
}

#[test]
fn a_goroutine_of_the_same_trace_has_the_layer_of_its_own_stack_only() {
    check(
        "g1: run 0..10, wg 10..90 by g2 at github.com/redis/go-redis/v9.wait, run 90..100
         | g2 from g1: run 5..20, net 20..80 by ext at database/sql.(*Rows).Next, run 80..95
         | span GET on g1 kind server: 0..100 | span load in GET on g2: 6..92",
        "GET root: db/net 60, run 20, service/run 20 | load root: db/net 60, run 26",
    );
}

#[test]
fn interference_has_the_layer_in_which_the_span_waits_and_that_of_the_culprits_span() {
    check(
        "g1: run 0..10, select 10..60 by g2 at database/sql.(*DB).conn, run 60..70
         | g2: run 0..20, net 20..50 by ext at github.com/lib/pq.(*conn).recv, run 50..70
         | span GET on g1 kind server: 0..70 | span PUT on g2 kind server: 0..70",
        "GET root: db/blocked/select 20 by PUT handler/run, db/blocked/select 30 by PUT handler/net, run 20 \
         | PUT root: db/net 30, run 40",
    );
}

#[test]
fn a_goroutine_of_the_runtime_has_the_layer_in_which_it_is_waited_for() {
    check(
        "g1: run 0..10, other 10..60 by g2 at runtime.gcStart<database/sql.(*DB).conn, run 60..70 | system g2: run 0..70
         | span GET on g1 kind server: 0..70",
        "GET root: runtime:db/run 50, run 20",
    );
}

#[test]
fn rules_of_a_user_decide_first() {
    let scene = parse(
        "g1: run 0..10, net 10..40 by ext at database/sql.(*Rows).Next<example.com/shop/ledger.Sum, run 40..50
         | span GET on g1 kind server: 0..50",
    );
    let rule = StackLayerRule {
        layer: Layer::new("ledger"),
        functions: vec!["example.com/shop/ledger".to_owned()],
    };
    let cells = |rules: &Rules| {
        let result = scene.world.attribute_by(&scene.recordings, rules);
        shown(&result, "GET self:")
    };
    let with_rule = Rules {
        stack_layers: StackLayers::with_user_rules(&[rule]).unwrap(),
        ..Rules::default()
    };
    assert_eq!(cells(&with_rule), "GET self: run 20, ledger/net 30");
    assert_eq!(cells(&Rules::default()), "GET self: db/net 30, run 20");
}
