//! Timelines as text.
//!
//! Parts are separated by `|`. Numbers are nanoseconds.
//!
//! ```text
//! g2 from g1: run 5..10, chan/recv 10..40      goroutine 2, created by 1 at its first instant, dead after its last
//! g3: mutex 0..9 by g2, net 9..20 by ext       who ended a wait: goroutine 2; the poller or a timer
//! system g3: run 0..9                          goroutine of the runtime
//! g4: net 9..20 by ext at net.Read<main.f      functions on the stack, innermost first
//! span q in s on g1 layer db kind client: 2..8 span; its id is logged on g1 at its start
//! span q on g1 ends g2: 2..8                   its end is logged, too, on g2
//! span q says g1: 2..8                         span with the attribute go.goroutine.id
//! task 4 in 3 named q on g1 ends g2: 2..9      user task, ended by g2; `?` for a time that no recording has
//! cpu g1: 5 main.f<main.main                   a look of the CPU profiler, functions innermost first
//! window 0..20                                 a recording; one of everything if there is none
//! ```
//!
//! Several processes are separated by `||`. Each has a clock of its own, unless it says `host h1`; a span may be in a span of
//! a process before it.
//!
//! Goroutines that reach an end of the recorded time live on beyond it. Expected: `s self: run 10, db/net 5`: cells in
//! the order of the table, the layer only where it is not the span's own, `?reason` for unknown time. In the root view,
//! `s root: run 10, helper:net 4, blocked/mutex 5 by PUT db/run`: the relation where it is not `same`, and the culprit;
//! `~` before what is inferred.

use std::collections::BTreeMap;
use std::sync::Arc;

use spandrel_attribution::{Attributed, ProcessInput, Rules, SpanAttribution, attribute_together};
use spandrel_model::*;

use crate::world::*;

/// A world and the windows in which it is recorded.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) recordings: Vec<TaskRecording>,
}

/// Attributes the timeline and compares the spans that `expected` names.
pub(crate) fn check(timeline: &str, expected: &str) {
    let scene = parse(timeline);
    let result = scene.world.attribute(&scene.recordings);
    assert_eq!(result.violations, []);
    assert_eq!(shown(&result, expected), expected, "{timeline}");
}

/// Attributes the processes of the timeline together and compares the spans that `expected` names.
pub(crate) fn check_together(timeline: &str, expected: &str) {
    let scenes = parse_together(timeline);
    let result = attribute_scenes(&scenes);
    assert_eq!(shown(&result, expected), expected, "{timeline}");
}

/// All processes in one result.
pub(crate) fn attribute_scenes(scenes: &[Scene]) -> Attributed {
    let mut all = Attributed::default();
    for result in attribute_together(&inputs(scenes), &Rules::default()) {
        assert_eq!(result.violations, []);
        all.spans.extend(result.spans);
    }
    all
}

pub(crate) fn inputs(scenes: &[Scene]) -> Vec<ProcessInput<'_>> {
    let inputs = scenes.iter().map(|scene| ProcessInput {
        spans: scene.world.process_spans(),
        recordings: scene.recordings.iter().collect(),
        cpu_profiles: Vec::new(),
    });
    inputs.collect()
}

/// The views that `expected` names, as it would have to show them.
pub(crate) fn shown(result: &Attributed, expected: &str) -> String {
    let wanted = expected.split('|').map(|part| part.trim().split([' ', ':']));
    let views = wanted.map(|mut words| {
        let (name, view) = (words.next().unwrap(), words.next().unwrap());
        let view = [View::SelfView, View::Root]
            .into_iter()
            .find(|known| known.as_str() == view);
        let span = result.spans.iter().find(|span| &*span.operation == name);
        show(span.unwrap_or_else(|| panic!("no span {name}")), view.unwrap())
    });
    views.collect::<Vec<String>>().join(" | ")
}

/// Spans by name; the last number given.
#[derive(Default)]
struct Ids {
    by_name: BTreeMap<String, (TraceId, SpanId)>,
    last: u64,
}

pub(crate) fn parse(timeline: &str) -> Scene {
    parse_process(timeline, "shop", &mut Ids::default())
}

