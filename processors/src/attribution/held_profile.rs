//! A profile that is held, as all work on it knows it: which one it is, where it came from, and its file.

use std::sync::Arc;

use super::recordings_directory::StoredProfile;

/// Counts profiles in the order of their arrival.
pub(super) type ProfileId = u64;

/// One that is held. Cloning shares its file.
#[derive(Clone, Debug)]
pub(super) struct HeldProfile {
    pub(super) id: ProfileId,
    /// Where it came from, for messages.
    pub(super) source: Arc<str>,
    /// Its file, if there is a directory for it.
    pub(super) stored: Option<Arc<StoredProfile>>,
}

/// What a profile was decoded to, lent to work that may find that it cannot be used.
#[derive(Clone, Debug)]
pub(super) struct Lent<T> {
    pub(super) profile: HeldProfile,
    pub(super) decoded: T,
}

impl HeldProfile {
    /// Size of its file; 0 if it has none.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.stored.as_ref().map_or(0, |stored| stored.size_bytes())
    }

    /// Takes note that it is needed no more. See [`StoredProfile::let_go`].
    pub(super) fn let_go(&self) {
        if let Some(stored) = &self.stored {
            stored.let_go();
        }
    }
}
