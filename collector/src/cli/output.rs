//! Standard output: written at once, and not missed when the reader has gone away.

use std::io::{self, Write};

use anyhow::Context;

/// Writes a page.
///
/// # Errors
/// It cannot be written, as to a full disk. A reader who has read enough, as `head` does, is no error.
pub(super) fn write(page: &str) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(page.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("failed to write to standard output"),
    }
}
