//! State rules as a user writes them, in the connector's section or in a file of their own.

use serde::Deserialize;
use spandrel_config::{Problems, Section, nearest};
use spandrel_model::State;
use spandrel_profiles::go_execution_trace::{ANY, RULE_STATES, StateRule, StateRules, WITHIN_DEFAULT};

/// One rule as it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStateRule {
    reason: Option<String>,
    #[serde(default)]
    frames: Vec<String>,
    within: Option<usize>,
    state: String,
    #[serde(default)]
    sub_state: String,
}

/// Checks a list of state rules; every problem goes to `problems`. A reason that no known Go gives is a warning.
pub fn check_state_rules(section: &Section, problems: &mut Problems) -> Option<StateRules> {
    let raw: Vec<RawStateRule> = section.parse(problems)?;
    check(raw, section, None, problems)
}

/// Checks the rules of the list at `key` of `section`, or of the section itself.
pub(super) fn check(
    raw: Vec<RawStateRule>,
    section: &Section,
    key: Option<&str>,
    problems: &mut Problems,
) -> Option<StateRules> {
    let place = |index: usize, field: &str| {
        let index = index.to_string();
        let keys: Vec<&str> = [key.unwrap_or_default(), &index, field]
            .into_iter()
            .filter(|key| !key.is_empty())
            .collect();
        section.at(&keys.join("::"))
    };
    let mut states_are_known = true;
    let mut rules = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let state = State::from_column(&raw.state);
        if state.is_none() {
            let known = RULE_STATES.map(State::as_str);
            problems.push_unknown(place(index, "state"), "state", &raw.state, &known);
            states_are_known = false;
        }
        let reason = raw.reason.unwrap_or_else(|| ANY.to_owned());
        warn_of_unknown_reason(&reason, || place(index, "reason"), problems);
        rules.push(StateRule {
            reason,
            frames: raw.frames,
            within: raw.within.unwrap_or(WITHIN_DEFAULT),
            state: state.unwrap_or(State::Other),
            sub_state: raw.sub_state,
        });
    }
    match StateRules::with_user_rules(&rules) {
        Ok(rules) => states_are_known.then_some(rules),
        Err(invalid) => {
            for invalid in invalid {
                problems
                    .push(place(invalid.index, &invalid.fault.field()), invalid.fault.to_string())
                    .help(invalid.fault.remedy());
            }
            None
        }
    }
}

/// A later Go may have more reasons, so an unknown one is no error.
fn warn_of_unknown_reason(reason: &str, place: impl FnOnce() -> spandrel_config::Place, problems: &mut Problems) {
    let known = StateRules::known_reasons();
    if reason == ANY || reason.is_empty() || known.contains(&reason) {
        return;
    }
    let problem = problems.warn(place(), format!("no Go from 1.22 to 1.27 gives the reason `{reason}`"));
    problem.help(match nearest(reason, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", known.join(", ")),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(yaml: &str) -> (Option<StateRules>, String) {
        let section = Section::from_yaml("rules.yaml", yaml).unwrap();
        let mut problems = Problems::new();
        let rules = check_state_rules(&section, &mut problems);
        (rules, problems.to_string())
    }

    #[test]
    fn a_list_of_rules_is_read_with_its_defaults() {
        let (rules, problems) = checked("- frames: [main.work]\n  state: mutex\n");
        assert_eq!(problems, "");
        let expected = StateRule {
            frames: vec!["main.work".to_owned()],
            state: State::Mutex,
            ..StateRule::default()
        };
        assert_eq!(rules.unwrap().user_rules(), [expected]);
    }

    #[test]
    fn every_problem_names_line_field_and_remedy() {
        let yaml = "\
- state: mutexx
  reason: sync
- state: running
  reason: sync
- state: mutex
- state: mutex
  frames: ['']
  sub_state: Two Words
- state: mutex
  reason: sync
  with_in: 3
";
        let (rules, problems) = checked(yaml);
        assert!(rules.is_none());
        assert!(
            problems.contains("unknown field `with_in` (did you mean `within`?"),
            "{problems}"
        );
        let (rules, problems) = checked(yaml.split("  with_in").next().unwrap());
        assert!(rules.is_none());
        let expected = [
            "rules.yaml:1:10: rules.yaml::0::state: unknown state `mutexx` (did you mean `mutex`? valid: mutex, rwmutex,",
            "rules.yaml:3:10: rules.yaml::1::state: `running` is no state of a goroutine that waits or is in a system \
             call (choose one of mutex, rwmutex,",
            "rules.yaml:5:3: rules.yaml::2: a state rule needs a condition (give a reason, or frames, or both)",
            "rules.yaml:7:12: rules.yaml::3::frames::0: expected a pattern of 1 to 1024 bytes, found 0 (",
            "rules.yaml:8:14: rules.yaml::3::sub_state: expected at most 64 lowercase letters, digits and `_`, found \
             `Two Words` (write it like `db_pool`)",
        ];
        assert_eq!(problems.lines().count(), expected.len(), "{problems}");
        for (line, expected) in problems.lines().zip(expected) {
            assert!(line.starts_with(expected), "{line}\nis not\n{expected}");
        }
    }

    #[test]
    fn a_reason_that_no_go_gives_is_a_warning() {
        let (rules, problems) =
            checked("- {reason: chan recieve, state: channel}\n- {reason: quantum, state: other}\n");
        assert!(rules.is_some());
        let lines: Vec<&str> = problems.lines().collect();
        assert!(lines[0].ends_with("(did you mean `chan receive`?)"), "{problems}");
        assert!(lines[1].contains("(known: GC background sweeper wait, "), "{problems}");
        assert!(lines.iter().all(|line| line.contains("warning: ")), "{problems}");
    }

    #[test]
    fn an_empty_file_has_no_rules() {
        let (rules, problems) = checked("");
        assert_eq!((rules.unwrap().user_rules().len(), problems.as_str()), (0, ""));
    }
}
