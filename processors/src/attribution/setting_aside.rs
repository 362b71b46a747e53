//! Profiles that cannot be used, because we panic or the process dies, are set aside: nothing is done with them any more, also
//! after a restart.

use std::path::Path;
use std::sync::Arc;

use super::connector::{AttributionConnector, off_executor};
use super::guarded::Panicked;
use super::held_profile::HeldProfile;
use super::recordings_directory::{Earlier, StoredProfile};

impl AttributionConnector {
    /// Sets aside a profile for which work has panicked. What depends on it becomes final.
    pub(super) async fn set_aside_after(&self, profile: HeldProfile, panicked: &Panicked) {
        tracing::error!(source = %profile.source, "{panicked}");
        self.set_aside(profile).await;
    }

    /// Sets a profile aside, and says so. What depends on it becomes final.
    pub(super) async fn set_aside(&self, profile: HeldProfile) {
        let sealed_spans = self.lock().pending.set_aside(profile.id);
        self.metrics.sealed_early_spans.inc_by(sealed_spans.unwrap_or(0));
        self.set_file_aside(&profile.source, profile.stored).await;
    }

    /// The same for a profile that is not held.
    pub(super) async fn set_file_aside(&self, source: &str, stored: Option<Arc<StoredProfile>>) {
        self.metrics.set_aside_profiles.inc();
        let set_aside = match stored {
            Some(stored) => off_executor(move || stored.set_aside()).await,
            None => Ok(Ok(None)),
        };
        match set_aside {
            Ok(Ok(None)) => tracing::error!(%source, "a runtime profile is dropped, and spans are joined without it"),
            Ok(Ok(Some(path))) => tracing::error!(
                %source,
                path = %path.display(),
                "a runtime profile is set aside, and spans are joined without it; report it with this file"
            ),
            Ok(Err(error)) => tracing::error!(
                %source,
                "a runtime profile cannot be set aside, and will be tried again at the next start: {error}"
            ),
            Err(refusal) => tracing::error!(%source, "a runtime profile cannot be set aside: {refusal}"),
        }
    }
}

/// Says what a start found and leaves alone.
pub(super) fn report_left_alone(earlier: &Earlier) {
    for path in &earlier.fatal {
        tracing::error!(
            path = %path.display(),
            "the collector was killed or has aborted more than once while it worked on this runtime profile, which is set \
             aside: spans are joined without it; give it the extension `profile` again to try it with more memory or \
             another version, or remove it"
        );
    }
    warn(
        &earlier.aside,
        "recordings_directory holds runtime profiles that were set aside by earlier runs, of which this is the first: \
         report and remove them, or give them the extension `profile` again to try them",
    );
    warn(
        &earlier.foreign,
        "recordings_directory holds files that are not recordings, of which this is the first: they are left alone; move \
         them elsewhere",
    );
}

fn warn(paths: &[impl AsRef<Path>], what: &str) {
    if let Some(first) = paths.first() {
        tracing::warn!(path = %first.as_ref().display(), count = paths.len(), "{what}");
    }
}
