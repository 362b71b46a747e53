//! The identity of a recorded process, from resource attributes that a person wrote down.

use std::collections::BTreeMap;

use spandrel_model::ProcessIdentity;

/// Why attributes identify no process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResourceError {
    #[error("`service.name` is missing")]
    NoServiceName,
    #[error("`process.pid` is `{found}`, expected an integer")]
    Pid { found: String },
}

/// The process that `attributes` describe. Attributes that are no part of an identity are ignored.
pub(super) fn identify(attributes: &BTreeMap<String, String>) -> Result<ProcessIdentity, ResourceError> {
    if attributes.get("service.name").is_none_or(String::is_empty) {
        return Err(ResourceError::NoServiceName);
    }
    let identity = ProcessIdentity::from_resource(|key| attributes.get(key).cloned());
    match attributes.get("process.pid") {
        Some(found) if identity.pid.is_none() => Err(ResourceError::Pid { found: found.clone() }),
        _ => Ok(identity),
    }
}
