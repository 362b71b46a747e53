//! What requests ran while they were on a processor: functions that the CPU profiler saw.
//!
//! The table `running_functions` divides the running time of all requests of an operation and window by samples. It says
//! nothing of a single request, so what is told here is always of all of them, and says by how many samples.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::answers::Value;
use super::cause::Cause;
use super::site::short_name;
use super::{Tables, literal, other_types};
use crate::report::duration::human;
use crate::report::number::{counted, share};

/// Functions that a person is told.
const TOLD_MAX: usize = 3;
/// Operations that a note names.
const NAMED_MAX: usize = 3;
/// Running time is worth a note from such a share of a request's time on,
const LARGE_PERCENT: i128 = 10;
/// and if it is so long: the profiler looks every 10 ms.
const LARGE_NS: i64 = 1_000_000;

/// What the requests of an operation ran in one layer, in the windows that were looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Ran {
    /// Layer of the running time; empty for that of all layers together.
    pub(super) layer: String,
    /// How long they ran there, all of them together.
    pub(super) ns: i64,
    /// Samples of the CPU profiler, which divide that time.
    pub(super) samples: i64,
    /// By their time, longest first; their times sum to `ns`.
    pub(super) functions: Vec<Function>,
}

/// One function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Function {
    /// Empty for samples without a stack.
    pub(super) function: String,
    /// Layer of the library on the stack, if it has no span of its own; else that of the running time.
    pub(super) function_layer: String,
    pub(super) ns: i64,
    pub(super) samples: i64,
}

/// Service and operation, by which requests are summed up.
pub(super) type Group = (String, String);

/// What each of `groups` ran, by layer: in all windows, or in those in which a request began that starts in
/// `[from_ns, to_ns]`.
///
/// # Errors
/// The table cannot be read.
pub(super) async fn load(
    tables: &Tables<'_>,
    groups: &BTreeMap<Group, Option<(i64, i64)>>,
) -> anyhow::Result<BTreeMap<Group, Vec<Ran>>> {
    let mut found: BTreeMap<Group, Vec<Ran>> = groups.keys().map(|group| (group.clone(), Vec::new())).collect();
    if groups.is_empty() {
        return Ok(found);
    }
    let conditions: Vec<String> = groups.iter().map(condition).collect();
    let sql = format!(
        "SELECT service_name, operation, layer, function_layer, function, sum(n_samples), sum(ns) FROM running_functions \
         WHERE {} GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 7 DESC, 4, 5",
        conditions.join(" OR ")
    );
    for row in tables.rows(&sql).await? {
        let [
            Value::Text(service),
            Value::Text(operation),
            Value::Text(layer),
            Value::Text(function_layer),
            Value::Text(function),
            Value::Int(samples),
            Value::Int(ns),
        ] = row.as_slice()
        else {
            return Err(other_types());
        };
        let layers = found.entry((service.clone(), operation.clone())).or_default();
        let function = Function {
            function: function.clone(),
            function_layer: function_layer.clone(),
            ns: *ns,
            samples: *samples,
        };
        match layers.last_mut().filter(|last| last.layer == *layer) {
            Some(ran) => ran.add(function),
            None => layers.push(Ran::of(layer, function)),
        }
    }
    Ok(found)
}

fn condition(((service, operation), starts): (&Group, &Option<(i64, i64)>)) -> String {
    let windows = starts.map_or_else(String::new, |(from_ns, to_ns)| {
        format!(" AND window_start_ns <= {to_ns} AND window_start_ns + window_ns > {from_ns}")
    });
    let (service, operation) = (literal(service), literal(operation));
    format!("(service_name = {service} AND operation = {operation}{windows})")
}

/// Gives each cause what was run in its layer.
pub(super) fn by_cause<'a>(layers: &[Ran], causes: impl Iterator<Item = &'a Cause>) -> Vec<Option<Ran>> {
    let of_layer = |cause: &Cause| layers.iter().find(|ran| ran.layer == cause.layer);
    let ran = |cause: &Cause| of_layer(cause).filter(|_| is_own_running(cause)).cloned();
    causes.map(ran).collect()
}

/// What was run by samples that tell requests apart and not their layers.
pub(super) fn in_all_layers(layers: &[Ran]) -> Option<Ran> {
    layers.iter().find(|ran| ran.layer.is_empty()).cloned()
}

/// Whether the request itself ran, or a goroutine of its trace.
pub(super) fn is_own_running(cause: &Cause) -> bool {
    cause.state == "running" && cause.relation == "same"
}

/// Whether the request itself or goroutines that worked for it ran. Only for the first are there samples.
pub(super) fn is_running(cause: &Cause) -> bool {
    cause.state == "running" && matches!(cause.relation.as_str(), "same" | "helper")
}

/// Whether running time is much of the time of requests, so that it is worth a note.
pub(super) fn is_large(running_ns: i64, of_ns: i64) -> bool {
    running_ns >= LARGE_NS && 100 * i128::from(running_ns) >= LARGE_PERCENT * i128::from(of_ns)
}

impl Ran {
    fn of(layer: &str, function: Function) -> Self {
        Self {
            layer: layer.to_owned(),
            ns: function.ns,
            samples: function.samples,
            functions: vec![function],
        }
    }

    fn add(&mut self, function: Function) {
        self.ns += function.ns;
        self.samples += function.samples;
        self.functions.push(function);
    }

    /// `96 CPU samples of all GET /report`: what divides the time.
    pub(super) fn evidence(&self, operation: &str) -> String {
        let samples = counted(self.samples.unsigned_abs(), "CPU sample");
        format!("{samples} of all {operation}")
    }

