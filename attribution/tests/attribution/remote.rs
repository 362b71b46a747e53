//! Calls to other processes, as fixed matrices. Nanoseconds; the clock of `shop` unless another host is named.

use spandrel_attribution::{InFlight, Matrix, Rules, SpanAttribution, attribute_together};
use spandrel_model::*;

use crate::text::{attribute_scenes, check, check_together, inputs, parse_together, shown};

fn attributed(timeline: &str, name: &str) -> SpanAttribution {
    let result = attribute_scenes(&parse_together(timeline));
    let span = result.spans.into_iter().find(|span| &*span.operation == name);
    span.unwrap_or_else(|| panic!("no span {name}"))
}

fn in_flight((min_ns, max_ns): (i64, i64), (request_min_ns, request_max_ns): (i64, i64)) -> InFlight {
    InFlight {
        min_ns,
        max_ns,
        request_min_ns,
        request_max_ns,
    }
}

const CALL: &str = "g1: run 0..10000, net/read 10000..90000 by ext, run 90000..100000
    | span GET on g1 layer handler: 0..100000 | span call in GET on g1 layer http.client kind client: 5000..95000";

const SHOP: &str = "host a | span GET on g1 layer handler kind server: 0..100000
    | span call in GET on g1 layer http.client kind client: 5000..95000";
const CART: &str = "host b | span serve in call on g1 layer handler kind server: 530000..570000
    | span PUT on g9 layer db kind server: 400000..600000";

/// The example across processes that docs/attribution.md computes by hand, with recordings.
pub(crate) fn worked_example() -> String {
    let shop = "g1: run 0..10000, net/read 10000..90000 by ext, run 90000..100000";
    let cart = "g1: run 530000..540000, mutex 540000..560000 by g9, run 560000..570000 | g9: run 400000..600000";
    format!("{SHOP} | {shop} || {CART} | {cart}")
}

#[test]
fn the_worked_examples_of_the_documentation_come_out_as_written() {
    let recorded = worked_example();
    check_together(
        &recorded,
        "GET root: run 10000, remote:run 20000, remote:blocked/mutex 20000 by PUT db/run, http.client/run 10000, \
         http.client/net/in_flight 40000",
    );
    let call = attributed(&recorded, "call");
    assert_eq!((call.offset_lo_ns, call.offset_hi_ns), (Some(474_000), Some(526_000)));
    assert_eq!(call.in_flight, Some(in_flight((40_000, 46_000), (0, 46_000))));
    check_together(
        &format!("{SHOP} || {CART}").replace(" on g1", ""),
        "call root: ~remote:handler/?not_recorded 40000, ~net/in_flight 50000 \
         | GET root: ~?not_recorded 10000, ~remote:?not_recorded 40000, ~http.client/net/in_flight 50000",
    );
}

#[test]
fn the_servers_time_stands_in_the_place_of_the_network_wait_of_client_and_handler() {
    check_together(
        &format!(
            "host a | {CALL} || host a | g1: run 30000..40000, mutex 40000..60000 by g9, run 60000..70000
             | g9: run 30000..100000
             | span serve in call on g1 layer handler kind server: 30000..70000 | span PUT on g9 layer db: 30000..90000"
        ),
        "call self: run 10000, net/read 80000 \
         | call root: remote:handler/run 20000, remote:handler/blocked/mutex 20000 by PUT db/run, run 10000, \
         net/in_flight 40000 \
         | GET root: run 10000, remote:run 20000, remote:blocked/mutex 20000 by PUT db/run, http.client/run 10000, \
         http.client/net/in_flight 40000",
    );
}

#[test]
fn it_does_so_for_a_client_behind_a_read_loop_and_whoever_waits_for_the_client() {
    check_together(
        "host a | g1: run 0..5000, wg 5000..97000 by g2, run 97000..100000
         | g2 from g1: run 4000..6000, select 6000..92000 by g3, run 92000..97000
         | g3: net/http_response 0..90000 by ext, run 90000..100000
         | span GET on g1 layer handler: 0..100000 | span call in GET on g2 layer http.client kind client: 5000..95000
         || host a | g1: run 30000..70000 | span serve in call on g1 layer db kind server: 30000..70000",
        "call root: remote:db/run 40000, run 4000, helper:run 2000, helper:net/in_flight 44000 \
         | GET root: remote:db/run 40000, run 10000, http.client/run 4000, helper:http.client/run 2000, \
         helper:http.client/net/in_flight 44000",
    );
}

