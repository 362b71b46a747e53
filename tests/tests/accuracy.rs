//! What was injected into requests, and measured by them, is what `spandrel attribute` finds. `make accuracy` measures how
//! exactly; this only sees to it that it stays so, on machines that do other work meanwhile.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use spandrel_tests::accuracy::{Configuration, Judged, Measured, View, ViewJudged, measure};

const REQUESTS: usize = 200;
const SEED: u64 = 1;
/// `make accuracy` finds more than 98 %, even where programs are compiled meanwhile.
const RIGHT_PERCENT_MIN: usize = 90;
const BOUND_PERCENT_MIN: i64 = 95;

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
    assert!(
        run.bound * 100 >= run.spans * BOUND_PERCENT_MIN,
        "{} of {} spans are bound",
        run.bound,
        run.spans
    );
    for view in views(&run) {
        let right = count(&run, view, |it| it.dominant.is_right);
        let within = count(&run, view, ViewJudged::is_within);
        let of = run.requests.len();
        println!(
            "{}: cause right in {right}, time right in {within} of {of}",
            view.name()
        );
        let least = of * RIGHT_PERCENT_MIN / 100;
        assert!(right >= least && within >= least, "{view:?}: {right}, {within} of {of}");
    }
}

/// The self view, and every other that the tables have.
fn views(run: &Measured) -> impl Iterator<Item = View> {
    let has = |view: View| run.requests.iter().any(|request| of(request, view).is_some());
    View::ALL
        .into_iter()
        .filter(move |&view| view == View::Itself || has(view))
}

fn of(request: &Judged, view: View) -> Option<&ViewJudged> {
    request.views.iter().find(|it| it.view == view)
}

fn count(run: &Measured, view: View, is: impl Fn(&ViewJudged) -> bool) -> usize {
    let found = run.requests.iter().filter_map(|request| of(request, view));
    found.filter(|it| is(it)).count()
}
