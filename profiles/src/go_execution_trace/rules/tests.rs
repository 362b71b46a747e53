//! Rules against stacks as they are found in traces, and against the page that explains their words.

use std::collections::BTreeSet;

use spandrel_model::State;

use super::built_in::{BuiltIn, WAITS};
use super::system_calls::SYSTEM_CALLS;
use super::*;

fn word(rules: &StateRules, refined: RefinedState) -> String {
    match rules.sub_state(refined.sub_state) {
        "" => refined.state.to_string(),
        sub_state => format!("{}/{sub_state}", refined.state),
    }
}

fn check_wait(rules: &StateRules, reason: &str, functions: &[&str], expected: &str) {
    let wait = Blocked::Waiting {
        reason,
        ended_externally: false,
    };
    assert_eq!(word(rules, rules.refine(wait, functions)), expected, "{functions:?}");
}

fn check_call(rules: &StateRules, functions: &[&str], with_p: &str, without_p: &str) {
    for (has_p, expected) in [(true, with_p), (false, without_p)] {
        let refined = rules.refine(Blocked::InSystemCall { has_p }, functions);
        assert_eq!(word(rules, refined), expected, "{functions:?}");
    }
}

fn rule(reason: &str, frames: &[&str], state: State, sub_state: &str) -> StateRule {
    StateRule {
        reason: reason.to_owned(),
        frames: frames.iter().map(ToString::to_string).collect(),
        state,
        sub_state: sub_state.to_owned(),
        ..StateRule::default()
    }
}

#[test]
fn a_mutex_that_a_once_leads_to_is_a_mutex() {
    let rules = StateRules::default();
    let once = ["sync.(*Mutex).Lock", "sync.(*Once).doSlow", "sync.(*Once).Do"];
    check_wait(&rules, "sync", &once, "once");
    let within = [
        "sync.(*Mutex).Lock",
        "main.setUp",
        "sync.(*Once).doSlow",
        "sync.(*Once).Do",
    ];
    check_wait(&rules, "sync", &within, "mutex");
}

#[test]
fn a_function_that_a_library_calls_waits_for_itself() {
    let rules = StateRules::default();
    let limit = [
        "runtime.chansend1",
        "golang.org/x/sync/errgroup.(*Group).Go",
        "main.work",
    ];
    check_wait(&rules, "chan send", &limit, "channel/errgroup_limit");
    let worker = [
        "runtime.chansend1",
        "main.work.func1",
        "golang.org/x/sync/errgroup.(*Group).Go.func1",
    ];
    check_wait(&rules, "chan send", &worker, "channel/send");
}

#[test]
fn a_reason_without_a_stack_is_as_much_as_the_reason_says() {
    let rules = StateRules::default();
    check_wait(&rules, "sync", &[], "sync");
    check_wait(&rules, "network", &[], "network");
    check_wait(&rules, "select", &[], "select");
    check_call(&rules, &[], "syscall/with_p", "syscall/without_p");
}

#[test]
fn a_reason_of_a_later_go_is_other() {
    check_wait(&StateRules::default(), "quantum wait", &["main.leap"], "other");
}

#[test]
fn what_no_goroutine_ends_is_ended_by_a_timer_unless_a_rule_knows_more() {
    let rules = StateRules::default();
    let check = |reason, functions: &[&str], expected| {
        let wait = Blocked::Waiting {
            reason,
            ended_externally: true,
        };
        assert_eq!(word(&rules, rules.refine(wait, functions)), expected);
    };
    check("select", &["runtime.selectgo", "main.work"], "sleep/timer");
    check("chan receive", &["runtime.chanrecv1", "main.work"], "sleep/timer");
    check(
        "select",
        &["runtime.selectgo", "database/sql.(*DB).conn"],
        "select/db_pool",
    );
    check(
        "network",
        &["internal/poll.(*FD).Read", "net.(*netFD).Read"],
        "network/read",
    );
}

#[test]
fn a_wait_from_before_the_recording_has_the_reason_that_its_stack_tells() {
    let rules = StateRules::default();
    let check = |functions: &[&str], expected| {
        let wait = Blocked::WaitingSinceBefore {
            ended_externally: false,
        };
        assert_eq!(word(&rules, rules.refine(wait, functions)), expected);
    };
    check(
        &["runtime.gopark", "runtime.selectgo", "database/sql.(*DB).conn"],
        "select/db_pool",
    );
    check(
        &["runtime.gopark", "runtime.chanrecv", "runtime.chanrecv1", "main.work"],
        "channel/recv",
    );
    check(&["runtime.coroswitch", "iter.Pull[...].func1.1"], "other/coroutine");
    check(&["main.work"], "other/began_before_recording");
    check(&[], "other/began_before_recording");
}

#[test]
fn a_system_call_keeps_whether_it_has_a_p() {
    let rules = StateRules::default();
    let fsync = ["syscall.Fsync", "internal/poll.(*FD).Fsync.func1", "os.(*File).Sync"];
    check_call(&rules, &fsync, "syscall/file_sync", "syscall/file_sync_without_p");
    check_call(&rules, &["main.raw"], "syscall/with_p", "syscall/without_p");
}

