//! Work on profiles that others have sent.
//!
//! A profile for which we panic must not end the collector, let alone again at every start. So a panic is an error here. And
//! while the work goes on, the directory has written down what it is done on, for the case that the process is killed or aborts:
//! see [`AtWork`].

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use thiserror::Error;

use super::held_profile::HeldProfile;
use super::recordings_directory::AtWork;

/// Work has panicked.
#[derive(Debug, Error)]
#[error("internal error, please report it: {0}")]
pub(super) struct Panicked(String);

/// Does work on profiles. Not to be called within such work.
pub(super) fn guarded<T>(profiles: &[HeldProfile], work: impl FnOnce() -> T) -> Result<T, Panicked> {
    let _at_work = at_work(profiles);
    catching(work)
}

/// Takes note of work on profiles, until what it returns is dropped. `None` if they have no files.
pub(super) fn at_work(profiles: &[HeldProfile]) -> Option<AtWork<'_>> {
    AtWork::begin(profiles.iter().filter_map(|profile| profile.stored.as_deref()))
}

/// Does work in which a panic is an error.
pub(super) fn catching<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    // Callers use nothing again that the work has begun to change.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| Panicked(message(&*panic)))
}

fn message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        return (*text).to_owned();
    }
    match panic.downcast_ref::<String>() {
        Some(text) => text.clone(),
        None => "a panic without a message".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, OnceLock};

    use spandrel_model::ProcessIdentity;
    use spandrel_pipeline::{ProfileFormat, RuntimeProfile};

    use super::super::recordings_directory::RecordingsDirectory;
    use super::*;

    #[test]
    fn a_directory_knows_what_is_worked_on_only_while_it_is() {
        let path = tempfile::tempdir().unwrap();
        let at_work = || std::fs::read_to_string(path.path().join(".at-work")).unwrap();
        let (directory, _) = RecordingsDirectory::open(path.path(), u64::MAX).unwrap();
        let held = [1, 2, 3].map(|id| HeldProfile {
            id,
            source: "x.trace".into(),
            stored: (id < 3).then(|| {
                let profile = RuntimeProfile {
                    format: ProfileFormat::GoExecutionTrace,
                    bytes: "x".into(),
                    process: ProcessIdentity::default(),
                    source: "x.trace".into(),
                    fetched: None,
                    warnings: OnceLock::new(),
                };
                Arc::new(directory.store(&profile).unwrap())
            }),
        });
        assert_eq!(guarded(&held, at_work).unwrap(), "1 2\n");
        assert_eq!(guarded(&held[1..], at_work).unwrap(), "2\n");
        assert!(guarded(&held, || panic!("as wanted")).is_err());
        assert_eq!(at_work(), "");
    }

    #[test]
    fn a_panic_is_an_error_that_says_what_it_said() {
        assert_eq!(guarded(&[], || 7).unwrap(), 7);
        for error in [
            catching(|| panic!("task 7 is not there")).unwrap_err(),
            catching(|| panic!("task {} is not there", 7)).unwrap_err(),
        ] {
            assert!(error.to_string().contains("task 7 is not there"), "{error}");
        }
    }
}
