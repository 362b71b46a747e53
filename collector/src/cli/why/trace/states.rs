//! States of goroutines, from the tables.

use std::collections::BTreeMap;

use spandrel_model::State;

use super::super::super::answers::Value;
use super::super::{Tables, literal, other_types};

/// Nobody records for longer at once, and a state ends with its recording at the latest.
pub(super) const RECORDING_NS_MAX: i64 = 600_000_000_000;
/// States beyond which places are left out.
pub(super) const STATES_MAX: usize = 300_000;

/// A goroutine of a process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Goroutine {
    pub(super) service: String,
    pub(super) process: String,
    pub(super) id: i64,
}

/// A stretch in which a goroutine was in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) start_ns: i64,
    pub(super) end_ns: i64,
    pub(super) state: String,
    pub(super) sub_state: String,
    /// Where it entered the state. Of a goroutine that is ready again after a wait, where it waited: there it still is.
    pub(super) stack: Option<i64>,
    /// The goroutine that ended it, if it was a wait that one ended.
    pub(super) waker: Option<i64>,
}

impl Goroutine {
    /// Another goroutine of the same process.
    pub(super) fn beside(&self, id: i64) -> Self {
        Self {
            service: self.service.clone(),
            process: self.process.clone(),
            id,
        }
    }
}

/// The stretches of each goroutine, by time, without overlaps.
pub(super) type Stretches = BTreeMap<Goroutine, Vec<Stretch>>;

/// The states of some goroutines in a time. `None` if there are more than [`STATES_MAX`].
pub(super) async fn load<'a>(
    tables: &Tables<'_>,
    goroutines: impl Iterator<Item = &'a Goroutine>,
    (from_ns, to_ns): (i64, i64),
) -> anyhow::Result<Option<Stretches>> {
    let mut of_process: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for goroutine in goroutines {
        let ids = of_process.entry((&goroutine.service, &goroutine.process)).or_default();
        ids.push(goroutine.id.to_string());
    }
    let mut stretches = Stretches::new();
    let mut left = STATES_MAX;
    for ((service, process), ids) in of_process {
        let sql = format!(
            "SELECT task_id, start_ns, duration_ns, state, sub_state, stack_id, waker_task_id FROM task_states \
             WHERE service_name = {} AND process_id = {} AND task_id IN ({}) \
             AND start_ns >= {} AND start_ns < {to_ns} AND start_ns + duration_ns > {from_ns} \
             ORDER BY task_id, start_ns, duration_ns LIMIT {}",
            literal(service),
            literal(process),
            ids.join(", "),
            from_ns.saturating_sub(RECORDING_NS_MAX),
            left + 1
        );
        let rows = tables.rows(&sql).await?;
        let Some(fewer) = left.checked_sub(rows.len()) else {
            return Ok(None);
        };
        left = fewer;
        for row in rows {
            let (id, stretch) = stretch(&row)?;
            let goroutine = Goroutine {
                service: service.to_owned(),
                process: process.to_owned(),
                id,
            };
            append(stretches.entry(goroutine).or_default(), stretch);
        }
    }
    Ok(Some(stretches))
}

fn stretch(row: &[Value]) -> anyhow::Result<(i64, Stretch)> {
    let [
        Value::Int(task),
        Value::Int(start_ns),
        Value::Int(duration_ns),
        Value::Text(state),
        Value::Text(sub_state),
        stack,
        waker,
    ] = row
    else {
        return Err(other_types());
    };
    let number = |value: &Value| match value {
        Value::Int(number) => Some(*number),
        Value::Text(_) | Value::Null => None,
    };
    let stretch = Stretch {
        start_ns: *start_ns,
        end_ns: start_ns.saturating_add(*duration_ns),
        state: state.clone(),
        sub_state: sub_state.clone(),
        stack: number(stack),
        waker: number(waker),
    };
    Ok((*task, stretch))
}

/// Where recordings overlap, the earlier one counts.
fn append(stretches: &mut Vec<Stretch>, mut next: Stretch) {
    if let Some(last) = stretches.last() {
        next.start_ns = next.start_ns.max(last.end_ns);
        let is_ready = next.state == State::Runnable.as_str() || next.state == State::GcStw.as_str();
        if is_ready && next.stack.is_none() && last.end_ns == next.start_ns {
            next.stack = last.stack;
        }
    }
    if next.start_ns < next.end_ns {
        stretches.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(start_ns: i64, end_ns: i64, state: &str, stack: Option<i64>) -> Stretch {
        Stretch {
            start_ns,
            end_ns,
            state: state.into(),
            sub_state: String::new(),
            stack,
            waker: None,
        }
    }

    #[test]
    fn a_goroutine_that_is_ready_again_is_where_it_waited() {
        let mut found = Vec::new();
        append(&mut found, stretch(0, 10, "mutex", Some(7)));
        append(&mut found, stretch(10, 12, "runnable", None));
        append(&mut found, stretch(12, 20, "running", None));
        append(&mut found, stretch(20, 30, "runnable", Some(8)));
        let stacks: Vec<Option<i64>> = found.iter().map(|stretch| stretch.stack).collect();
        assert_eq!(stacks, [Some(7), Some(7), None, Some(8)]);
    }

    #[test]
    fn of_two_recordings_of_one_time_the_earlier_counts() {
        let mut found = Vec::new();
        append(&mut found, stretch(0, 10, "mutex", None));
        append(&mut found, stretch(4, 8, "mutex", None));
        append(&mut found, stretch(6, 15, "running", None));
        let times: Vec<(i64, i64)> = found.iter().map(|stretch| (stretch.start_ns, stretch.end_ns)).collect();
        assert_eq!(times, [(0, 10), (10, 15)]);
    }
}
