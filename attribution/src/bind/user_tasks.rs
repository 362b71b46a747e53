//! The `runtime/trace` tasks of a process as rows that refer to each other by index.

use std::collections::HashMap;

use spandrel_model::{TaskId, UnixNanos};

use crate::{TaskLine, Timeline};

/// Index of a row of [`UserTasks`].
pub(super) type RowIndex = usize;

/// All user tasks, those that are only known as a parent included.
pub(super) struct UserTasks<'a> {
    rows: Vec<Row<'a>>,
    /// Rows with an end, sorted by it.
    pub(super) by_end: Vec<RowIndex>,
    /// Rows with a beginning and no end, sorted by the beginning.
    pub(super) open: Vec<RowIndex>,
    groups: HashMap<&'a str, usize>,
    // Children of row n: children[first_child[n]..first_child[n + 1]].
    first_child: Vec<usize>,
    children: Vec<RowIndex>,
}

pub(super) struct Row<'a> {
    pub(super) parent: Option<RowIndex>,
    /// Number of the name, the same for equal names.
    pub(super) group: Option<usize>,
    pub(super) begin: Option<Mark<'a>>,
    pub(super) end: Option<Mark<'a>>,
}

/// The beginning or the end of a user task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark<'a> {
    pub(super) goroutine: TaskId,
    /// The goroutine's place in the timeline.
    pub(super) line: Option<&'a TaskLine>,
    pub(super) at: UnixNanos,
    /// The previous event of the same sort on the same goroutine.
    pub(super) previous: Option<UnixNanos>,
}

impl<'a> UserTasks<'a> {
    pub(super) fn new(timeline: &'a Timeline) -> Self {
        let tasks = timeline.user_tasks();
        let mut ids: Vec<u64> = tasks
            .iter()
            .flat_map(|task| [Some(task.id), task.parent])
            .flatten()
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let mut groups = HashMap::new();
        let mut rows: Vec<Row> = ids.iter().map(|_| Row::unseen()).collect();
        for task in tasks {
            let row = ids.binary_search(&task.id).expect("ids holds the id of every task");
            rows[row] = Row {
                parent: task
                    .parent
                    .and_then(|parent| ids.binary_search(&parent).ok())
                    .filter(|parent| *parent != row),
                group: task.name.map(|name| {
                    let next = groups.len();
                    *groups.entry(&**timeline.name(name)).or_insert(next)
                }),
                begin: task.begin.map(|event| mark(timeline, event)),
                end: task.end.map(|event| mark(timeline, event)),
            };
        }
        let mut table = Self {
            rows,
            by_end: Vec::new(),
            open: Vec::new(),
            groups,
            first_child: Vec::new(),
            children: Vec::new(),
        };
        table.order();
        table.link();
        table
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn row(&self, index: RowIndex) -> &Row<'a> {
        &self.rows[index]
    }

    /// The group of rows with this name.
    pub(super) fn group(&self, name: &str) -> Option<usize> {
        self.groups.get(name).copied()
    }

    pub(super) fn group_count(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn children(&self, index: RowIndex) -> &[RowIndex] {
        &self.children[self.first_child[index]..self.first_child[index + 1]]
    }

    fn order(&mut self) {
        set_previous(&mut self.rows, |row| row.begin.as_mut());
        set_previous(&mut self.rows, |row| row.end.as_mut());
        self.by_end = (0..self.rows.len())
            .filter(|row| self.rows[*row].end.is_some())
            .collect();
        self.by_end.sort_by_key(|row| (self.rows[*row].end_at(), *row));
        let is_open = |row: &Row<'_>| row.begin.is_some() && row.end.is_none();
        self.open = (0..self.rows.len()).filter(|row| is_open(&self.rows[*row])).collect();
        self.open.sort_by_key(|row| (self.rows[*row].begin_at(), *row));
    }

    fn link(&mut self) {
        let mut count = vec![0; self.rows.len() + 1];
        for parent in self.rows.iter().filter_map(|row| row.parent) {
            count[parent + 1] += 1;
        }
        for index in 1..count.len() {
            count[index] += count[index - 1];
        }
        self.first_child = count.clone();
        self.children = vec![0; count[self.rows.len()]];
        for (index, row) in self.rows.iter().enumerate() {
            if let Some(parent) = row.parent {
                self.children[count[parent]] = index;
                count[parent] += 1;
            }
        }
    }
}

impl Row<'_> {
    pub(super) fn begin_at(&self) -> Option<UnixNanos> {
        self.begin.as_ref().map(|begin| begin.at)
    }

    pub(super) fn end_at(&self) -> Option<UnixNanos> {
        self.end.as_ref().map(|end| end.at)
    }

    /// A task that is only known as the parent of others.
    const fn unseen() -> Self {
        Self {
            parent: None,
            group: None,
            begin: None,
            end: None,
        }
    }
}

fn mark(timeline: &Timeline, (goroutine, at): (TaskId, UnixNanos)) -> Mark<'_> {
    Mark {
        goroutine,
        line: timeline.task(goroutine),
        at,
        previous: None,
    }
}

fn set_previous<'a>(rows: &mut [Row<'a>], mark: impl for<'r> Fn(&'r mut Row<'a>) -> Option<&'r mut Mark<'a>>) {
    let mut marks: Vec<&mut Mark<'a>> = rows.iter_mut().filter_map(mark).collect();
    marks.sort_by_key(|mark| (mark.goroutine, mark.at));
    let mut last: Option<(TaskId, UnixNanos)> = None;
    for mark in marks {
        mark.previous = last
            .filter(|(goroutine, _)| *goroutine == mark.goroutine)
            .map(|(_, at)| at);
        last = Some((mark.goroutine, mark.at));
    }
}
