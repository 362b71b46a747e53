//! What was injected into requests, and measured by them, is what `spandrel attribute` finds. `make accuracy` measures how
//! exactly; this only sees to it that it stays so, on machines that do other work meanwhile.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use spandrel_tests::accuracy::{BindingCounts, Configuration, Measured, View, ViewJudged, culprits, measure};

const REQUESTS: usize = 200;
const SEED: u64 = 1;
/// `make accuracy` finds more than 98 %, even where programs are compiled meanwhile.
const RIGHT_PERCENT_MIN: usize = 90;
const CULPRIT_PERCENT_MIN: f64 = 90.0;
const BOUND_PERCENT_MIN: usize = 99;
const RIGHT_GOROUTINE_PER_MILLE_MIN: usize = 999;

#[test]
fn injected_causes_are_found_and_so_is_their_time() {
    let configuration = Configuration {
        toolchain: "go1.25.14",
        procs: 2,
        collects_garbage: false,
    };
    let dir = tempfile::tempdir().unwrap();
    let Some(run) = measure(&configuration, REQUESTS, SEED, dir.path()) else {
        return;
    };
    assert!(run.requests.len() >= REQUESTS);
    spans_are_bound_to_the_goroutines_that_they_were_on(&run);
    for view in View::ALL {
        let right = run.of_view(view).filter(|it| it.dominant.is_right).count();
        let within = run.of_view(view).filter(|it| ViewJudged::is_within(it)).count();
        let of = run.requests.len();
        println!(
            "{}: cause right in {right}, time right in {within} of {of}",
            view.name()
        );
        let least = of * RIGHT_PERCENT_MIN / 100;
        assert!(right >= least && within >= least, "{view:?}: {right}, {within} of {of}");
    }
    let culprits = culprits(std::slice::from_ref(&run));
    println!("{}: {:.2} %", culprits.what, culprits.percent());
    assert!(culprits.percent() >= CULPRIT_PERCENT_MIN, "{culprits:?}");
}

fn spans_are_bound_to_the_goroutines_that_they_were_on(run: &Measured) {
    let counts = BindingCounts::of(&run.bindings);
    println!("{counts:?}");
    assert!(
        counts.spans > run.requests.len() && counts.recorded == counts.spans,
        "{counts:?}"
    );
    assert!(counts.bound * 100 >= counts.spans * BOUND_PERCENT_MIN, "{counts:?}");
    let wrong: Vec<_> = run
        .bindings
        .iter()
        .filter(|it| it.is_bound() && !it.is_right())
        .collect();
    assert!(
        counts.right * 1000 >= counts.bound * RIGHT_GOROUTINE_PER_MILLE_MIN,
        "{wrong:?}"
    );
    assert!(counts.handed_over > 0, "the service hands no span over");
}
