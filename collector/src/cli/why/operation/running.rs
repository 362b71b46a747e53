//! What the running time of an operation's requests was spent on.

use std::collections::BTreeMap;

use spandrel_attribution::Band;
use spandrel_model::View;

use super::super::Tables;
use super::super::ran::{self, by_cause, in_all_layers, is_large, is_own_running, is_running};
use super::Explained;
use super::load::Sums;
use crate::report::duration::human;

/// Adds functions to the causes, and notes where there are none although the requests near the percentile ran for long.
///
/// # Errors
/// The tables cannot be read.
pub(super) async fn add(
    tables: &Tables<'_>,
    of_operation: &str,
    view: View,
    high: &Band,
    explained: &mut Explained,
) -> anyhow::Result<()> {
    let group = (explained.service.clone(), explained.operation.clone());
    let mut found = ran::load(tables, &BTreeMap::from([(group.clone(), None)])).await?;
    let layers = found.remove(&group).unwrap_or_default();
    let found = by_cause(&layers, explained.causes.iter().map(|part| &part.cause));
    for (part, ran) in explained.causes.iter_mut().zip(found) {
        part.ran = ran;
    }
    explained.ran_in_all_layers = in_all_layers(&layers);
    let at = super::PERCENTS.iter().position(|percent| *percent == explained.percent);
    let mean_ns = |part: &super::Part| at.map_or(0, |at| part.mean_ns[at]);
    let running = explained.causes.iter().filter(|part| is_running(&part.cause));
    let running_ns: i64 = running.map(mean_ns).sum();
    let own_ns = match view {
        View::SelfView => running_ns,
        View::Root => {
            let own = Sums::load(tables, of_operation, View::SelfView, high).await?;
            let sum_ns = own
                .of_cause
                .iter()
                .filter(|(cause, _)| is_own_running(cause))
                .map(|(_, ns)| ns)
                .sum();
            high.means_ns(&[sum_ns]).first().copied().unwrap_or(0)
        }
    };
    let (others_ns, of_ns) = ((running_ns - own_ns).max(0), explained.high().mean_ns);
    explained.other_goroutines_running_ns = others_ns;
    let others = is_large(others_ns, of_ns)
        .then(|| format!("{} near p{}, mean of the requests", human(others_ns), explained.percent));
    let unsampled = (layers.is_empty() && is_large(own_ns, of_ns)).then(|| explained.operation.clone());
    let notes = [ran::remedy(unsampled.as_slice()), ran::elsewhere(others.as_slice())];
    explained.notes.extend(notes.into_iter().flatten());
    Ok(())
}