#[test]
fn a_call_of_a_call_is_followed() {
    check_together(
        &format!(
            "host a | {CALL}
             || host a | g1: run 30000..40000, net 40000..60000 by ext, run 60000..70000
             | span serve in call on g1 layer handler kind server: 30000..70000
             | span query in serve on g1 layer db kind client: 38000..62000
             || host a | g1: syscall 45000..55000 | span disk in query on g1 layer disk kind server: 45000..55000"
        ),
        "query root: run 4000, net/in_flight 10000, remote:disk/syscall 10000 \
         | serve root: db/run 4000, db/net/in_flight 10000, remote:disk/syscall 10000, run 16000 \
         | call root: remote:db/run 4000, remote:db/net/in_flight 10000, remote:disk/syscall 10000, \
         remote:handler/run 16000, run 10000, net/in_flight 40000",
    );
}

#[test]
fn without_a_server_span_network_and_service_are_not_told_apart() {
    check(
        "g1: run 0..10, net/connect 10..20 by ext, net/read 20..90 by ext, run 90..100
         | span q on g1 layer db kind client: 0..100 | span other on g1: 100..100",
        "q self: run 20, net/connect 10, net/read 70 | q root: run 20, net/connect 10, net/remote 70",
    );
    check(
        "g1: net/read 0..90 by ext | span GET on g1 layer handler kind server: 0..90 | span work on g1 kind internal: 0..80",
        "work root: net/read 80 | GET root: net/read 10, service/net/read 80",
    );
}

#[test]
fn waits_inside_a_call_belong_to_it_also_under_spans_of_its_parts() {
    check(
        "g1: net/read 0..90 by ext | span call on g1 layer rpc.client kind client: 0..90
         | span receive in call on g1 layer part kind internal: 10..50",
        "call root: part/net/remote 40, net/remote 50 | receive root: net/remote 40",
    );
}

#[test]
fn a_server_that_is_not_recorded_is_inferred_within_an_exact_wait() {
    check_together(
        &format!(
            "host a | {CALL} || host a | span serve in call layer handler kind server: 30000..70000
             | span q in serve layer db kind client: 40000..50000"
        ),
        "call root: ~remote:db/?not_recorded 10000, ~remote:handler/?not_recorded 30000, run 10000, net/in_flight 40000",
    );
}

#[test]
fn a_client_that_is_not_recorded_has_the_exact_cells_of_its_server() {
    check_together(
        "host a | span GET layer handler: 0..100000 | span call in GET layer http.client kind client: 5000..95000
         || host a | g1: run 30000..40000, mutex 40000..70000 | span serve in call on g1 layer db kind server: 30000..70000",
        "call self: ?not_recorded 90000 \
         | call root: remote:db/run 10000, remote:db/mutex 30000, ~net/in_flight 50000 \
         | GET root: remote:db/run 10000, remote:db/mutex 30000, ~?not_recorded 10000, \
         ~http.client/net/in_flight 50000",
    );
}

#[test]
fn i22_clocks_of_two_hosts_are_a_range_apart_and_the_server_stands_in_its_middle() {
    let skewed = "host a | span call layer http.client kind client: 0..100000
         || host b | g1: run 1000000..2000000 | span serve in call on g1 layer db kind server: 1020000..1070000";
    check_together(skewed, "call root: remote:db/run 50000, ~net/in_flight 50000");
    let call = attributed(skewed, "call");
    assert_eq!((call.offset_lo_ns, call.offset_hi_ns), (Some(969_000), Some(1_021_000)));
    assert_eq!(call.detached_ns, 0);
    let serve = attributed(skewed, "serve");
    assert_eq!((serve.offset_lo_ns, serve.offset_hi_ns), (None, None));
}

#[test]
fn one_host_has_one_clock_unless_most_calls_contradict_it() {
    let call = attributed(
        "host a | span call kind client: 0..100000 || host a | span serve in call kind server: 20000..70000",
        "call",
    );
    assert_eq!((call.offset_lo_ns, call.offset_hi_ns), (Some(-1_000), Some(1_000)));
    assert_eq!(call.in_flight, Some(in_flight((50_000, 50_000), (19_000, 21_000))));
    let call = attributed(
        "host localhost | span call kind client: 0..100000
         || host localhost | span serve in call kind server: 520000..570000",
        "call",
    );
    assert_eq!((call.offset_lo_ns, call.offset_hi_ns), (Some(469_000), Some(521_000)));
}

