//! The comparison of one request's cells with the truth.

use super::cells::{Cell, View};
use super::dominant::{Dominant, dominant};
use super::truth::{Part, Step, Truth};

/// Relation of a goroutine of the runtime.
pub(super) const RUNTIME: &str = "runtime";
/// State of a goroutine that waits for the collector.
pub(super) const WAITS_FOR_COLLECTOR: &str = "gc_other";

/// The tolerance is a hundredth of the truth,
const TOLERANCE_DIVISOR: i64 = 100;
/// and at least this.
const TOLERANCE_MIN_NS: i64 = 100_000;

/// A request, compared.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Name of the server span.
    pub operation: String,
    /// Hexadecimal trace id.
    pub trace_id: String,
    /// How long threads of the service waited for a processor of the machine meanwhile.
    pub kernel_delay_ns: i64,
    /// What each view that the tables have says. Empty if the tables do not have the request.
    pub views: Vec<ViewJudged>,
}

/// One view of a request, compared.
#[derive(Clone, Debug)]
pub struct ViewJudged {
    /// The view.
    pub view: View,
    /// Part by part.
    pub parts: Vec<PartJudged>,
    /// The cause of most of the time.
    pub dominant: Dominant,
}

impl ViewJudged {
    /// Whether every part that the clocks bound well is within the tolerance.
    pub fn is_within(&self) -> bool {
        self.parts.iter().all(PartJudged::is_within)
    }

    /// The same without allowing for time that no clock watched.
    pub fn is_within_without_allowance(&self) -> bool {
        let difference = |part: &PartJudged| (part.found_ns - part.expected_ns).abs().max(part.missing_ns);
        let mut parts = self.parts.iter();
        parts.all(|part| part.approximate || difference(part) <= part.tolerance_ns())
    }
}

/// A part, compared.
#[derive(Clone, Debug)]
pub struct PartJudged {
    /// The step it belongs to, see [`Step::label`].
    pub label: String,
    /// Layer, relation and first state.
    pub cell: String,
    /// Measured time.
    pub expected_ns: i64,
    /// Time of the cells.
    pub found_ns: i64,
    /// How much the states that name the cause lack of what they must show at least.
    pub missing_ns: i64,
    /// What `found_ns` may exceed `expected_ns` by, because no clock watched.
    pub unwatched_ns: i64,
    /// Whether the clocks bound the time badly.
    pub approximate: bool,
    /// Whether another request kept this one waiting: only cells that name its operation are found.
    pub has_culprit: bool,
}

impl PartJudged {
    /// How far the cells are outside of what the truth allows.
    pub fn error_ns(&self) -> i64 {
        let below = self.expected_ns - self.found_ns;
        let above = self.found_ns - self.expected_ns - self.unwatched_ns;
        below.max(above).max(self.missing_ns).max(0)
    }

    /// How far they may be.
    pub fn tolerance_ns(&self) -> i64 {
        tolerance_ns(self.expected_ns)
    }

    /// Whether the error is tolerable, or the truth too coarse to tell.
    pub fn is_within(&self) -> bool {
        self.approximate || self.error_ns() <= self.tolerance_ns()
    }
}

/// How far from a time another one may be.
pub(super) fn tolerance_ns(expected_ns: i64) -> i64 {
    (expected_ns / TOLERANCE_DIVISOR).max(TOLERANCE_MIN_NS)
}

/// Compares the cells of a request, by view, with the truth.
///
/// # Panics
/// Two parts of the truth claim one cell: the service is wrong.
pub fn judge(truth: &Truth, cells_of: impl Fn(View) -> Vec<Cell>) -> Judged {
    let views = View::ALL.into_iter().map(|view| (view, cells_of(view)));
    let views = views.filter(|(_, cells)| !cells.is_empty());
    Judged {
        operation: truth.operation.clone(),
        trace_id: truth.trace_id.clone(),
        kernel_delay_ns: truth.kernel_delay_ns,
        views: views.map(|(view, cells)| judge_view(truth, view, &cells)).collect(),
    }
}

fn judge_view(truth: &Truth, view: View, cells: &[Cell]) -> ViewJudged {
    let parts = truth
        .steps
        .iter()
        .flat_map(|step| step.parts.iter().map(move |part| (step, part)));
    let parts: Vec<(&Step, &Part)> = parts.filter(|(_, part)| part.view == view).collect();
    for cell in cells {
        let claims = parts.iter().filter(|(_, part)| covers(part, cell)).count();
        assert!(claims <= 1, "several parts of {} claim {cell:?}", truth.trace_id);
    }
    ViewJudged {
        view,
        dominant: dominant(&parts, cells),
        parts: parts
            .into_iter()
            .map(|(step, part)| judge_part(step, part, cells))
            .collect(),
    }
}

