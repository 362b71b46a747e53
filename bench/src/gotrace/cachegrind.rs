//! The file that valgrind's tool cachegrind writes: how often the lines of each function did something costly.
//!
//! ```text
//! desc: D1 cache:         32768 B, 64 B, 8-way associative     what was simulated
//! events: Ir I1mr ILmr Dr D1mr DLmr Dw D1mw DLmw Bc Bcm Bi Bim  names of the columns of the lines
//! fl=/src/lib.rs                                                a source file
//! fn=crate::function                                            code of it that stands in this function, perhaps inlined
//! 42 17 0 0 3                                                   a line and its counts; the last may be left out
//! summary: 17 0 0 3 ...                                         the sum of all lines
//! ```
//! Cachegrind's manual has the grammar.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use anyhow::{Context, Result, ensure};

/// What was counted of some code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Costs {
    pub(crate) instructions: u64,
    /// Reads and writes that were not in the innermost data cache, nor instructions in theirs.
    pub(crate) first_level_misses: u64,
    /// Those that were in no cache.
    pub(crate) last_level_misses: u64,
    /// Branches that a simple predictor guesses wrongly.
    pub(crate) mispredictions: u64,
}

impl AddAssign for Costs {
    fn add_assign(&mut self, other: Self) {
        self.instructions += other.instructions;
        self.first_level_misses += other.first_level_misses;
        self.last_level_misses += other.last_level_misses;
        self.mispredictions += other.mispredictions;
    }
}

/// Costs of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Sizes of the caches that were simulated.
    pub(crate) caches: Vec<String>,
    pub(crate) total: Costs,
    /// By function, with all code inlined into it.
    pub(crate) functions: BTreeMap<String, Costs>,
    /// By the source file of the code, wherever it was inlined.
    pub(crate) sources: BTreeMap<String, Costs>,
}

/// Reads a file of cachegrind.
///
/// # Errors
/// It has no names of columns, a line of counts is not made of numbers, or the lines do not add up to the summary.
pub(crate) fn parse(text: &str) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut columns = Vec::new();
    let (mut source, mut function) = (String::new(), String::new());
    let mut summary = None;
    for (number, line) in text.lines().enumerate() {
        let at = || format!("line {} of cachegrind's file", number + 1);
        if let Some(cache) = line.strip_prefix("desc:") {
            counts
                .caches
                .push(cache.split_whitespace().collect::<Vec<_>>().join(" "));
        } else if let Some(names) = line.strip_prefix("events:") {
            columns = names.split_whitespace().map(column).collect();
        } else if let Some(name) = line.strip_prefix("fl=") {
            name.clone_into(&mut source);
        } else if let Some(name) = line.strip_prefix("fn=") {
            name.clone_into(&mut function);
        } else if let Some(sums) = line.strip_prefix("summary:") {
            summary = Some(costs(&columns, sums).with_context(at)?);
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            let (_, numbers) = line.split_once(' ').unwrap_or((line, ""));
            let costs = costs(&columns, numbers).with_context(at)?;
            counts.total += costs;
            *counts.functions.entry(function.clone()).or_default() += costs;
            *counts.sources.entry(source.clone()).or_default() += costs;
        }
    }
    ensure!(!columns.is_empty(), "no `events:` in cachegrind's file");
    ensure!(
        summary == Some(counts.total),
        "cachegrind's file ends early: its lines add up to {:?}, its summary is {summary:?}",
        counts.total
    );
    Ok(counts)
}

/// Where a count belongs.
type Column = Option<fn(&mut Costs) -> &mut u64>;

fn column(name: &str) -> Column {
    Some(match name {
        "Ir" => |costs| &mut costs.instructions,
        "I1mr" | "D1mr" | "D1mw" => |costs| &mut costs.first_level_misses,
        "ILmr" | "DLmr" | "DLmw" => |costs| &mut costs.last_level_misses,
        "Bcm" | "Bim" => |costs| &mut costs.mispredictions,
        _ => return None,
    })
}

fn costs(columns: &[Column], numbers: &str) -> Result<Costs> {
    let mut costs = Costs::default();
    for (column, number) in columns.iter().zip(numbers.split_whitespace()) {
        let Some(count_of) = column else { continue };
        *count_of(&mut costs) += number
            .parse::<u64>()
            .with_context(|| format!("expected a count, found `{number}`"))?;
    }
    Ok(costs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
desc: D1 cache:         32768 B, 64 B, 8-way associative
cmd: gotrace-bench
events: Ir I1mr ILmr Dr D1mr DLmr Dw D1mw DLmw Bc Bcm Bi Bim
fl=wire.rs
fn=decode
7 100 1 0 50 4 2 10 3 1 20 5 1 1
fl=order.rs
fn=decode
9 10
fn=other
3 1
summary: 111 1 0 50 4 2 10 3 1 20 5 1 1
";

    #[test]
    fn code_is_counted_for_its_function_and_for_its_source() {
        let counts = parse(FILE).unwrap();
        let expected = Costs {
            instructions: 110,
            first_level_misses: 8,
            last_level_misses: 3,
            mispredictions: 6,
        };
        assert_eq!(counts.functions["decode"], expected);
        assert_eq!(counts.functions["other"].instructions, 1);
        assert_eq!(counts.sources["wire.rs"].instructions, 100);
        assert_eq!(counts.sources["order.rs"].instructions, 11);
        assert_eq!(counts.total.instructions, 111);
        assert_eq!(counts.caches, ["D1 cache: 32768 B, 64 B, 8-way associative"]);
    }

    #[test]
    fn a_file_that_ends_early_is_refused() {
        let error = parse(FILE.split_once("fn=other").unwrap().0).unwrap_err();
        assert!(error.to_string().contains("ends early"), "{error}");
    }

    #[test]
    fn what_is_no_number_is_refused_with_its_line() {
        let error = parse(&FILE.replace("7 100", "7 many")).unwrap_err();
        assert_eq!(
            format!("{error:#}").split(": invalid").next().unwrap(),
            "line 6 of cachegrind's file: expected a count, found `many`"
        );
    }

    #[test]
    fn what_is_no_file_of_cachegrind_is_refused() {
        let error = parse("").unwrap_err();
        assert_eq!(error.to_string(), "no `events:` in cachegrind's file");
    }
}
