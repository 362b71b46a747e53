//! Items of a request that get no row, though the others do: those with a time that the tables cannot hold.
//!
//! Whether an item is one of them is known only when all of its fields are read, so its row is built like any other and
//! left out in the end.

use std::fmt;

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;

/// The last nanosecond since 1970 that an `i64` holds: 2262-04-11T23:47:16.854775807Z.
const LAST_TIME: u64 = i64::MAX.unsigned_abs();

/// How much of the name of an item is shown.
const MAX_NAME_CHARS: usize = 80;

/// Rows of a request, and what of it has none.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// One per item that was taken, in the order of the request.
    pub rows: RecordBatch,
    /// The others; `None` if all were taken.
    pub rejected: Option<Rejected>,
}

/// Items that are not taken although their request is. Sending them again gives the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// How many spans, data points or log records.
    pub items: usize,
    /// What is wrong with the first of them.
    pub first: String,
}

/// `2 not taken, the first because ...`
impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} not taken, the first because {}", self.items, self.first)
    }
}

/// Rows to leave out of a table that is being built.
#[derive(Default)]
pub(super) struct Unfit {
    rows: Vec<usize>,
    first: String,
}

impl Unfit {
    /// Leaves out `row` if any of its times, given with the names of their fields, is one that the tables cannot hold.
    /// `item` says what it is and its name.
    #[inline]
    pub(super) fn check_times(&mut self, row: usize, item: (&str, &str), times: &[(&str, u64)]) {
        if let Some(late) = times.iter().find(|(_, time)| *time > LAST_TIME) {
            self.leave_out(row, item, *late);
        }
    }

    #[cold]
    fn leave_out(&mut self, row: usize, (what, name): (&str, &str), (field, time): (&str, u64)) {
        if self.rows.is_empty() {
            let name = match name {
                "" => String::new(),
                name => format!(" `{}`", name.chars().take(MAX_NAME_CHARS).collect::<String>()),
            };
            self.first = format!(
                "`{field}` of the {what}{name} is {time}, after the year 2262, where nanoseconds since 1970 end that fit a \
                 signed 64-bit integer"
            );
        }
        self.rows.push(row);
    }

    /// `rows` without those that were left out.
    pub(super) fn without(self, rows: RecordBatch) -> Decoded {
        if self.rows.is_empty() {
            return Decoded { rows, rejected: None };
        }
        let mut fits = vec![true; rows.num_rows()];
        self.rows.iter().for_each(|row| fits[*row] = false);
        let rows = filter_record_batch(&rows, &BooleanArray::from(fits)).expect("one flag for each row");
        let (items, first) = (self.rows.len(), self.first);
        Decoded {
            rows,
            rejected: Some(Rejected { items, first }),
        }
    }
}