    /// The functions with the most time, and one entry for the rest: name, time.
    pub(super) fn told(&self) -> Vec<(String, i64)> {
        let (told, rest) = self.functions.split_at(TOLD_MAX.min(self.functions.len()));
        let mut parts: Vec<(String, i64)> = told.iter().map(|each| (each.shown(&self.layer), each.ns)).collect();
        if !rest.is_empty() {
            let rest_ns = rest.iter().map(|each| each.ns).sum();
            parts.push((format!("{} more", rest.len()), rest_ns));
        }
        parts
    }

    /// `main.burn 940 ms (97.9 %), 2 more 20.0 ms (2.1 %)`.
    pub(super) fn listed(&self) -> String {
        let part = |(name, ns): (String, i64)| format!("{name} {} ({})", human(ns), share(ns, self.ns));
        self.told().into_iter().map(part).collect::<Vec<_>>().join(", ")
    }
}

impl Function {
    /// `pgx.(*Conn).bind`, or `pgx.(*Conn).bind [db]` where its library has a layer of its own.
    fn shown(&self, layer: &str) -> String {
        let name = match self.function.as_str() {
            "" => "(no stack)",
            name => short_name(name),
        };
        match self.function_layer == layer || self.function_layer.is_empty() {
            true => name.to_owned(),
            false => format!("{name} [{}]", self.function_layer),
        }
    }
}

/// What would tell what requests ran. `operations` are those that ran for long without a sample.
pub(super) fn remedy(operations: &[String]) -> Option<String> {
    let names = named(operations)?;
    Some(format!(
        "No CPU sample says what {names} ran: take a CPU profile while the execution trace is recorded, or send one whose \
         labels name spans to /v1/runtime-profiles."
    ))
}

/// That other goroutines ran for requests, which have no samples. `times` are for how long they did so for which operations.
pub(super) fn elsewhere(times: &[String]) -> Option<String> {
    let times = named(times)?;
    Some(format!(
        "Running on other goroutines, as children and helpers: {times}. Functions are known of the request's own \
         goroutine only."
    ))
}

/// The first few.
fn named(names: &[String]) -> Option<String> {
    let (told, rest) = names.split_at(NAMED_MAX.min(names.len()));
    let more = match rest.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!told.is_empty()).then(|| told.join(", ") + &more)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(layer: &str, functions: &[(&str, &str, i64)]) -> Ran {
        let function = |(function, function_layer, ns): &(&str, &str, i64)| Function {
            function: (*function).into(),
            function_layer: (*function_layer).into(),
            ns: *ns,
            samples: ns / 10,
        };
        Ran {
            layer: layer.into(),
            ns: functions.iter().map(|(.., ns)| ns).sum(),
            samples: functions.iter().map(|(.., ns)| ns / 10).sum(),
            functions: functions.iter().map(function).collect(),
        }
    }

    fn cause(layer: &str, state: &str, relation: &str) -> Cause {
        Cause {
            layer: layer.into(),
            state: state.into(),
            relation: relation.into(),
            culprit: None,
        }
    }

    #[test]
    fn three_functions_are_told_and_the_others_summed_up() {
        let ran = ran(
            "handler",
            &[
                ("example.com/shop/report.(*Writer).encode", "handler", 600),
                ("github.com/jackc/pgx/v5.(*Conn).bind", "db", 200),
                ("", "handler", 100),
                ("main.a", "handler", 60),
                ("main.b", "handler", 40),
            ],
        );
        assert_eq!(
            ran.listed(),
            "report.(*Writer).encode 600 ns (60.0 %), v5.(*Conn).bind [db] 200 ns (20.0 %), (no stack) 100 ns (10.0 %), \
             2 more 100 ns (10.0 %)"
        );
        assert_eq!(ran.evidence("GET /"), "100 CPU samples of all GET /");
    }

    #[test]
    fn functions_go_to_the_running_time_of_the_request_in_their_layer() {
        let layers = [
            ran("", &[("main.old", "", 90)]),
            ran("db", &[("main.query", "db", 100)]),
        ];
        let causes = [
            cause("handler", "network", "same"),
            cause("handler", "running", "helper"),
            cause("handler", "running", "same"),
            cause("service", "running", "same"),
            cause("db", "running", "same"),
        ];
        let found = by_cause(&layers, causes.iter());
        let functions: Vec<Option<&str>> = (found.iter())
            .map(|ran| ran.as_ref().map(|ran| ran.functions[0].function.as_str()))
            .collect();
        assert_eq!(functions, [None, None, None, None, Some("main.query")]);
    }

    #[test]
    fn functions_of_unknown_layers_go_to_no_cause() {
        let layers = [ran("", &[("main.old", "", 90), ("pgx.Query", "db", 10)])];
        assert_eq!(by_cause(&layers, [cause("handler", "running", "same")].iter()), [None]);
        let ran = in_all_layers(&layers).unwrap();
        assert_eq!(ran.listed(), "main.old 90 ns (90.0 %), pgx.Query [db] 10 ns (10.0 %)");
        assert_eq!(in_all_layers(&layers[1..]), None);
    }

    #[test]
    fn notes_name_some_operations() {
        assert_eq!((remedy(&[]), elsewhere(&[])), (None, None));
        let note = remedy(&["a", "b", "c", "d", "e"].map(str::to_owned)).unwrap();
        assert!(
            note.starts_with("No CPU sample says what a, b, c and 2 more ran: "),
            "{note}"
        );
        let note = elsewhere(&["2.00 ms of GET /".to_owned()]).unwrap();
        assert!(note.contains("helpers: 2.00 ms of GET /. Functions"), "{note}");
    }

    #[test]
    fn little_running_time_is_worth_no_note() {
        assert!(is_large(2_000_000, 20_000_000));
        assert!(!is_large(1_999_999, 20_000_000));
        assert!(!is_large(900_000, 900_000));
    }
}