fn judge_part(step: &Step, part: &Part, cells: &[Cell]) -> PartJudged {
    let covered = || cells.iter().filter(|cell| covers(part, cell));
    let named_ns: i64 = covered().filter(|cell| names(part, cell)).map(|cell| cell.ns).sum();
    PartJudged {
        label: step.label(),
        cell: format!("{} / {}", part.layer, name(&part.relation, &part.states[0])),
        expected_ns: part.ns,
        found_ns: covered().map(|cell| cell.ns).sum(),
        missing_ns: (part.least_ns - named_ns).max(0),
        unwatched_ns: step.unwatched_ns + part.unwatched_ns,
        approximate: part.approximate,
        has_culprit: part.culprit_operation.is_some(),
    }
}

fn is_at(part: &Part, cell: &Cell) -> bool {
    (part.layer == cell.layer) && (part.relation == cell.relation) && (part.culprit_operation == cell.culprit_operation)
}

fn names(part: &Part, cell: &Cell) -> bool {
    is_one_of(&part.states, part, cell)
}

fn covers(part: &Part, cell: &Cell) -> bool {
    names(part, cell) || is_one_of(&part.plus, part, cell)
}

/// A goroutine that waits for the collector (`gc_other`) is, in the root view, a worker of the collector that does anything.
fn is_one_of(states: &[String], part: &Part, cell: &Cell) -> bool {
    if cell.relation == RUNTIME {
        return part.layer == cell.layer && states.iter().any(|state| state == WAITS_FOR_COLLECTOR);
    }
    is_at(part, cell) && states.iter().any(|state| cell.is(state))
}

/// A state as the confusion matrix calls it: with who was in it, if it was not the request itself.
pub(super) fn name(relation: &str, state: &str) -> String {
    let state = base(state);
    match relation {
        "same" => state.to_owned(),
        _ => format!("{relation} {state}"),
    }
}

