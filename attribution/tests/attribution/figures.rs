//! The figures of docs/attribution.md show what the tests of its examples compute: every bar stands below its time.

use std::collections::BTreeMap;
use std::path::Path;

use spandrel_attribution::SpanKey;
use spandrel_model::*;

use crate::edge_cases::WORKED_EXAMPLE;
use crate::remote::worked_example;
use crate::text::{Scene, parse, parse_together};
use crate::world::WorldState;

/// A stretch of a row: from, to, what is written in it.
type Stretch = (i64, i64, String);

/// The rows of the figure below the line that begins with `axis`, by what they begin with.
///
/// ```text
/// time  0    10   25      the axis: a time stands above its column
/// g1    |run |net |       a row: bars at the times at which something changes
/// ```
fn rows(axis: &str) -> BTreeMap<String, Vec<Stretch>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/attribution.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut lines = page.lines().skip_while(|line| !line.starts_with(axis));
    let times = times_by_column(lines.next().unwrap_or_else(|| panic!("no figure with {axis:?}")));
    let first = *times.keys().next().unwrap();
    let rows = lines.take_while(|line| !line.is_empty() && !line.starts_with('`'));
    let rows = rows.filter(|row| row.contains('|'));
    rows.map(|row| (row[..first].trim().to_owned(), stretches(row, &times)))
        .collect()
}

fn times_by_column(axis: &str) -> BTreeMap<usize, i64> {
    let is_digit = |at: usize| axis.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let starts = (1..axis.len()).filter(|at| is_digit(*at) && axis.as_bytes()[at - 1] == b' ');
    let time = |at: usize| axis[at..].split(' ').next().unwrap().parse().unwrap();
    starts.map(|at| (at, time(at))).collect()
}

fn stretches(row: &str, times: &BTreeMap<usize, i64>) -> Vec<Stretch> {
    let bars: Vec<usize> = row.match_indices('|').map(|(at, _)| at).collect();
    let time = |bar: usize| {
        let time = times.get(&bar);
        *time.unwrap_or_else(|| panic!("no time above column {bar} of {row:?}: {times:?}"))
    };
    let stretch = |pair: &[usize]| {
        let label = row[pair[0] + 1..pair[1]].trim_matches(['-', ' ']);
        (time(pair[0]), time(pair[1]), label.to_owned())
    };
    bars.windows(2).map(stretch).collect()
}

/// The states of a goroutine as a figure shows them, as far as they are recorded.
fn states_of(scene: &Scene, task: u64) -> Vec<Stretch> {
    let window = scene.recordings[0].window;
    let states = scene.world.states.iter().filter(|state| state.task == task);
    let shown = |state: &WorldState| {
        let part = state.interval.intersection(window)?;
        Some((part.start().0, part.end().0, state.state.as_str().to_owned()))
    };
    states.filter_map(shown).collect()
}

/// Which span owned the goroutine.
fn owners_of(scene: &Scene, task: u64) -> Vec<Stretch> {
    let analysis = scene.world.analyze(&scene.recordings);
    let mut owners: Vec<Stretch> = Vec::new();
    for (piece, owner) in analysis.owned(TaskId(task)) {
        let span = scene
            .world
            .spans
            .iter()
            .find(|span| SpanKey::of(span) == owner)
            .unwrap();
        match owners.last_mut().filter(|last| *last.2 == *span.name) {
            Some(last) => last.1 = piece.end().0,
            None => owners.push((piece.start().0, piece.end().0, span.name.to_string())),
        }
    }
    owners
}

fn assert_span(rows: &BTreeMap<String, Vec<Stretch>>, scene: &Scene, name: &str) {
    let span = scene.world.spans.iter().find(|span| &*span.name == name).unwrap();
    let [(start, end, _)] = &rows[name][..] else {
        panic!("{name}: {:?}", rows[name]);
    };
    assert_eq!(
        (*start, *end),
        (span.interval.start().0, span.interval.end().0),
        "{name}"
    );
}

/// States may be shortened: `run`, and `rbl` for runnable.
fn assert_states(row: &[Stretch], states: &[Stretch]) {
    assert_eq!(row.len(), states.len(), "{row:?} {states:?}");
    for ((start, end, word), (state_start, state_end, state)) in row.iter().zip(states) {
        assert_eq!((start, end), (state_start, state_end), "{word} {state}");
        assert!(
            state.starts_with(&**word) || (word == "rbl" && state == "runnable"),
            "{word} {state}"
        );
    }
}

#[test]
fn the_figure_of_the_small_example_shows_its_scene() {
    let rows = rows("time   ");
    let scene = parse(WORKED_EXAMPLE);
    assert_states(&rows["goroutine 1"], &states_of(&scene, 1));
    assert_states(&rows["goroutine 2"], &states_of(&scene, 2));
    for name in ["GET", "SELECT", "render"] {
        assert_span(&rows, &scene, name);
    }
    assert_eq!(rows["owner of 1"], owners_of(&scene, 1));
    assert_eq!(rows.len(), 6);
}

#[test]
fn the_figure_of_the_example_across_processes_shows_its_scenes() {
    let in_microseconds = worked_example().replace("000", "");
    let scenes = parse_together(&in_microseconds);
    let (shop, cart) = (rows("shop "), rows("cart "));
    assert_states(&shop["g1"], &states_of(&scenes[0], 1));
    assert_span(&shop, &scenes[0], "GET");
    assert_span(&shop, &scenes[0], "call");
    assert_states(&cart["g1"], &states_of(&scenes[1], 1));
    assert_span(&cart, &scenes[1], "serve");
}
