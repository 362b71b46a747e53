//! Rows of each table, and how long tasks were in each state as the rows of `task_states` say.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use spandrel_model::{State, Table};

use crate::gotrace::facts::Facts;

/// Totals of record batches.
#[derive(Debug, Default)]
pub(crate) struct TableTotals {
    rows: BTreeMap<Table, usize>,
    /// By the name of the state.
    states_ns: BTreeMap<String, i64>,
}

impl TableTotals {
    /// Adds a batch of rows.
    ///
    /// # Errors
    /// The columns `state` and `duration_ns` of `task_states` do not have the types of its schema.
    pub(crate) fn add(&mut self, table: Table, batch: &RecordBatch) -> Result<()> {
        *self.rows.entry(table).or_default() += batch.num_rows();
        if table == Table::TaskStates {
            self.add_states(batch)
                .context("task_states without states or durations")?;
        }
        Ok(())
    }

    fn add_states(&mut self, batch: &RecordBatch) -> Option<()> {
        let states = batch.column_by_name("state")?.as_dictionary_opt::<Int32Type>()?;
        let durations = batch.column_by_name("duration_ns")?.as_primitive_opt::<Int64Type>()?;
        let names = states.values().as_string_opt::<i32>()?;
        let mut totals_ns = vec![0; names.len()];
        for (key, duration_ns) in states.keys().values().iter().zip(durations.values()) {
            *totals_ns.get_mut(usize::try_from(*key).ok()?)? += duration_ns;
        }
        for (name, total_ns) in names.iter().flatten().zip(totals_ns) {
            if total_ns > 0 {
                *self.states_ns.entry(name.to_owned()).or_default() += total_ns;
            }
        }
        Some(())
    }

    /// Totals by state have no name in `_ns`: they are exact, because only stages of ours have them.
    pub(crate) fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        for (table, rows) in &self.rows {
            facts.set(format!("rows.{}", table.name()), *rows);
        }
        for (state, total_ns) in &self.states_ns {
            facts.set(format!("time.{state}"), *total_ns);
        }
        let unknown_ns = self.states_ns.get(State::Unknown.as_str()).copied().unwrap_or(0);
        facts.set("states_ns", self.states_ns.values().sum::<i64>() - unknown_ns);
        facts.set("goroutines", self.rows.get(&Table::Tasks).copied().unwrap_or(0));
        facts
    }
}
