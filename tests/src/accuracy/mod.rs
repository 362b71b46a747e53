//! How right the attribution is: requests whose causes are injected and measured, compared with what `spandrel` says.
//!
//! ```text
//! tests/services/truth --spans, execution trace--> spandrel attribute --cells of each request--+
//!          |                                                                                   v
//!          +------------------- what its own clocks measured --------------------------> compare, report
//! ```
//! * [`measure`] runs the service once and judges every request; [`CONFIGURATIONS`] are what `make accuracy` runs.
//! * [`Judged`] is one request, [`Binding`] one span, [`report`] the page of many, [`aims`] what they must reach.
//!
//! `docs/accuracy.md` says what is injected, how the truth is measured, how the two are compared, and keeps the last run.

mod aims;
mod bindings;
mod cells;
mod dominant;
mod judge;
mod page;
mod report;
mod run;
mod service;
mod table;
mod truth;

pub use aims::{Aim, aims, culprits};
pub use bindings::{Binding, BindingCounts};
pub use cells::{Cell, View};
pub use dominant::Dominant;
pub use judge::{Judged, PartJudged, ViewJudged, judge};
pub use page::update;
pub use report::report;
pub use run::{CONFIGURATIONS, Configuration, Measured, measure};
pub use truth::{Part, Step, Truth};
