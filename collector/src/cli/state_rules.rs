//! `--state-rules FILE`: a user's rules for the states of goroutines.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use spandrel_config::{Environment, Problems, ProcessEnvironment, Section};
use spandrel_processors::attribution::check_state_rules;
use spandrel_profiles::go_execution_trace::{ANY, StateRule, StateRules};

use crate::service;

/// The rules of a file, which may be absent, before the built-in ones.
///
/// # Errors
/// The file cannot be read, or has problems; those go to standard error, with line, field and remedy.
pub(super) fn read(file: Option<&Path>) -> anyhow::Result<Arc<StateRules>> {
    match file {
        Some(file) => read_before(file, &StateRules::default()),
        None => Ok(Arc::default()),
    }
}

/// The rules of a file before those of `later`.
///
/// # Errors
/// As for [`read`], and when there are too many rules together.
pub(super) fn read_before(file: &Path, later: &StateRules) -> anyhow::Result<Arc<StateRules>> {
    let rules = checked(file)?;
    if later.user_rules().is_empty() {
        return Ok(Arc::new(rules));
    }
    let all = [rules.user_rules(), later.user_rules()].concat();
    let rules = StateRules::with_user_rules(&all).map_err(|invalid| {
        let faults: Vec<String> = invalid.iter().map(ToString::to_string).collect();
        anyhow!(
            "`{}` and the configuration together: {}",
            file.display(),
            faults.join("; ")
        )
    })?;
    Ok(Arc::new(rules))
}

/// Says on standard error which of the user's rules gave no state to anything that was read. Such a rule is likely to have a
/// function's name wrong.
pub(super) fn warn_of_unused(rules: &StateRules) {
    for (position, rule) in rules.unused_user_rules() {
        eprintln!(
            "warning: state rule {} ({}) matched no wait and no system call, or none that no rule before it matched",
            position + 1,
            shown(rule)
        );
    }
}

/// `reason select, frames main.(*Pool).get, state sync/my_pool`.
fn shown(rule: &StateRule) -> String {
    let mut parts = Vec::new();
    if rule.reason != ANY {
        parts.push(format!("reason {}", rule.reason));
    }
    if !rule.frames.is_empty() {
        parts.push(format!("frames {}", rule.frames.join(" ")));
    }
    parts.push(match rule.sub_state.as_str() {
        "" => format!("state {}", rule.state),
        sub_state => format!("state {}/{sub_state}", rule.state),
    });
    parts.join(", ")
}

fn checked(file: &Path) -> anyhow::Result<StateRules> {
    let name = file.display().to_string();
    let text = (ProcessEnvironment.read_file(file)).with_context(|| format!("failed to read `{name}`"))?;
    let mut problems = Problems::new();
    let rules = match Section::from_yaml(&name, &text) {
        Ok(section) => check_state_rules(&section, &mut problems),
        Err(found) => {
            problems = found;
            None
        }
    };
    if !problems.is_empty() {
        eprintln!("{}", service::render(&problems));
    }
    rules.ok_or_else(|| anyhow!("`{name}` has problems"))
}