#[test]
fn a_users_rule_comes_before_the_built_in_ones() {
    let rules = StateRules::with_user_rules(&[
        rule("select", &["example.com/pool.(*Pool)"], State::Select, "redis_pool"),
        rule("sync", &["example.com/cache"], State::Mutex, "cache"),
        rule("sync", &["example.com/cache.(*Shard)"], State::Mutex, "never"),
    ])
    .unwrap();
    let pool = ["runtime.selectgo", "example.com/pool.(*Pool).waitTurn", "main.work"];
    check_wait(&rules, "select", &pool, "select/redis_pool");
    let shard = ["sync.(*Mutex).Lock", "example.com/cache.(*Shard).Get"];
    check_wait(&rules, "sync", &shard, "mutex/cache");
    check_wait(&rules, "chan receive", &pool, "channel/recv");
    check_wait(&rules, "sync", &["sync.(*Mutex).Lock", "main.work"], "mutex");
}

#[test]
fn a_users_rule_may_be_for_system_calls_or_for_any_reason() {
    let rules = StateRules::with_user_rules(&[
        rule(SYSCALL, &["main.(*Journal)"], State::Syscall, "journal"),
        rule(ANY, &["main.(*Index)"], State::Other, "index"),
    ])
    .unwrap();
    let journal = ["syscall.Fsync", "os.(*File).Sync", "main.(*Journal).Append"];
    check_call(&rules, &journal, "syscall/journal", "syscall/journal_without_p");
    let index = ["syscall.read", "os.(*File).Read", "main.(*Index).load"];
    check_call(&rules, &index, "other/index", "other/index");
    check_wait(
        &rules,
        "sync",
        &["sync.(*Mutex).Lock", "main.(*Index).load"],
        "other/index",
    );
    // Not a system call: `syscall` is no wildcard.
    check_wait(
        &rules,
        "sync",
        &["sync.(*Mutex).Lock", "main.(*Journal).Append"],
        "mutex",
    );
}

#[test]
fn frames_are_looked_for_in_order_among_the_innermost() {
    let within = |within| StateRule {
        within,
        ..rule("sync", &["main.b", "main.a"], State::Other, "found")
    };
    let rules = |within_frames| StateRules::with_user_rules(&[within(within_frames)]).unwrap();
    let calls = ["sync.(*Mutex).Lock", "main.b", "main.c", "main.a"];
    check_wait(&rules(4), "sync", &calls, "other/found");
    check_wait(&rules(3), "sync", &calls, "mutex");
    check_wait(&rules(8), "sync", &["sync.(*Mutex).Lock", "main.a", "main.b"], "mutex");
}

#[test]
fn the_runtimes_own_functions_do_not_count_as_innermost() {
    let only = StateRule {
        within: 1,
        ..rule("chan receive", &["runtime.chanrecv1"], State::Other, "found")
    };
    let rules = StateRules::with_user_rules(&[only]).unwrap();
    let status = ["runtime.gopark", "runtime.chanrecv", "runtime.chanrecv1", "main.work"];
    let wait = Blocked::WaitingSinceBefore {
        ended_externally: false,
    };
    assert_eq!(word(&rules, rules.refine(wait, &status)), "other/found");
    check_wait(&rules, "chan receive", &status[2..], "other/found");
}

#[test]
fn every_fault_of_a_users_rules_is_reported_with_its_field() {
    let broken = [
        StateRule::default(),
        rule("", &["main.work"], State::Running, "Two words"),
        StateRule {
            within: WITHIN_MAX + 1,
            ..rule("sync", &["main.work", ""], State::Mutex, "")
        },
    ];
    let found: Vec<_> = StateRules::with_user_rules(&broken)
        .unwrap_err()
        .iter()
        .map(|invalid| (invalid.index, invalid.fault.field()))
        .collect();
    let expected = [
        (0, ""),
        (1, "reason"),
        (1, "state"),
        (1, "sub_state"),
        (2, "frames::1"),
        (2, "within"),
    ];
    assert_eq!(found, expected.map(|(index, field)| (index, field.to_owned())));
    for invalid in StateRules::with_user_rules(&broken).unwrap_err() {
        assert!(!invalid.fault.remedy().is_empty(), "{invalid}");
    }
}

#[test]
fn rules_are_limited_in_number_and_reach() {
    let one = StateRule {
        within: WITHIN_MAX,
        ..rule("sync", &["main.work"], State::Mutex, "m")
    };
    let most = vec![one.clone(); USER_RULES_MAX];
    let rules = StateRules::with_user_rules(&most).unwrap();
    assert!(rules.frames_seen() >= WITHIN_MAX);
    let invalid = StateRules::with_user_rules(&[most, vec![one]].concat()).unwrap_err();
    assert_eq!(invalid.len(), 1);
    assert_eq!(invalid[0].fault, RuleFault::TooManyRules);
    let patterns = vec!["main.work"; 17];
    let invalid = StateRules::with_user_rules(&[rule("sync", &patterns, State::Mutex, "")]).unwrap_err();
    assert_eq!(invalid[0].fault, RuleFault::PatternCount { found: 17 });
}

