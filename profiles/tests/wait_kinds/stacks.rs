//! The kept stacks, as text.
//!
//! ```text
//! sql pool: wait for select
//!     runtime.selectgo
//!     database/sql.(*DB).conn
//!     main.sqlPool
//! ```

use std::fmt::Write;
use std::path::Path;

use spandrel_profiles::go_execution_trace::{Blocked, StateRules};

use super::observed::word;

pub(crate) const WAIT_FOR: &str = "wait for ";
pub(crate) const WAIT_SINCE_BEFORE: &str = "wait since before";
pub(crate) const SYSTEM_CALL: &str = "system call";
pub(crate) const ENDED_EXTERNALLY: &str = ", ended externally";

/// A file of stacks.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) text: String,
    /// Its waits began before the recording.
    pub(crate) is_early: bool,
}

/// Where a goroutine stood.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    pub(crate) case: String,
    pub(crate) how: String,
    /// Innermost first.
    pub(crate) functions: Vec<String>,
}

/// All files, by name.
pub(crate) fn files() -> Vec<File> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wait_kinds/stacks");
    let mut files: Vec<File> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            File {
                is_early: name.ends_with("-early"),
                text: std::fs::read_to_string(path).unwrap(),
                name,
            }
        })
        .collect();
    files.sort_by(|left, right| left.name.cmp(&right.name));
    files
}

pub(crate) fn parse(text: &str) -> impl Iterator<Item = Stack> {
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty());
    paragraphs.map(|paragraph| {
        let mut lines = paragraph.lines();
        let (case, how) = lines.next().unwrap().split_once(": ").unwrap();
        Stack {
            case: case.to_owned(),
            how: how.to_owned(),
            functions: lines.map(|line| line.trim().to_owned()).collect(),
        }
    })
}

/// The inverse of [`parse`].
pub(crate) fn render(stacks: impl Iterator<Item = Stack>) -> String {
    let mut text = String::new();
    for Stack { case, how, functions } in stacks {
        let gap = if text.is_empty() { "" } else { "\n" };
        writeln!(text, "{gap}{case}: {how}").unwrap();
        for function in functions {
            writeln!(text, "    {function}").unwrap();
        }
    }
    text
}

impl Stack {
    /// What the rules call it.
    pub(crate) fn word(&self, rules: &StateRules) -> String {
        let functions: Vec<&str> = self.functions.iter().map(String::as_str).collect();
        let refined = rules.refine(self.blocked(), &functions);
        word(refined.state, rules.sub_state(refined.sub_state))
    }

    fn blocked(&self) -> Blocked<'_> {
        let (how, ended_externally) = match self.how.strip_suffix(ENDED_EXTERNALLY) {
            Some(how) => (how, true),
            None => (self.how.as_str(), false),
        };
        match how.strip_prefix(WAIT_FOR) {
            Some(reason) => Blocked::Waiting {
                reason,
                ended_externally,
            },
            None if how == WAIT_SINCE_BEFORE => Blocked::WaitingSinceBefore { ended_externally },
            None => Blocked::InSystemCall { has_p: true },
        }
    }
}
