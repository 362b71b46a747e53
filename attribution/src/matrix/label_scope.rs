//! What the labels of samples tell, judged over all requests of a group.
//!
//! A sample in an execution trace has a task, so it is known which span owned that. A label only names a span, and
//! there are two things that it does not say. First, which task had it: tasks that the request has created have it
//! too, and the self view knows nothing of what they ran. Second, whether it names the innermost span, or the one with
//! which work entered the process, as some profilers do unless told otherwise. One request shows neither; many do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use spandrel_model::Layer;

use super::functions::FunctionKey;
use crate::SampledBy;

/// Labels tell what requests ran if other tasks ran for them for at most one part in so many of the time that they did.
const HELPERS_PART: i64 = 20;

/// In which layers samples count that are known by labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LabelScope {
    /// In none: they are not known to be of the requests' own tasks, or only of which request, while others say more.
    Nothing,
    /// In that of the span that the label names.
    Innermost,
    /// In all together: labels name the request, in which spans of several layers ran.
    AllLayers,
}

/// No layer: a part of the running time of all.
static ALL_LAYERS: LazyLock<Layer> = LazyLock::new(|| Layer::new(""));

impl LabelScope {
    /// Judges by what was seen, by how long the requests ran in each layer, and how long other tasks did for them.
    pub(super) fn of<'a>(
        seen: impl Iterator<Item = &'a FunctionKey> + Clone,
        running_ns: &BTreeMap<&Layer, i64>,
        helper_running_ns: i64,
    ) -> Self {
        let is_seen = |by: SampledBy| seen.clone().any(|key| key.by == by);
        let total_ns = running_ns.values().fold(0_i64, |sum, ns| sum.saturating_add(*ns));
        if helper_running_ns > total_ns / HELPERS_PART {
            return Self::Nothing;
        }
        let of_requests: BTreeSet<&Layer> = (seen.clone())
            .filter(|key| key.by == SampledBy::Request)
            .map(|key| &key.layer)
            .collect();
        let only_requests_ran = running_ns.keys().all(|layer| of_requests.contains(layer)) && running_ns.len() == 1;
        if is_seen(SampledBy::InnerSpan) || only_requests_ran {
            return Self::Innermost;
        }
        match is_seen(SampledBy::Task) {
            true => Self::Nothing,
            false => Self::AllLayers,
        }
    }

    /// The layer whose running time a sample divides, and that of its function; `None` if it does not count. Where all
    /// layers are divided together, that of a span says nothing, and only that of a library counts.
    pub(super) fn layers(self, key: &FunctionKey) -> Option<(&Layer, &Layer)> {
        let no_layer = &*ALL_LAYERS;
        match (key.by, self) {
            (SampledBy::Task, _) | (_, Self::Innermost) => Some((&key.layer, &key.function_layer)),
            (_, Self::Nothing) => None,
            (_, Self::AllLayers) if key.function_layer == key.layer => Some((no_layer, no_layer)),
            (_, Self::AllLayers) => Some((no_layer, &key.function_layer)),
        }
    }

    /// How long the requests ran in `layer`, one of [`Self::layers`].
    pub(super) fn running_ns(layer: &Layer, running_ns: &BTreeMap<&Layer, i64>) -> i64 {
        match *layer == *ALL_LAYERS {
            true => running_ns.values().fold(0, |sum, ns| sum.saturating_add(*ns)),
            false => running_ns.get(layer).copied().unwrap_or(0),
        }
    }
}