fn built_in() -> impl Iterator<Item = &'static BuiltIn> {
    WAITS.iter().chain(SYSTEM_CALLS)
}

#[test]
fn no_built_in_rule_is_hidden_by_one_before_it() {
    let rules = StateRules::default();
    for rule in built_in() {
        // The shortest stack that the rule is for.
        let functions: Vec<String> = rule
            .frames
            .iter()
            .map(|pattern| pattern.replace("(*", "(\0").replace('*', "x").replace('\0', "*"))
            .collect();
        let functions: Vec<&str> = functions.iter().map(String::as_str).collect();
        let blocked = if rule.reason == SYSCALL {
            Blocked::InSystemCall { has_p: true }
        } else {
            Blocked::Waiting {
                reason: rule.reason,
                ended_externally: rule.only_ended_externally,
            }
        };
        let found = word(&rules, rules.refine(blocked, &functions));
        let named = match (rule.state, rule.sub_state) {
            (State::Syscall, "") => "syscall/with_p".to_owned(),
            (state, "") => state.to_string(),
            (state, sub_state) => format!("{state}/{sub_state}"),
        };
        assert_eq!(found, named, "{rule:?}");
    }
}

#[test]
fn every_reason_has_a_rule_without_frames() {
    for rule in built_in() {
        let plain = |other: &BuiltIn| other.reason == rule.reason && other.frames.is_empty();
        assert!(built_in().any(plain), "{}", rule.reason);
    }
}

#[test]
fn a_users_rule_is_unused_until_it_gives_a_state() {
    let rules = StateRules::with_user_rules(&[
        rule("select", &["main.first"], State::Sync, "first"),
        rule("select", &["main.other"], State::Sync, "second"),
        rule("select", &["main.first"], State::Sync, "shadowed"),
    ])
    .unwrap();
    let unused = || -> Vec<usize> { rules.unused_user_rules().map(|(position, _)| position).collect() };
    assert_eq!(unused(), [0, 1, 2]);
    let wait = Blocked::Waiting {
        reason: "select",
        ended_externally: false,
    };
    rules.refine(wait, &["runtime.selectgo", "main.second"]);
    assert_eq!(unused(), [0, 1, 2]);
    rules.refine(wait, &["runtime.selectgo", "main.first"]);
    assert_eq!(unused(), [1, 2]);
    assert!(
        rules
            .clone()
            .unused_user_rules()
            .map(|(position, _)| position)
            .eq([1, 2])
    );
}

#[test]
fn built_in_rules_would_pass_as_a_users() {
    for built_in in built_in().filter(|rule| rule.state != State::GcAssist) {
        let rule = StateRule {
            within: built_in.within.max(1),
            ..rule(built_in.reason, built_in.frames, built_in.state, built_in.sub_state)
        };
        assert_eq!(StateRules::with_user_rules(&[rule]).err(), None, "{built_in:?}");
    }
}

/// Words that do not come from rules: scheduling, what the runtime does meanwhile, missing evidence.
const OTHER_WORDS: [(State, &str); 12] = [
    (State::Running, ""),
    (State::Runnable, ""),
    (State::Runnable, "created"),
    (State::Runnable, "unblocked"),
    (State::Runnable, "preempted"),
    (State::Runnable, "yield"),
    (State::Runnable, "stopped"),
    (State::Runnable, "syscall_exit"),
    (State::GcAssist, ""),
    (State::GcSweep, ""),
    (State::Other, "began_before_recording"),
    (State::Unknown, "state_not_recorded"),
];

#[test]
fn the_page_on_states_explains_exactly_the_words_there_are() {
    let page = include_str!("../../../../docs/states.md");
    let explained: BTreeSet<(String, String)> = page
        .lines()
        .filter_map(|line| {
            let mut cells = line
                .strip_prefix("| `")?
                .split('|')
                .map(|cell| cell.trim().trim_matches('`').to_owned());
            let (state, sub_state) = (cells.next()?, cells.next()?);
            State::from_column(&state).map(|_| (state, sub_state))
        })
        .collect();
    let mut words: BTreeSet<(State, &str)> = built_in().map(|rule| (rule.state, rule.sub_state)).collect();
    words.remove(&(State::Syscall, ""));
    words.extend([
        (State::Syscall, "with_p"),
        (State::Syscall, "without_p"),
        (State::GcStw, ""),
    ]);
    words.extend(OTHER_WORDS);
    let words: BTreeSet<_> = words
        .into_iter()
        .map(|(state, sub_state)| (state.to_string(), sub_state.to_owned()))
        .collect();
    let missing: Vec<_> = words.difference(&explained).collect();
    let superfluous: Vec<_> = explained.difference(&words).collect();
    assert!(missing.is_empty(), "docs/states.md does not explain {missing:?}");
    assert!(
        superfluous.is_empty(),
        "docs/states.md explains {superfluous:?}, which do not occur"
    );
}
