//! A warning where spans are joined before the recordings of their time have come.
//!
//! A recording arrives when it ends, and holds what happened up to `trace_duration` before. The first spans in it have been
//! joined by then if `join_delay` is not longer. They are joined anew when it comes, so that nothing is wrong in the end, but
//! the rows of most spans are written twice; and those that are final by then stay without it.

use std::collections::BTreeSet;
use std::time::Duration;

use spandrel_config::{CollectorConfig, ComponentId, Place, Problems};
use spandrel_pipeline::Signal;
use spandrel_processors::attribution::AttributionConfig;

use super::check::Route;
use crate::receivers::go_runtime;

/// What a recording takes to arrive after it has ended, generously.
const TRANSFER: Duration = Duration::from_secs(3);

/// Warns of each connector that joins before the recordings of a receiver come which leads to it.
pub(super) fn warn(config: &CollectorConfig, routes: &[Route], problems: &mut Problems) {
    let profiles = routes.iter().filter(|route| route.signal == Signal::Profiles);
    let pairs: BTreeSet<(&ComponentId, &ComponentId)> = profiles
        .flat_map(|route| {
            (route.sources.iter()).flat_map(|source| route.targets.iter().map(move |target| (source, target)))
        })
        .collect();
    for (source, target) in pairs {
        warn_of_pair(config, source, target, problems);
    }
}

fn warn_of_pair(config: &CollectorConfig, source: &ComponentId, target: &ComponentId, problems: &mut Problems) {
    let (Some(receiver), Some(connector)) = (config.receivers.get(source), config.connectors.get(target)) else {
        return;
    };
    if source.component_type() != go_runtime::FACTORY.kind {
        return;
    }
    // Faults of the sections themselves have been reported.
    let trace_duration = go_runtime::trace_duration(receiver);
    let attribution = AttributionConfig::check(connector, &mut Problems::new());
    let (Some(trace_duration), Some(attribution)) = (trace_duration, attribution) else {
        return;
    };
    let AttributionConfig {
        join_delay, retention, ..
    } = attribution;
    if join_delay > trace_duration {
        return;
    }
    let consequence = match trace_duration.saturating_sub(join_delay) > retention {
        true => "the spans that it begins with are final by then and stay without it",
        false => "spans are joined without it first, and again when it comes",
    };
    let message = format!(
        "{join_delay:?} is not longer than {} of {trace_duration:?}{}: a recording comes when it ends, so {consequence}",
        receiver.at("trace_duration").path,
        location(&receiver.at("trace_duration")),
    );
    let enough = trace_duration.saturating_add(TRANSFER);
    let also = if retention < enough {
        ", and retention to no less"
    } else {
        ""
    };
    problems
        .warn(connector.at("join_delay"), message)
        .help(format!("set join_delay to {enough:?} or more{also}"));
}

/// ` (file:line:column)`, if it stands in a file.
fn location(place: &Place) -> String {
    let location = place.span.as_ref().map(|span| format!(" ({})", span.location()));
    location.unwrap_or_default()
}
