//! What leaves the connector of recordings: their rows, and the decisions that these depend on, which go to disk before.

use std::slice;
use std::sync::Arc;

use spandrel_model::UnixNanos;
use spandrel_pipeline::{RunError, TableRows};

use super::connector::{AttributionConnector, off_executor, unfit_rows};
use super::guarded::guarded;
use super::output::Output;
use super::recording_rows::recording_rows;
use super::recording_source::UnreadableRecording;
use super::recordings::{Settled, Unwritten};
use super::slots::Round;

impl AttributionConnector {
    /// Sends the rows of the recordings whose time has come.
    pub(super) async fn send_recordings(&self, round: &Round, output: Output<'_>) -> Result<(), RunError> {
        let settled = self.lock().pending.take_settled(round);
        self.write_decisions().await?;
        for recording in settled {
            if let Some(rows) = self.rows_of(recording).await? {
                output.send(rows).await?;
            }
        }
        Ok(())
    }

    /// Writes to disk what rows of recordings are about to depend on, so that another run decides the same. What cannot be
    /// written is tried again in the next round.
    async fn write_decisions(&self) -> Result<(), RunError> {
        let decisions = self.lock().pending.unwritten_decisions();
        if decisions.is_empty() {
            return Ok(());
        }
        let write = move || {
            let (mut written, mut failure) = (Vec::new(), None);
            for unwritten in decisions {
                match unwritten.stored.write_decision(&unwritten.decision) {
                    Ok(()) => written.push(unwritten),
                    Err(error) => failure = Some(error),
                }
            }
            (written, failure)
        };
        let (written, failure): (Vec<Unwritten>, _) = off_executor(write)
            .await
            .map_err(|refusal| RunError::caused_by("decisions on recordings were not written", refusal))?;
        let failed_before = {
            let mut state = self.lock();
            for decision in &written {
                state.pending.decision_is_written(decision);
            }
            std::mem::replace(&mut state.decisions_fail, failure.is_some())
        };
        match failure {
            Some(error) if !failed_before => tracing::error!(
                "what was found out about runtime profiles would be lost with a restart, until it can be written: {error}"
            ),
            _ => {}
        }
        Ok(())
    }

    /// The rows of a recording; `None` if it cannot be read or used.
    async fn rows_of(&self, settled: Settled) -> Result<Option<Vec<TableRows>>, RunError> {
        let (profile, config) = (settled.profile.clone(), self.config.clone());
        let stored_until = match settled.is_again {
            true => Some(UnixNanos(i64::MAX)),
            false => self.lock().stored_until,
        };
        let write = move || {
            let mut recording = settled.source.open(&config.state_rules)?;
            if recording.process != settled.process {
                Arc::make_mut(&mut recording).process = settled.process;
            }
            Ok::<_, UnreadableRecording>(recording_rows(&recording, stored_until))
        };
        let rows = off_executor(move || guarded(slice::from_ref(&settled.profile), write));
        let rows = rows
            .await
            .map_err(|refusal| RunError::caused_by("a recording has no rows", refusal))?;
        match rows {
            Ok(Ok(rows)) => Ok(Some(rows.map_err(unfit_rows)?)),
            Ok(Err(error)) => {
                self.metrics.left_out_recordings.inc();
                tracing::error!(source = %profile.source, "the rows of a runtime profile are lost: {error}");
                Ok(None)
            }
            Err(panicked) => {
                self.set_aside_after(profile, &panicked).await;
                Ok(None)
            }
        }
    }

    /// Removes files that nobody needs any more.
    pub(super) async fn tidy_directory(&self) -> Result<(), RunError> {
        let Some(directory) = &self.directory else {
            return Ok(());
        };
        let stored_bytes = i64::try_from(directory.used_bytes()).unwrap_or(i64::MAX);
        self.metrics.stored_recording_bytes.set(stored_bytes);
        if !directory.has_unneeded() {
            return Ok(());
        }
        let directory = directory.clone();
        off_executor(move || directory.remove_unneeded())
            .await
            .map_err(|refusal| RunError::caused_by("files of recordings_directory were not removed", refusal))
    }
}
