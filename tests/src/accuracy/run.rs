//! One run of the service: recorded, attributed by `spandrel`, judged.

use std::path::Path;

use super::bindings::{self, Binding};
use super::cells::{self, View};
use super::judge::{Judged, ViewJudged, judge};
use super::service;
use crate::binary;
use crate::sql::Tables;

/// How the service is built and run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// As `GOTOOLCHAIN` names it.
    pub toolchain: &'static str,
    /// GOMAXPROCS.
    pub procs: u32,
    /// Whether the collector runs: often, on a large heap.
    pub collects_garbage: bool,
}

impl Configuration {
    /// For tables.
    pub fn label(&self) -> String {
        let gc = if self.collects_garbage { "GC" } else { "no GC" };
        format!("{}, GOMAXPROCS={}, {gc}", self.toolchain, self.procs)
    }
}

/// The oldest Go whose traces are read, the first that records a wall clock, and the newest; with one processor and two;
/// with the collector and without.
pub const CONFIGURATIONS: [Configuration; 12] = {
    let toolchains = ["go1.22.12", "go1.25.14", "go1.27.4"];
    let mut all = [Configuration {
        toolchain: "",
        procs: 0,
        collects_garbage: false,
    }; 12];
    let mut n = 0;
    while n < all.len() {
        all[n] = Configuration {
            toolchain: toolchains[n / 4],
            procs: if n % 4 < 2 { 1 } else { 2 },
            collects_garbage: n % 2 == 0,
        };
        n += 1;
    }
    all
};

/// What came out of a run.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Of the run.
    pub configuration: Configuration,
    /// Every request.
    pub requests: Vec<Judged>,
    /// Every span.
    pub bindings: Vec<Binding>,
}

impl Measured {
    /// A view of the requests that the tables have.
    pub fn of_view(&self, view: View) -> impl Iterator<Item = &ViewJudged> {
        let views = self.requests.iter().flat_map(|request| &request.views);
        views.filter(move |it| it.view == view)
    }
}

/// Runs the service in `dir`, which is new, and judges at least as many requests as asked for. `None` where the toolchain
/// cannot be had.
///
/// # Panics
/// The service or `spandrel` fails. Being wrong is not a failure: that is for whoever asks.
pub fn measure(configuration: &Configuration, requests: usize, seed: u64, dir: &Path) -> Option<Measured> {
    let run = service::run(configuration, requests, seed, dir)?;
    let out = dir.join("out");
    let path = |path: &Path| path.to_str().expect("our paths are ASCII").to_owned();
    let [spans, trace, out] = [&run.spans, &run.trace, &out].map(|it| path(it));
    binary::run(&["attribute", "--spans", &spans, "--profile", &trace, "--out", &out]).success();
    let tables = Tables::new(Path::new(&out));
    let cells = cells::read(&tables);
    let judged = run.truths.iter().map(|truth| {
        let of = |view| cells.get(&(truth.trace_id.clone(), view)).cloned().unwrap_or_default();
        judge(truth, of)
    });
    Some(Measured {
        configuration: *configuration,
        requests: judged.collect(),
        bindings: bindings::read(&tables),
    })
}
