//! Which process a span or a recording comes from.

use std::fmt;
use std::sync::Arc;

/// Identity of a process, from resource attributes: `service.name` with `service.instance.id`, else with `host.name`
/// and `process.pid`. Task ids count from the beginning when a process restarts, so the start time is part of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ProcessIdentity {
    /// `service.name`; empty when the resource has none.
    pub service_name: Arc<str>,
    /// `service.instance.id`.
    pub service_instance_id: Option<Arc<str>>,
    /// `host.name`.
    pub host_name: Option<Arc<str>>,
    /// `process.pid`.
    pub pid: Option<i64>,
    /// `process.creation.time`, the text as reported.
    pub creation_time: Option<Arc<str>>,
}

impl ProcessIdentity {
    /// Length of its texts, bytes.
    pub fn text_bytes(&self) -> usize {
        let optional = [&self.service_instance_id, &self.host_name, &self.creation_time];
        let optional = optional.into_iter().flatten().map(|text| text.len());
        self.service_name.len() + optional.sum::<usize>()
    }

    /// Builds the identity by asking `attribute` for each resource attribute it needs.
    pub fn from_resource(mut attribute: impl FnMut(&str) -> Option<String>) -> Self {
        let mut text = |key: &str| attribute(key).filter(|value| !value.is_empty()).map(Arc::from);
        Self {
            service_name: text("service.name").unwrap_or_default(),
            service_instance_id: text("service.instance.id"),
            host_name: text("host.name"),
            creation_time: text("process.creation.time"),
            pid: text("process.pid").and_then(|pid: Arc<str>| pid.parse().ok()),
        }
    }

    /// Whether both may be the same process: the same service, and no attribute that both report differs.
    /// A recording fetched from a configured target often knows less about its process than the SDK does.
    pub fn is_compatible_with(&self, other: &Self) -> bool {
        fn agree<T: PartialEq>(left: &Option<T>, right: &Option<T>) -> bool {
            match (left, right) {
                (Some(left), Some(right)) => left == right,
                _ => true,
            }
        }
        self.service_name == other.service_name
            && agree(&self.service_instance_id, &other.service_instance_id)
            && agree(&self.host_name, &other.host_name)
            && agree(&self.pid, &other.pid)
            && agree(&self.creation_time, &other.creation_time)
    }

    /// The `process_id` column: `service.instance.id`, else `host.name:process.pid`, else what there is of them.
    pub fn process_id(&self) -> String {
        match (&self.service_instance_id, &self.host_name, self.pid) {
            (Some(instance), _, _) => instance.to_string(),
            (None, Some(host), Some(pid)) => format!("{host}:{pid}"),
            (None, Some(host), None) => host.to_string(),
            (None, None, Some(pid)) => pid.to_string(),
            (None, None, None) => String::new(),
        }
    }
}

impl fmt::Display for ProcessIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.process_id() {
            id if id.is_empty() => f.write_str(&self.service_name),
            id => write!(f, "{}/{id}", self.service_name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(pairs: &[(&str, &str)]) -> ProcessIdentity {
        ProcessIdentity::from_resource(|key| {
            pairs
                .iter()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.to_string())
        })
    }

    #[test]
    fn an_instance_id_is_preferred_over_host_and_pid() {
        let full = identity(&[("service.instance.id", "a"), ("host.name", "h"), ("process.pid", "7")]);
        assert_eq!(full.process_id(), "a");
        assert_eq!(
            identity(&[("host.name", "h"), ("process.pid", "7")]).process_id(),
            "h:7"
        );
    }

    #[test]
    fn a_recording_that_knows_less_fits_every_process_it_does_not_contradict() {
        let target = identity(&[("service.name", "shop")]);
        let first = identity(&[("service.name", "shop"), ("service.instance.id", "1")]);
        let second = identity(&[("service.name", "shop"), ("service.instance.id", "2")]);
        assert!(target.is_compatible_with(&first) && target.is_compatible_with(&second));
        assert!(!first.is_compatible_with(&second));
        assert!(!target.is_compatible_with(&identity(&[("service.name", "cart")])));
    }
}