/// A state without its finer kind.
pub(super) fn base(state: &str) -> &str {
    state.split('/').next().unwrap_or(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(states: &[&str], plus: &[&str], ns: i64, least_ns: i64) -> Part {
        let owned = |states: &[&str]| states.iter().map(|&state| state.to_owned()).collect();
        Part {
            view: View::Itself,
            layer: "db".to_owned(),
            relation: "same".to_owned(),
            states: owned(states),
            plus: owned(plus),
            ns,
            least_ns,
            unwatched_ns: 0,
            culprit_operation: None,
            approximate: false,
        }
    }

    fn truth(parts: Vec<Part>, unwatched_ns: i64) -> Truth {
        Truth {
            trace_id: "1".to_owned(),
            span_id: "2".to_owned(),
            operation: "GET /".to_owned(),
            steps: vec![Step {
                cause: "network".to_owned(),
                place: "own".to_owned(),
                unwatched_ns,
                parts,
            }],
            kernel_delay_ns: 0,
        }
    }

    fn interference(culprit: &str) -> (Part, Cell) {
        let relation = || "interference".to_owned();
        let culprit_operation = Some(culprit.to_owned());
        let part = Part {
            relation: relation(),
            culprit_operation: culprit_operation.clone(),
            ..part(&["running"], &[], 4_000_000, 0)
        };
        let cell = Cell {
            relation: relation(),
            culprit_operation,
            ..cell("running", "", 4_000_000)
        };
        (part, cell)
    }

    #[test]
    fn time_under_another_operation_than_the_holders_is_wrong() {
        let (part, holder) = interference("POST /holder");
        let (_, victim) = interference("GET /");
        let view = judged(&truth(vec![part.clone()], 0), &[holder]);
        assert!(view.is_within() && view.dominant.is_right);
        let view = judged(&truth(vec![part], 0), &[victim]);
        assert_eq!((view.parts[0].found_ns, view.is_within()), (0, false));
        assert!(!view.dominant.is_right);
        assert_eq!(view.dominant.found, "interference running by another operation");
    }

    fn cell(state: &str, sub_state: &str, ns: i64) -> Cell {
        Cell {
            layer: "db".to_owned(),
            relation: "same".to_owned(),
            state: state.to_owned(),
            sub_state: sub_state.to_owned(),
            culprit_operation: None,
            ns,
        }
    }

    fn judged(truth: &Truth, cells: &[Cell]) -> ViewJudged {
        let of = |view| {
            if view == View::Itself {
                cells.to_vec()
            } else {
                Vec::new()
            }
        };
        let mut views = judge(truth, of).views;
        assert_eq!(views.len(), 1, "a view without cells is not judged");
        views.remove(0)
    }

    #[test]
    fn time_that_clocks_cannot_separate_is_added() {
        let truth = truth(
            vec![part(&["network"], &["runnable/unblocked"], 5_000_000, 4_000_000)],
            0,
        );
        let found = [
            cell("network", "read", 4_200_000),
            cell("runnable", "unblocked", 800_000),
        ];
        let view = judged(&truth, &found);
        assert_eq!((view.parts[0].found_ns, view.parts[0].error_ns()), (5_000_000, 0));
        assert!(view.is_within());
    }

    #[test]
    fn a_cause_that_lacks_its_least_is_an_error_even_if_the_sum_is_right() {
        let truth = truth(
            vec![part(&["network"], &["runnable/unblocked"], 5_000_000, 4_000_000)],
            0,
        );
        let found = [
            cell("network", "read", 1_000_000),
            cell("runnable", "unblocked", 4_000_000),
        ];
        let view = judged(&truth, &found);
        assert_eq!(view.parts[0].error_ns(), 3_000_000);
        assert!(!view.is_within());
    }

    #[test]
    fn a_hundredth_or_100_us_is_tolerated_and_no_more() {
        for (expected_ns, found_ns, within) in [
            (1_000_000, 1_100_000, true),
            (1_000_000, 1_100_001, false),
            (50_000_000, 50_500_000, true),
            (50_000_000, 49_499_999, false),
        ] {
            let view = judged(
                &truth(vec![part(&["mutex"], &[], expected_ns, 0)], 0),
                &[cell("mutex", "", found_ns)],
            );
            assert_eq!(view.is_within(), within, "{found_ns} of {expected_ns}");
        }
    }

    #[test]
    fn unwatched_time_excuses_more_and_never_less() {
        let truth = truth(vec![part(&["mutex"], &[], 1_000_000, 0)], 400_000);
        assert!(judged(&truth, &[cell("mutex", "", 1_400_000)]).is_within());
        assert!(!judged(&truth, &[cell("mutex", "", 1_400_000)]).is_within_without_allowance());
        assert!(!judged(&truth, &[cell("mutex", "", 700_000)]).is_within());
    }

    #[test]
    fn the_dominant_cause_is_the_one_with_most_time() {
        let parts = vec![
            part(&["mutex"], &[], 4_000_000, 0),
            part(&["network"], &["runnable/unblocked"], 3_000_000, 2_900_000),
        ];
        let view = judged(
            &truth(parts, 0),
            &[cell("mutex", "", 4_000_000), cell("network", "", 3_000_000)],
        );
        assert_eq!(view.dominant.expected.as_deref(), Some("mutex"));
        assert!(view.dominant.is_right);
        let parts = vec![part(&["mutex"], &[], 4_000_000, 0)];
        let view = judged(&truth(parts, 0), &[cell("channel", "recv", 4_000_000)]);
        assert_eq!(
            (view.dominant.found.as_str(), view.dominant.is_right),
            ("channel", false)
        );
    }

    #[test]
    fn the_right_state_in_another_layer_is_wrong() {
        let elsewhere = Cell {
            layer: "handler".to_owned(),
            ..cell("mutex", "", 4_000_000)
        };
        let view = judged(&truth(vec![part(&["mutex"], &[], 4_000_000, 0)], 0), &[elsewhere]);
        assert_eq!(view.dominant.found, "mutex in another layer");
        assert!(!view.dominant.is_right && !view.is_within());
    }

    #[test]
    fn what_clocks_leave_open_is_not_decided() {
        let parts = vec![part(&["sleep"], &["runnable/unblocked"], 9_000_000, 4_000_000)];
        for (sleep_ns, runnable_ns) in [(4_100_000, 4_900_000), (8_900_000, 100_000)] {
            let found = [cell("sleep", "", sleep_ns), cell("runnable", "unblocked", runnable_ns)];
            let dominant = judged(&truth(parts.clone(), 0), &found).dominant;
            assert_eq!(dominant.expected, None);
            assert!(dominant.is_right);
        }
        let dominant = judged(&truth(parts, 0), &[cell("running", "", 9_000_000)]).dominant;
        assert!(!dominant.is_right);
    }

    #[test]
    fn a_longer_time_that_no_clock_watched_leaves_the_cause_open() {
        let parts = vec![part(&["mutex"], &[], 4_000_000, 0)];
        let found = [cell("mutex", "", 4_000_000), cell("runnable", "preempted", 5_000_000)];
        let dominant = judged(&truth(parts.clone(), 5_000_000), &found).dominant;
        assert_eq!((dominant.expected, dominant.is_right), (None, true));
        let dominant = judged(&truth(parts, 3_000_000), &found).dominant;
        assert_eq!(
            (dominant.expected.as_deref(), dominant.is_right),
            (Some("mutex"), false)
        );
    }

    #[test]
    fn a_worker_of_the_collector_is_what_waits_for_the_collector_end_at() {
        let truth = truth(vec![part(&["running"], &["gc_other"], 5_000_000, 4_000_000)], 0);
        let worker = Cell {
            relation: RUNTIME.to_owned(),
            ..cell("running", "", 1_000_000)
        };
        let view = judged(&truth, &[cell("running", "", 4_000_000), worker]);
        assert_eq!(view.parts[0].error_ns(), 0);
    }

    #[test]
    #[should_panic(expected = "several parts")]
    fn parts_must_not_claim_the_same_cell() {
        let parts = vec![
            part(&["sleep"], &["runnable"], 1, 0),
            part(&["runnable/unblocked"], &[], 1, 0),
        ];
        judged(&truth(parts, 0), &[cell("runnable", "unblocked", 1)]);
    }
}
