//! Which tasks vote, and for what.
//!
//! A wrong offset that fits one span of a request fits the whole request, and what begins together ends together. So
//! that witnesses are independent, of a request and of a millisecond only one task votes: the one with the fewest spans
//! to choose from.

use std::collections::{HashMap, HashSet};

use spandrel_model::{UnanchoredRecording, UserTask};

use crate::spans::{SpanIndex, SpanSet};

/// How much shorter a span may be than its task: the end lag, of nearly all.
const END_LAG_NS: i64 = 25_000;
/// Of tasks that end within this time one votes.
const SLOT_NS: i64 = 1_000_000;
/// Most voters. More would not make the estimate better.
const VOTERS_MAX: usize = 4_096;
/// Most votes. The tasks with the fewest spans to choose from come first, so what is left out would say least.
const VOTES_MAX: usize = 1 << 21;

/// Index among the voters.
pub(super) type Voter = usize;

/// Says that the offset is that of one pair of task and span.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vote {
    /// End of the span less end of the task: the offset less the end lag, if the two are a pair.
    pub(super) offset_ns: i64,
    pub(super) voter: Voter,
    pub(super) span: SpanIndex,
}

/// The votes of a recording.
pub(super) struct Votes {
    /// Sorted by offset.
    pub(super) votes: Vec<Vote>,
    /// The end of each voter, on the clock of the recording.
    pub(super) ends_ns: Vec<i64>,
    /// Number of spans.
    pub(super) spans: usize,
}

/// Tasks and spans in the order in which they find each other.
pub(super) struct Electorate<'a> {
    spans: &'a SpanSet<'a>,
    tasks: Vec<TaskRow>,
    /// Spans of each name, by duration; the last group are those of names that no task has.
    groups: Vec<Vec<(i64, SpanIndex)>>,
}

/// A user task with both its ends.
#[derive(Clone, Copy)]
struct TaskRow {
    begin_ns: i64,
    end_ns: i64,
    /// Row of the parent, if that has both its ends.
    parent: Option<usize>,
    /// Row of the request that it belongs to.
    request: usize,
    /// Spans to choose from.
    group: usize,
}

impl TaskRow {
    fn duration_ns(&self) -> i64 {
        self.end_ns.saturating_sub(self.begin_ns)
    }
}