pub(crate) fn parse_together(timeline: &str) -> Vec<Scene> {
    let mut ids = Ids::default();
    let services = ["shop", "cart", "stock", "bank"].into_iter();
    let processes = timeline.split("||").zip(services);
    processes
        .map(|(process, service)| parse_process(process, service, &mut ids))
        .collect()
}

fn parse_process(timeline: &str, service: &str, ids: &mut Ids) -> Scene {
    let mut hosts = timeline.split('|').filter_map(|part| part.trim().strip_prefix("host "));
    let mut world = World {
        process: Arc::new(ProcessIdentity {
            service_name: Arc::from(service),
            host_name: hosts.next().map(|host| Arc::from(host.trim())),
            ..ProcessIdentity::default()
        }),
        ..World::default()
    };
    let mut windows = Vec::new();
    for part in timeline.split('|').map(str::trim).filter(|part| !part.is_empty()) {
        let (head, body) = part.split_once(':').unwrap_or((part, ""));
        let words: Vec<&str> = head.split_whitespace().collect();
        match words[0] {
            "host" => {}
            "window" => windows.push(range(words[1])),
            "span" => add_span(&mut world, ids, &words, range(body.trim())),
            "task" => add_user_task(&mut world, &words, body.trim()),
            "cpu" => add_sample(&mut world, &words, body.trim()),
            "system" => add_goroutine(&mut world, &words[1..], TaskKind::System, body),
            _ => add_goroutine(&mut world, &words, TaskKind::Application, body),
        }
    }
    world.user_tasks.sort_by_key(|task| task.id);
    if windows.is_empty() {
        windows.push(world.extent());
    }
    let first = windows.iter().map(|window| window.start()).min().unwrap();
    let last = windows.iter().map(|window| window.end()).max().unwrap();
    for task in &mut world.tasks {
        task.death = task.death.filter(|death| *death < last.0);
        if task.birth == first.0 && task.creator.is_none() {
            task.birth -= 1;
        }
    }
    let recordings = world.record(&windows);
    Scene { world, recordings }
}

fn range(text: &str) -> Interval {
    let (start, end) = text.split_once("..").unwrap_or_else(|| panic!("no range in {text:?}"));
    interval(start.parse().unwrap(), end.parse().unwrap())
}

fn goroutine(word: &str) -> u64 {
    word.strip_prefix('g')
        .and_then(|id| id.parse().ok())
        .unwrap_or_else(|| panic!("no goroutine in {word:?}"))
}

fn after<'a>(words: &[&'a str], keyword: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| *word == keyword)?;
    words.get(at + 1).copied()
}

fn add_goroutine(world: &mut World, words: &[&str], kind: TaskKind, body: &str) {
    let id = goroutine(words[0]);
    let states: Vec<WorldState> = body
        .split(',')
        .map(|state| {
            let (word, time) = state.trim().split_once(' ').unwrap();
            let (time, stack) = time.split_once(" at ").unwrap_or((time, ""));
            let (time, waker) = time.split_once(" by ").unwrap_or((time, ""));
            let (word, sub_state) = word.split_once('/').unwrap_or((word, ""));
            WorldState {
                task: id,
                interval: range(time.trim()),
                state: state_of(word),
                sub_state: sub_state.to_owned(),
                waker: match waker {
                    "" => Waker::None,
                    "ext" => Waker::External,
                    waker => Waker::Task(TaskId(goroutine(waker))),
                },
                stack: functions(stack),
            }
        })
        .collect();
    world.tasks.push(WorldTask {
        id,
        creator: after(words, "from").map(goroutine),
        birth: states[0].interval.start().0,
        death: states.last().map(|state| state.interval.end().0),
        kind,
    });
    world.states.extend(states);
}