#[test]
fn i22_a_server_longer_than_its_client_is_detached() {
    let timeline = "host a | g1: net 0..100000 by ext | span call on g1 kind client: 0..100000
         || host b | g1: run 0..200000 | span serve in call on g1 kind server: 10000..150000";
    check_together(timeline, "call root: net/remote 100000 | serve root: run 140000");
    let call = attributed(timeline, "call");
    assert_eq!((call.detached_ns, call.offset_lo_ns), (140_000, None));
    check_together(
        "host a | span call kind client: 0..100000 || host b | span serve in call kind server: 10000..150000",
        "call root: ~?not_recorded 100000",
    );
}

#[test]
fn on_one_clock_a_server_that_ends_after_its_client_is_detached() {
    let others = (1_i64..6).map(|call| (call * 1_000_000, call * 1_000_000 + 20_000));
    let clients: String = others
        .clone()
        .map(|(at, _)| format!(" | span c{at} kind client: {at}..{}", at + 100_000))
        .collect();
    let servers: String = others
        .map(|(at, to)| format!(" | span s{at} in c{at} kind server: {to}..{}", to + 50_000))
        .collect();
    let timeline = format!(
        "host a | span call kind client: 0..100000{clients}
         || host a | span serve in call kind server: 80000..130000{servers}"
    );
    assert_eq!(attributed(&timeline, "call").detached_ns, 50_000);
    assert_eq!(attributed(&timeline, "c1000000").detached_ns, 0);
}

#[test]
fn consumers_are_not_waited_for() {
    let timeline = "host a | g1: run 0..10000, net 10000..100000 by ext
         | span GET on g1 layer handler kind server: 0..100000
         | span send in GET on g1 layer messaging kind producer: 10000..100000
         || host a | g1: run 0..100000 | span handle in send on g1 kind consumer: 20000..60000";
    check_together(
        timeline,
        "send root: net/remote 90000 | GET root: run 10000, messaging/net/remote 90000",
    );
    assert_eq!(attributed(timeline, "send").detached_ns, 40_000);
}

#[test]
fn retries_follow_each_other_and_a_hedge_is_no_flight() {
    let client = "host a | g1: run 0..10000, net 10000..90000 by ext, run 90000..100000
         | span call on g1 layer rpc.client kind client: 0..100000 || host a | g1: run 0..200000 | g2: syscall 0..200000";
    check_together(
        &format!(
            "{client} | span first in call on g1 layer one kind server: 15000..30000
             | span second in call on g2 layer two kind server: 50000..80000"
        ),
        "call root: remote:one/run 15000, run 20000, net/in_flight 35000, remote:two/syscall 30000",
    );
    check_together(
        &format!(
            "{client} | span slow in call on g1 layer one kind server: 15000..85000
             | span hedge in call on g2 layer two kind server: 40000..88000"
        ),
        "call root: run 20000, net/in_flight 7000, net/remote 25000, remote:two/syscall 48000",
    );
    check_together(
        &format!(
            "{client} | span slow in call on g1 layer one kind server: 15000..150000
             | span hedge in call on g2 layer two kind server: 40000..85000"
        ),
        "call root: run 20000, net/remote 35000, remote:two/syscall 45000",
    );
}

#[test]
fn what_is_in_flight_is_told_of_a_call_with_one_server_that_was_waited_for() {
    let call = |servers: &str| attributed(&format!("host a | {CALL} || host a | {servers}"), "call").in_flight;
    let one = "span serve in call kind server: 20000..50000";
    assert_eq!(call(one), Some(in_flight((50_000, 50_000), (9_000, 11_000))));
    assert_eq!(
        call(&format!("{one} | span again in call kind server: 60000..80000")),
        None
    );
    assert_eq!(
        call(&format!("{one} | span late in call kind consumer: 60000..80000")),
        None
    );
    assert_eq!(call("span late in call kind server: 20000..200000"), None);
    assert_eq!(call("span nobody kind server: 20000..50000"), None);
    // Spans of its own, in which the unbound client waited last, hide a part of the server.
    let unbound = "host a | span call kind client: 0..100000 | span parse in call: 40000..90000
         || host a | span serve in call kind server: 20000..50000";
    assert_eq!(attributed(unbound, "call").in_flight, None);
}

#[test]
fn time_that_the_client_was_not_waiting_for_the_network_stays_its_own() {
    let timeline = "host a | g1: net 0..40000 by ext, run 40000..60000, net 60000..100000 by ext
         | span call on g1 layer rpc.client kind client: 0..100000
         || host a | g1: run 0..50000, syscall 50000..100000 | span serve in call on g1 kind server: 20000..80000";
    check_together(
        timeline,
        "call root: remote:handler/run 20000, remote:handler/syscall 20000, run 20000, net/in_flight 40000",
    );
    let call = attributed(timeline, "call");
    assert_eq!(call.in_flight, Some(in_flight((40_000, 40_000), (19_000, 21_000))));
}

