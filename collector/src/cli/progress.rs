//! Progress of long steps: bars on a terminal, one line a step elsewhere.

use std::io::Read;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// One step with a known or unknown amount of work.
pub struct Step {
    bar: ProgressBar,
    label: String,
    /// What stays on the terminal when it has ended.
    ended: &'static str,
}

impl Step {
    /// A step of `total` units.
    pub fn counted(label: &str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix:<28} [{bar:40}] {pos}/{len}, {eta} left {msg}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        Self::start(bar, label, "{prefix:<28} [{bar:40}] {pos}/{len} in {elapsed}  {msg}")
    }

    /// A step that ends when it ends.
    pub fn waiting(label: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{prefix:<28} {spinner} {elapsed} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self::start(bar, label, "{prefix:<28} {elapsed}  {msg}")
    }

    /// A step that reads `total_bytes`, or an unknown number of bytes. [`Self::watch`] moves it.
    pub fn reading(label: &str, total_bytes: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total_bytes, ProgressDrawTarget::stderr());
        let template = match total_bytes {
            Some(_) => "{prefix:<28} [{bar:40}] {bytes}/{total_bytes} {binary_bytes_per_sec}, {eta} left {msg}",
            None => "{prefix:<28} {spinner} {bytes} {binary_bytes_per_sec} {elapsed} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self::start(bar, label, "{prefix:<28} {bytes} in {elapsed}  {msg}")
    }

    /// Counts what is read of `reader`.
    pub fn watch<R: Read + Send>(&self, reader: R) -> impl Read + Send + use<R> {
        self.bar.wrap_read(reader)
    }

    fn start(bar: ProgressBar, label: &str, ended: &'static str) -> Self {
        bar.set_prefix(label.to_owned());
        Self {
            bar,
            label: label.to_owned(),
            ended,
        }
    }

    /// Moves to `done` units.
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// One more unit.
    pub fn advance(&self) {
        self.bar.inc(1);
    }

    /// Says what is going on.
    pub fn say(&self, what: impl Into<String>) {
        self.bar.set_message(what.into());
    }

    /// Ends the step, with a summary that stays.
    pub fn finish(self, summary: &str) {
        if self.bar.is_hidden() {
            eprintln!("{}: {summary}", self.label);
        }
        if let Ok(style) = ProgressStyle::with_template(self.ended) {
            self.bar.set_style(style.progress_chars("=> "));
        }
        self.bar.finish_with_message(summary.to_owned());
    }

    /// Ends the step and leaves nothing of it.
    pub fn clear(self) {
        self.bar.finish_and_clear();
    }
}
