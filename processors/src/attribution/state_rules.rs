//! State rules as a user writes them, in the connector's section or in a file of their own.

use serde::Deserialize;
use spandrel_config::{Place, Problems, Section, nearest};
use spandrel_model::State;
use spandrel_profiles::go_execution_trace::{
    ANY, InvalidStateRule, RULE_STATES, StateRule, StateRules, WITHIN_DEFAULT,
};

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

/// What can be read of a rule that is not well formed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReadableStateRule {
    reason: Option<String>,
    frames: Vec<String>,
    within: Option<usize>,
    state: Option<String>,
    sub_state: String,
}

impl From<RawStateRule> for ReadableStateRule {
    fn from(raw: RawStateRule) -> Self {
        Self {
            reason: raw.reason,
            frames: raw.frames,
            within: raw.within,
            state: Some(raw.state),
            sub_state: raw.sub_state,
        }
    }
}

/// Checks a list of state rules; every problem goes to `problems`. A reason that no known Go gives is a warning.
pub fn check_state_rules(section: &Section, problems: &mut Problems) -> Option<StateRules> {
    match section.parse(problems) {
        Some(raw) => check(raw, section, None, problems),
        None => {
            check_malformed(section, problems);
            None
        }
    }
}

/// Checks what can be read of a list of rules of which some are not well formed, so that all problems are reported at once.
pub(super) fn check_malformed(section: &Section, problems: &mut Problems) {
    for item in section.items() {
        // What is wrong with its form has been reported.
        let Some(raw) = item.parse::<ReadableStateRule>(&mut Problems::new()) else {
            continue;
        };
        let place = |field: &str| match field {
            "" => item.place(),
            field => item.at(field),
        };
        let (rule, _) = checked(raw, place, problems);
        if let Err(invalid) = StateRules::with_user_rules(&[rule]) {
            for InvalidStateRule { fault, .. } in invalid {
                problems
                    .push(place(&fault.field()), fault.to_string())
                    .help(fault.remedy());
            }
        }
    }
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
        let (rule, state_is_known) = checked(raw.into(), |field| place(index, field), problems);
        states_are_known &= state_is_known;
        rules.push(rule);
    }
    match StateRules::with_user_rules(&rules) {
        Ok(rules) => states_are_known.then_some(rules),
        Err(invalid) => {
            for InvalidStateRule { index, fault } in invalid {
                problems
                    .push(place(index, &fault.field()), fault.to_string())
                    .help(fault.remedy());
            }
            None
        }
    }
}

/// The rule, and whether its state is one. A state that is not there has been reported.
fn checked(raw: ReadableStateRule, place: impl Fn(&str) -> Place, problems: &mut Problems) -> (StateRule, bool) {
    let state = raw.state.as_deref().map_or(Some(State::Other), State::from_column);
    if state.is_none() {
        let known = RULE_STATES.map(State::as_str);
        problems.push_unknown(
            place("state"),
            "state",
            raw.state.as_deref().unwrap_or_default(),
            &known,
        );
    }
    let reason = raw.reason.unwrap_or_else(|| ANY.to_owned());
    warn_of_unknown_reason(&reason, || place("reason"), problems);
    let rule = StateRule {
        reason,
        frames: raw.frames,
        within: raw.within.unwrap_or(WITHIN_DEFAULT),
        state: state.unwrap_or(State::Other),
        sub_state: raw.sub_state,
    };
    (rule, state.is_some())
}

/// A later Go may have more reasons, so an unknown one is no error.
fn warn_of_unknown_reason(reason: &str, place: impl FnOnce() -> Place, problems: &mut Problems) {
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
        let form = "unknown field `with_in` (did you mean `within`?";
        assert!(problems.contains(form), "{problems}");
        let all = problems;
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
            assert!(all.contains(line), "{line}\nis not in\n{all}");
        }
    }

    #[test]
    fn a_rule_that_is_not_well_formed_is_checked_as_far_as_it_can_be_read() {
        let (rules, problems) =
            checked("- {reason: sync, stat: mutex, sub_state: Two Words}\n- {state: mutexx, within: many}\n");
        assert!(rules.is_none());
        for problem in ["unknown field `stat`", "found `Two Words`", "rules.yaml::1::within"] {
            assert!(problems.contains(problem), "{problem} is not in\n{problems}");
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