#[test]
fn a_process_that_calls_itself_over_the_network_is_followed() {
    check(
        "g1: net 0..100000 by ext | g2: run 20000..80000 | span call on g1 layer rpc.client kind client: 0..100000
         | span serve in call on g2 layer handler kind server: 20000..80000",
        "call root: remote:handler/run 60000, net/in_flight 40000",
    );
}

#[test]
fn what_holds_up_a_server_is_interference_there_and_not_here_again() {
    let scenes = parse_together(&format!(
        "host a | {CALL} || host a | g1: mutex 30000..70000 by g9 | g9: run 30000..100000
         | span serve in call on g1 layer handler kind server: 30000..70000 | span PUT on g9 layer db: 30000..90000"
    ));
    let mut matrix = Matrix::new(std::num::NonZeroI64::MAX);
    attribute_scenes(&scenes).spans.iter().for_each(|span| matrix.add(span));
    let rows = matrix.tables().interference;
    let shown = rows
        .iter()
        .map(|row| (&*row.group.service_name, &*row.group.operation, row.ns));
    let shown: Vec<(&str, &str, i64)> = shown.collect();
    assert_eq!(shown, [("cart", "serve", 40_000)]);
}

#[test]
fn parents_that_form_a_circle_between_processes_are_not_followed_round() {
    let mut scenes = parse_together(
        "host a | g1: net 0..100000 by ext | span one on g1 kind client: 0..100000
         || host b | g1: net 0..100000 by ext | span two in one on g1 kind client: 0..100000",
    );
    scenes[0].world.spans[0].parent_span_id = Some(scenes[1].world.spans[0].span_id);
    for span in attribute_scenes(&scenes).spans {
        let root = span.cells.iter().filter(|cell| cell.view == View::Root);
        assert_eq!(
            root.map(|cell| (cell.state, cell.ns)).collect::<Vec<_>>(),
            [(State::Network, 100_000)]
        );
    }
}

#[test]
fn one_server_without_length_that_was_not_waited_for_is_no_flight_either() {
    check_together(
        "host a | g1: run 0..10000, net 10000..100000 by ext | span send on g1 layer messaging kind producer: 10000..100000
         || host a | span handle in send kind consumer: 20000..20000",
        "send root: net/remote 90000",
    );
}

#[test]
fn of_servers_with_the_same_times_the_one_waited_for_does_not_depend_on_the_order_of_processes() {
    let scenes = parse_together(
        "host a | g1: net 0..100000 by ext | span call on g1 layer http.client kind client: 0..100000
         || host a | g1: run 0..90000 | span one in call on g1 layer one kind server: 20000..70000
         || host a | g1: run 0..90000 | span two in call on g1 layer two kind server: 20000..70000",
    );
    let mut inputs = inputs(&scenes);
    let expected = "call root: net/in_flight 50000, remote:one/run 50000";
    for _ in 0..3 {
        inputs.rotate_left(1);
        let results = attribute_together(&inputs, &Rules::default());
        let caller = results
            .iter()
            .find(|result| &*result.spans[0].operation == "call")
            .unwrap();
        assert_eq!(shown(caller, "call root"), expected);
    }
}

#[test]
fn calls_in_both_directions_narrow_each_other_however_far_the_clocks_are_apart() {
    let hour = 3_600_000_000_000_i64;
    let (mut here, mut there) = (String::from("host a"), String::from("|| host b"));
    let mut back = String::from("|| host a");
    for call in 0..4 {
        let at = call * 1_000_000;
        // The request takes 1 us, the response 40 us; the other way round it is the other way round.
        here += &format!(" | span c{call} kind client: {at}..{}", at + 100_000);
        there += &format!(
            " | span s{call} in c{call} kind server: {}..{}",
            hour + at + 1_000,
            hour + at + 60_000
        );
        there += &format!(
            " | span d{call} kind client: {}..{}",
            hour + at + 200_000,
            hour + at + 300_000
        );
        back += &format!(
            " | span t{call} in d{call} kind server: {}..{}",
            at + 201_000,
            at + 260_000
        );
    }
    let call = attributed(&(here + &there + &back), "c1");
    let (lo_ns, hi_ns) = (call.offset_lo_ns.unwrap() - hour, call.offset_hi_ns.unwrap() - hour);
    assert!(
        (-3_000..=0).contains(&lo_ns) && (0..=3_000).contains(&hi_ns),
        "{lo_ns}..{hi_ns}"
    );
}
