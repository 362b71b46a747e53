//! Which process a recording belongs to.

use std::sync::Arc;

use spandrel_attribution::{ChoiceReason, ProcessChoice, ProcessSpans, Rules, choose_process};
use spandrel_model::*;

use crate::simulator::{Setup, Unusual, simulate};
use crate::text::{Scene, parse};

fn identity(service: &str, instance: Option<&str>) -> Arc<ProcessIdentity> {
    Arc::new(ProcessIdentity {
        service_name: Arc::from(service),
        service_instance_id: instance.map(Arc::from),
        ..ProcessIdentity::default()
    })
}

fn scene(task_end: i64) -> Scene {
    parse(&format!(
        "g1: run 0..9000000 | span q: 1000000..5000000 | task 5 named q on g1: 1012000..{task_end}"
    ))
}

fn choose(recording: Arc<ProcessIdentity>, processes: &[(Arc<ProcessIdentity>, &Scene)]) -> ProcessChoice {
    let mut recorded = scene(5_001_000).recordings.remove(0);
    recorded.process = recording;
    let processes: Vec<ProcessSpans<'_>> = processes
        .iter()
        .map(|(process, scene)| ProcessSpans {
            process: process.clone(),
            ..scene.world.process_spans()
        })
        .collect();
    choose_process(&recorded, &processes, &Rules::default())
}

#[test]
fn the_process_with_the_same_identity_is_chosen() {
    let (spans, none) = (scene(5_001_000), parse("g1: run 0..10"));
    let choice = choose(
        identity("shop", Some("2")),
        &[
            (identity("shop", Some("1")), &spans),
            (identity("shop", None), &spans),
            (identity("shop", Some("2")), &none),
        ],
    );
    let reason = ChoiceReason::SameIdentity;
    assert_eq!(choice, ProcessChoice::Chosen { index: 2, reason });
}

#[test]
fn the_only_process_that_fits_is_chosen() {
    let none = parse("g1: run 0..10");
    let processes = [
        (identity("cart", Some("1")), &none),
        (identity("shop", Some("1")), &none),
    ];
    let reason = ChoiceReason::OnlyCompatible;
    assert_eq!(
        choose(identity("shop", None), &processes),
        ProcessChoice::Chosen { index: 1, reason }
    );
    assert_eq!(
        choose(identity("mail", None), &processes),
        ProcessChoice::NoneCompatible
    );
}

#[test]
fn of_several_that_fit_the_one_with_most_spans_in_the_recording_is_chosen() {
    let (inside, outside) = (scene(5_001_000), parse("g1: run 0..10 | span q: 2000000..3000000"));
    let reason = ChoiceReason::MostBoundTasks { bound: 1, runner_up: 0 };
    let processes = [
        (identity("shop", Some("1")), &outside),
        (identity("shop", Some("2")), &inside),
    ];
    assert_eq!(
        choose(identity("shop", None), &processes),
        ProcessChoice::Chosen { index: 1, reason }
    );
}

#[test]
fn two_processes_of_a_service_under_the_same_load_are_told_apart() {
    let process = |seed| {
        simulate(Setup {
            seed,
            processors: 2,
            requests: 40,
            renamed_percent: 0,
            lost_percent: 0,
            servers: 0,
            unusual: Unusual::default(),
        })
        .world
    };
    let worlds = [process(1), process(2), process(3)];
    let processes: Vec<ProcessSpans<'_>> = (worlds.iter().zip(["1", "2", "3"]))
        .map(|(world, instance)| ProcessSpans {
            process: identity("shop", Some(instance)),
            ..world.process_spans()
        })
        .collect();
    for (own, world) in worlds.iter().enumerate() {
        let mut recording = world.record_all();
        recording.process = identity("shop", None);
        match choose_process(&recording, &processes, &Rules::default()) {
            ProcessChoice::Chosen {
                index,
                reason: ChoiceReason::MostBoundTasks { bound, runner_up },
            } => assert!(
                index == own && runner_up * 20 < bound,
                "{own}: {index}, {bound}, {runner_up}"
            ),
            choice => panic!("{own}: {choice}"),
        }
    }
}

#[test]
fn a_tie_is_decided_for_no_one_and_says_what_to_do() {
    let spans = scene(5_001_000);
    let choice = choose(
        identity("shop", None),
        &[
            (identity("shop", Some("1")), &spans),
            (identity("shop", Some("2")), &spans),
        ],
    );
    assert_eq!(
        choice,
        ProcessChoice::Undecided {
            compatible: 2,
            bound: 1
        }
    );
    assert!(
        choice.to_string().contains("set service.instance.id on the target"),
        "{choice}"
    );
}