impl<'a> Electorate<'a> {
    pub(super) fn new(spans: &'a SpanSet<'a>, recording: &UnanchoredRecording) -> Self {
        let complete: Vec<(&UserTask, i64, i64)> = (recording.user_tasks().iter())
            .filter_map(|task| Some((task, task.begin?.1.0, task.end?.1.0)))
            .filter(|(_, begin_ns, end_ns)| begin_ns <= end_ns)
            .collect();
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        for (task, ..) in &complete {
            let next = numbers.len();
            numbers.entry(name_of(recording, task)).or_insert(next);
        }
        let renamed = numbers.len();
        let mut groups = vec![Vec::new(); renamed + 1];
        for index in 0..spans.len() {
            let span = spans.span(index);
            let group = numbers.get(&*span.name).copied().unwrap_or(renamed);
            groups[group].push((span.interval.duration_ns(), index));
        }
        groups.iter_mut().for_each(|group| group.sort_unstable());
        let group_of = |task| match numbers.get(name_of(recording, task)) {
            Some(group) if !groups[*group].is_empty() => *group,
            _ => renamed,
        };
        let longest_ns = recording.duration_ns() / 2;
        let mut tasks: Vec<TaskRow> = Vec::with_capacity(complete.len());
        for (row, (task, begin_ns, end_ns)) in complete.iter().enumerate() {
            // Tasks are sorted by id, and a parent begins before its child, so its row is there already.
            let parent = task.parent.and_then(|parent| {
                let row = complete[..row].binary_search_by_key(&parent, |(task, ..)| task.id);
                row.ok()
            });
            // What lasts for most of the recording is no request but the loop that takes them.
            let request = parent.filter(|parent| tasks[*parent].duration_ns() <= longest_ns);
            tasks.push(TaskRow {
                begin_ns: *begin_ns,
                end_ns: *end_ns,
                parent,
                request: request.map_or(row, |parent| tasks[parent].request),
                group: group_of(task),
            });
        }
        Self { spans, tasks, groups }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The votes for spans that are longer than their task by at most `begin_lag_ns`.
    pub(super) fn votes(&self, begin_lag_ns: i64) -> Votes {
        let voters = self.voters(begin_lag_ns);
        let mut votes = Vec::new();
        let mut ends_ns = Vec::with_capacity(voters.len());
        for row in voters {
            let task = self.tasks[row];
            let cast = |span: SpanIndex| Vote {
                offset_ns: self.spans.interval(span).end().0.saturating_sub(task.end_ns),
                voter: ends_ns.len(),
                span,
            };
            let candidates = self.candidates(&task, begin_lag_ns);
            let from = votes.len();
            let kin = candidates.iter().map(|(_, span)| *span);
            votes.extend(
                kin.filter(|span| self.parents_fit(&task, *span, begin_lag_ns))
                    .map(cast),
            );
            if votes.len() == from {
                votes.extend(candidates.iter().map(|(_, span)| cast(*span)));
            }
            ends_ns.push(task.end_ns);
        }
        votes.sort_unstable_by_key(|vote| (vote.offset_ns, vote.voter, vote.span));
        Votes {
            votes,
            ends_ns,
            spans: self.spans.len(),
        }
    }

    /// Rows that vote: those with the fewest spans to choose from, names that some span has first.
    fn voters(&self, begin_lag_ns: i64) -> Vec<usize> {
        let renamed = self.groups.len() - 1;
        let mut order: Vec<(bool, usize, usize)> = (self.tasks.iter().enumerate())
            .map(|(row, task)| (task.group == renamed, self.candidates(task, begin_lag_ns).len(), row))
            .filter(|(_, candidates, _)| *candidates > 0)
            .collect();
        order.sort_unstable();
        let (mut requests, mut slots) = (HashSet::new(), HashSet::new());
        let mut voters = Vec::new();
        let mut votes = 0;
        for (_, candidates, row) in order {
            let task = &self.tasks[row];
            let slot = task.end_ns.div_euclid(SLOT_NS);
            if requests.contains(&task.request) || slots.contains(&slot) {
                continue;
            }
            votes += candidates;
            if votes > VOTES_MAX || voters.len() == VOTERS_MAX {
                break;
            }
            requests.insert(task.request);
            slots.insert(slot);
            voters.push(row);
        }
        voters
    }

    /// The spans that may be of the task, judged by name and duration.
    fn candidates(&self, task: &TaskRow, begin_lag_ns: i64) -> &[(i64, SpanIndex)] {
        let duration_ns = task.duration_ns();
        let group = &self.groups[task.group];
        let first = group.partition_point(|(of_span, _)| *of_span < duration_ns - END_LAG_NS);
        let count = group[first..].partition_point(|(of_span, _)| *of_span <= duration_ns.saturating_add(begin_lag_ns));
        &group[first..first + count]
    }

    /// Whether the parents of task and span lie alike around them, or neither has one.
    fn parents_fit(&self, task: &TaskRow, span: SpanIndex, begin_lag_ns: i64) -> bool {
        let parent_span = self.spans.node(span).parent;
        let (Some(parent), Some(parent_span)) = (task.parent, parent_span) else {
            return task.parent.is_none() && parent_span.is_none();
        };
        let (parent, of_span) = (&self.tasks[parent], self.spans.interval(span));
        let of_parent = self.spans.interval(parent_span);
        let begins_ns = [
            of_span.start().since(of_parent.start()),
            task.begin_ns.saturating_sub(parent.begin_ns),
        ];
        let ends_ns = [
            of_parent.end().since(of_span.end()),
            parent.end_ns.saturating_sub(task.end_ns),
        ];
        let alike = |[of_spans, of_tasks]: [i64; 2]| of_spans.abs_diff(of_tasks) <= begin_lag_ns.unsigned_abs();
        alike(begins_ns) && alike(ends_ns)
    }
}

fn name_of<'a>(recording: &'a UnanchoredRecording, task: &UserTask) -> &'a str {
    task.name.map_or("", |name| recording.name(name))
}
