//! What is wrong with a configuration, collected so that a user repairs it in one round.

use std::fmt;

use crate::path::Place;
use crate::suggest;

/// More problems than this are counted, not kept: nobody reads them, and hostile input could ask for millions.
const MAX_PROBLEMS: usize = 100;

/// Whether a problem stops the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration works, but probably not as intended.
    Warning,
}

/// One thing wrong, with its place and at most one remedy.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Whether it stops the collector.
    pub severity: Severity,
    /// The setting and where it was written.
    pub place: Place,
    /// What is wrong: lowercase, no full stop, user values in backticks.
    pub message: String,
    /// What the user can do.
    pub help: Option<String>,
}

impl Problem {
    /// Sets the remedy.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// `path: message`, or the message alone if it concerns no single setting.
    pub fn headline(&self) -> String {
        if self.place.path.is_root() {
            return self.message.clone();
        }
        format!("{}: {}", self.place.path, self.message)
    }
}

/// Prints one line: `file:line:column: path: message (help)`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(span) = &self.place.span {
            write!(f, "{}: ", span.location())?;
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.headline())?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// Every problem found so far, errors and warnings.
///
/// `Display` prints one line each, ordered by file and position; [`Problems::render`] adds excerpts of the files.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
    omitted_count: usize,
    error_count: usize,
}

impl Problems {
    /// An empty collection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an error. Returns it, so that `.help("...")` can follow.
    pub fn push(&mut self, place: impl Into<Place>, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Error, place.into(), message.into())
    }

    /// Adds a warning. Returns it, so that `.help("...")` can follow.
    pub fn warn(&mut self, place: impl Into<Place>, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Warning, place.into(), message.into())
    }

    /// Adds an error about an unknown name, with the nearest valid one and the list of all.
    ///
    /// `what` names the kind of name: `receiver type` gives ``unknown receiver type `x` ``.
    pub fn push_unknown(&mut self, place: impl Into<Place>, what: &str, name: &str, valid: &[&str]) {
        self.push(place, format!("unknown {what} `{}`", clip(name)))
            .help(suggest::hint(name, valid));
    }

    /// Whether anything was found that stops the collector.
    pub fn has_errors(&self) -> bool {
        self.error_count > 0
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The problems that were kept, ordered by file and position; those without a place come first.
    pub fn sorted(&self) -> Vec<&Problem> {
        let mut sorted: Vec<&Problem> = self.list.iter().collect();
        sorted.sort_by_key(|problem| {
            problem
                .place
                .span
                .as_ref()
                .map(|span| (span.source().name(), span.start()))
        });
        sorted
    }

    /// How many problems were found after the limit of those kept.
    pub fn omitted_count(&self) -> usize {
        self.omitted_count
    }

    /// Takes over the problems of `other`.
    pub fn append(&mut self, other: Problems) {
        self.omitted_count += other.omitted_count;
        // Errors that `other` counted but did not keep stay errors here.
        self.error_count += other.error_count;
        for problem in other.list {
            self.keep(problem);
        }
    }

    fn add(&mut self, severity: Severity, place: Place, message: String) -> &mut Problem {
        if severity == Severity::Error {
            self.error_count += 1;
        }
        self.keep(Problem {
            severity,
            place,
            message,
            help: None,
        })
    }

    /// Past the limit the newest problem replaces the last one kept, so that the caller can still add its help.
    fn keep(&mut self, problem: Problem) -> &mut Problem {
        if self.list.len() < MAX_PROBLEMS {
            self.list.push(problem);
        } else {
            self.omitted_count += 1;
            let last = self.list.len() - 1;
            self.list[last] = problem;
        }
        self.list.last_mut().expect("at least one problem was just kept")
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.sorted().into_iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        match self.omitted_count {
            0 => Ok(()),
            omitted => write!(f, "\nand {omitted} more"),
        }
    }
}

impl std::error::Error for Problems {}

/// Shortens a user's value for a message.
pub(crate) fn clip(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::ConfigPath;
    use crate::render::RenderStyle;
    use crate::source::{Source, Span};

    #[test]
    fn prints_problems_by_file_and_position() {
        let source = Source::new("a.yaml", "x: 1\ny: 2\n");
        let mut problems = Problems::new();
        problems
            .push(
                Place::new(ConfigPath::from_keys("y"), &Span::new(&source, 5, 6)),
                "second",
            )
            .help("try again");
        problems.warn(
            Place::new(ConfigPath::from_keys("x"), &Span::new(&source, 0, 1)),
            "first",
        );
        problems.push(ConfigPath::root(), "of no place");
        assert_eq!(
            problems.to_string(),
            "of no place\na.yaml:1:1: warning: x: first\na.yaml:2:1: y: second (try again)"
        );
    }

    #[test]
    fn keeps_a_limited_number_and_counts_the_rest() {
        let mut problems = Problems::new();
        problems.push(ConfigPath::root(), "an error");
        for _ in 0..2 * MAX_PROBLEMS {
            problems.warn(ConfigPath::root(), "a warning");
        }
        let mut all = Problems::new();
        all.append(problems);
        assert_eq!(
            (all.sorted().len(), all.omitted_count()),
            (MAX_PROBLEMS, MAX_PROBLEMS + 1)
        );
        assert!(all.has_errors());
        assert!(all.to_string().ends_with("\nand 101 more"));
        assert!(all.render(RenderStyle::Plain).ends_with("\nand 101 more\n"));
    }

    #[test]
    fn appending_counts_every_error_once() {
        let mut problems = Problems::new();
        problems.append(Problems::new());
        assert!(!problems.has_errors() && problems.is_empty());
        let mut more = Problems::new();
        more.push(ConfigPath::root(), "an error");
        problems.append(more);
        assert_eq!((problems.error_count, problems.list.len()), (1, 1));
    }
}
