//! What the root view costs where many tasks wait for one another, counted in stretches of time visited.

use spandrel_attribution::*;
use spandrel_model::*;

use crate::text::{check, parse};
use crate::world::World;

fn attributed(timeline: &str) -> Attributed {
    let scene = parse(timeline);
    let result = scene.world.attribute(&scene.recordings);
    assert_eq!(result.violations, []);
    assert_eq!(result.spans.len(), scene.world.spans.len());
    result
}

/// Requests that come at once and go through a lock one after the other.
fn convoy(requests: usize) -> String {
    let first = "g1: run 0..10 | span r on g1: 0..10".to_owned();
    let others = (2..=requests).map(|me| {
        let (before, from, to) = (me - 1, 10 * (me - 1), 10 * me);
        format!("g{me}: mutex 0..{from} by g{before}, run {from}..{to} | span r on g{me}: 0..{to}")
    });
    std::iter::once(first).chain(others).collect::<Vec<_>>().join(" | ")
}

#[test]
fn a_convoy_of_ten_thousand_at_one_lock_costs_the_length_of_a_chain_for_each() {
    let (half, whole) = (attributed(&convoy(5_000)), attributed(&convoy(10_000)));
    assert!(whole.walks.pieces <= 10_000 * 66, "{:?}", whole.walks);
    assert!(10 * whole.walks.pieces <= 22 * half.walks.pieces);
    assert_eq!((whole.walks.depth_max, whole.walks.contradictions), (64, 0));
    assert_eq!(whole.walks.too_long, 10_000 - 65);
    let last = whole.spans.iter().max_by_key(|span| span.interval.end()).unwrap();
    assert_eq!(last.truncated_ns, 10 * (10_000 - 65));
    let root = last.cells.iter().filter(|cell| cell.view == View::Root);
    let told: Vec<(State, i64)> = root.map(|cell| (cell.state, cell.ns)).collect();
    let unknown = (State::Unknown, last.truncated_ns);
    assert_eq!(told, [(State::Running, 10), (State::BlockedOnOther, 640), unknown]);
}

/// Requests that all wait, each for a hundred rounds of a read loop that serves them in turn.
fn read_loop(rounds: usize) -> String {
    let mut read_loop = Vec::new();
    let mut requests = Vec::new();
    for round in 0..rounds {
        let at = 30 * round;
        read_loop.push(format!("net {at}..{} by ext, run {}..{}", at + 20, at + 20, at + 30));
        let (me, from, to) = (round + 2, at.saturating_sub(3_000), at + 25);
        requests.push(format!(
            "g{me}: run {from}..{}, select {}..{to} by g1, run {to}..{} | span r on g{me}: {from}..{}",
            from + 1,
            from + 1,
            to + 2,
            to + 2
        ));
    }
    format!("g1: {} | {}", read_loop.join(", "), requests.join(" | "))
}

#[test]
fn a_read_loop_that_serves_a_hundred_requests_at_once_is_summed_up() {
    let result = attributed(&read_loop(2_000));
    assert!(result.walks.pieces < 2_000 * 10, "{:?}", result.walks);
    assert!(result.walks.summed > 1_900);
    let one = result
        .spans
        .iter()
        .find(|span| span.interval.start().0 == 30_000)
        .unwrap();
    let helper = one.cells.iter().filter(|cell| cell.relation == Relation::Helper);
    let told: Vec<(State, i64)> = helper.map(|cell| (cell.state, cell.ns)).collect();
    assert_eq!(told, [(State::Running, 1_005), (State::Network, 2_019)]);
}

#[test]
fn a_worker_with_spans_of_its_own_is_summed_up_for_others_and_walked_for_its_own_trace() {
    let jobs = 100;
    let mut spans = String::new();
    for job in 0..jobs {
        let at = 10 + 10 * job;
        let parent = if job == 50 { "in me" } else { "" };
        spans += &format!(" | span job{job} {parent} on g1 layer work: {at}..{}", at + 8);
    }
    let end = 10 + 10 * jobs;
    let timeline = format!(
        "g1: run 0..{} | g2: run 0..5, chan 5..{end} by g1, run {end}..{} | g3: run 0..5, chan 5..{end} by g1, run {end}..{}
         | span me on g2 layer me: 0..{} | span you on g3 layer you: 0..{} {spans}",
        end + 10,
        end + 10,
        end + 10,
        end + 10,
        end + 10
    );
    let culprits: String = (0..jobs)
        .filter(|job| *job != 50)
        .map(|job| format!("blocked/channel 8 by job{job} work/run"))
        .collect::<Vec<_>>()
        .join(", ");
    let mut of_me: Vec<&str> = culprits.split(", ").collect();
    of_me.sort_unstable();
    let mut of_you = of_me.clone();
    of_you.push("blocked/channel 8 by me work/run");
    of_you.sort_unstable();
    check(
        &timeline,
        &format!(
            "me root: run 15, helper:run 205, {}, work/run 8 | you root: run 15, helper:run 205, {}",
            of_me.join(", "),
            of_you.join(", ")
        ),
    );
    let scene = parse(&timeline);
    assert_eq!(scene.world.attribute(&scene.recordings).walks.summed, 1);
}

#[test]
fn what_a_summed_up_task_is_not_known_to_have_done_is_nobodys_fault() {
    let rounds = (0..100).map(|round| format!("run {0}..{1}, ? {1}..{2}", 10 * round, 10 * round + 6, 10 * round + 10));
    let timeline = format!(
        "g1: {}, run 1000..1010 | g2: run 0..5, chan 5..1000 by g1, run 1000..1010 | span s on g2: 0..1010",
        rounds.collect::<Vec<_>>().join(", ")
    );
    check(&timeline, "s root: run 15, helper:run 595, ?state_not_recorded 400");
    assert_eq!(attributed(&timeline).walks.summed, 1);
}

#[test]
fn damaged_wakes_cost_no_more_than_sound_ones_and_invent_nothing() {
    let scene = parse(&convoy(400));
    let mut damaged: World = scene.world.clone();
    for state in &mut damaged.states {
        if let Waker::Task(TaskId(waker)) = state.waker {
            state.waker = Waker::Task(TaskId(1 + (waker * 7_919) % 400));
        }
    }
    let result = damaged.attribute(&damaged.record(&[damaged.extent()]));
    assert_eq!(result.violations, []);
    assert!(result.walks.contradictions > 0);
    assert!(result.walks.pieces <= 400 * 66, "{:?}", result.walks);
    let known = result
        .spans
        .iter()
        .flat_map(|span| &span.cells)
        .filter(|cell| cell.view == View::Root);
    let states = known.map(|cell| cell.culprit.as_ref().map_or(cell.state, |culprit| culprit.state));
    assert!(
        states
            .into_iter()
            .all(|state| matches!(state, State::Running | State::Unknown))
    );
}