fn add_span(world: &mut World, ids: &mut Ids, words: &[&str], time: Interval) {
    ids.last += 1;
    let number = ids.last;
    let parent = after(words, "in").map(|parent| ids.by_name[parent]);
    let trace_id = parent.map_or(TraceId::new(u128::from(number).to_be_bytes()), |parent| parent.0);
    let span_id = SpanId::new(number.to_be_bytes());
    ids.by_name.insert(words[1].to_owned(), (trace_id, span_id));
    let mut attributes = Vec::new();
    if let Some(layer) = after(words, "layer") {
        attributes.push(("attribution.layer".to_owned(), AttributeValue::String(layer.to_owned())));
    }
    if let Some(task) = after(words, "says") {
        let id = i64::try_from(goroutine(task)).unwrap();
        attributes.push(("go.goroutine.id".to_owned(), AttributeValue::Int(id)));
    }
    for (keyword, category, at) in [("on", "otel", time.start()), ("ends", "otel.end", time.end())] {
        world.logs.extend(after(words, keyword).map(|task| WorldLog {
            task: goroutine(task),
            user_task: None,
            at: at.0,
            category: category.to_owned(),
            message: [&trace_id.as_bytes()[..], span_id.as_bytes()].concat(),
        }));
    }
    world.spans.push(Span {
        trace_id,
        span_id,
        parent_span_id: parent.map(|parent| parent.1),
        parent_is_remote: None,
        process: world.process.clone(),
        name: Arc::from(words[1]),
        kind: after(words, "kind").map(SpanKind::from_column).unwrap_or_default(),
        scope_name: Arc::from(""),
        interval: time,
        attributes,
    });
}

fn add_sample(world: &mut World, words: &[&str], body: &str) {
    let (at, stack) = body.split_once(' ').unwrap_or((body, ""));
    world.samples.push(WorldSample {
        task: goroutine(words[1]),
        at: at.parse().unwrap(),
        stack: functions(stack),
    });
}

/// `f<g`: innermost first.
fn functions(stack: &str) -> Vec<String> {
    let functions = stack.split('<').filter(|function| !function.is_empty());
    functions.map(str::to_owned).collect()
}

fn add_user_task(world: &mut World, words: &[&str], times: &str) {
    let on = goroutine(after(words, "on").unwrap());
    let (begin, end) = times.split_once("..").unwrap();
    world.user_tasks.push(WorldUserTask {
        id: words[1].parse().unwrap(),
        parent: after(words, "in").map(|id| id.parse().unwrap()),
        name: after(words, "named").unwrap().to_owned(),
        begin: (on, begin.parse().unwrap()),
        end: end
            .parse()
            .ok()
            .map(|end| (after(words, "ends").map_or(on, goroutine), end)),
    });
}

const STATES: [(&str, State); 14] = [
    ("run", State::Running),
    ("ready", State::Runnable),
    ("mutex", State::Mutex),
    ("wg", State::WaitGroup),
    ("chan", State::Channel),
    ("select", State::Select),
    ("sleep", State::Sleep),
    ("net", State::Network),
    ("syscall", State::Syscall),
    ("assist", State::GcAssist),
    ("stw", State::GcStw),
    ("other", State::Other),
    ("blocked", State::BlockedOnOther),
    ("?", State::Unknown),
];

fn state_of(word: &str) -> State {
    let found = STATES.iter().find(|(name, _)| *name == word);
    found.unwrap_or_else(|| panic!("no state {word:?}")).1
}

fn show(span: &SpanAttribution, view: View) -> String {
    let cells = span.cells.iter().filter(|cell| cell.view == view);
    let cells: Vec<String> = cells.map(|cell| show_cell(cell, &span.layer)).collect();
    format!("{} {}: {}", span.operation, view.as_str(), cells.join(", "))
        .trim_end()
        .to_owned()
}

fn show_cell(cell: &Cell, own: &Layer) -> String {
    let word = |state| STATES.iter().find(|(_, known)| *known == state).unwrap().0;
    let layer = match cell.layer == *own {
        true => String::new(),
        false => format!("{}/", cell.layer),
    };
    let relation = match cell.relation {
        Relation::Same | Relation::Interference => String::new(),
        relation => format!("{}:", relation.as_str()),
    };
    let slash = match cell.state == State::Unknown || cell.sub_state.is_empty() {
        true => "",
        false => "/",
    };
    let culprit = match &cell.culprit {
        Some(culprit) => format!(" by {} {}/{}", culprit.operation, culprit.layer, word(culprit.state)),
        None => String::new(),
    };
    let inferred = if cell.evidence == Evidence::Inferred { "~" } else { "" };
    format!(
        "{inferred}{relation}{layer}{}{slash}{} {}{culprit}",
        word(cell.state),
        cell.sub_state,
        cell.ns
    )
}
