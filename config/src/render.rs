//! Problems as a page with excerpts of the files, by `miette`.

use std::fmt;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode,
    SourceSpan, SpanContents, ThemeCharacters, ThemeStyles,
};

use crate::problems::{Problem, Problems, Severity};
use crate::source::{Source, Span};

/// A line longer than this, in bytes, is not quoted: it is generated text, and would fill the screen.
const MAX_QUOTED_LINE_BYTES: usize = 500;

/// How a page of problems looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenderStyle {
    /// Colors and box drawing, for a terminal of this many columns.
    Terminal {
        /// Columns before lines wrap.
        width: usize,
    },
    /// ASCII without colors, for log files and pipes.
    Plain,
}

impl RenderStyle {
    fn handler(self) -> GraphicalReportHandler {
        match self {
            Self::Terminal { width } => GraphicalReportHandler::new_themed(GraphicalTheme::unicode())
                .with_width(width)
                .with_links(false),
            Self::Plain => GraphicalReportHandler::new_themed(GraphicalTheme {
                characters: ThemeCharacters::ascii(),
                styles: ThemeStyles::none(),
            })
            .with_width(120)
            .with_links(false),
        }
    }
}

impl Problems {
    /// The problems one below the other, ordered by file and position, each with an excerpt of its file.
    pub fn render(&self, style: RenderStyle) -> String {
        let handler = style.handler().with_context_lines(1);
        let mut page = String::new();
        for problem in self.sorted() {
            let fits = handler.render_report(&mut page, &Report(problem));
            fits.expect("writing to a String cannot fail");
            page.push('\n');
        }
        if self.omitted_count() > 0 {
            page.push_str(&format!("and {} more\n", self.omitted_count()));
        }
        page
    }
}

/// A problem in the form that `miette` draws.
#[derive(Debug)]
struct Report<'p>(&'p Problem);

impl Report<'_> {
    fn quotable_span(&self) -> Option<&Span> {
        let span = self.0.place.span.as_ref()?;
        quotes_short_lines(span).then_some(span)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.headline())?;
        match (&self.0.place.span, self.quotable_span()) {
            (Some(span), None) => write!(f, " ({})", span.location()),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Report<'_> {}

impl Diagnostic for Report<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.0.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.quotable_span()?.source().as_ref())
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.quotable_span()?;
        let first_line_bytes = span.source().text()[span.start()..][..span.len_bytes()]
            .lines()
            .next()
            .map_or(0, str::len);
        let range = (span.start(), first_line_bytes);
        Some(Box::new(std::iter::once(LabeledSpan::underline(range))))
    }
}

/// Whether the line of the span and its neighbors are short enough to quote.
fn quotes_short_lines(span: &Span) -> bool {
    let (before, after) = span.source().text().split_at(span.start());
    let above = before
        .rsplit('\n')
        .take(2)
        .all(|line| line.len() <= MAX_QUOTED_LINE_BYTES);
    above
        && after
            .split('\n')
            .take(2)
            .all(|line| line.len() <= MAX_QUOTED_LINE_BYTES)
}

impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        context_lines_before: usize,
        context_lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let contents = self.text().read_span(span, context_lines_before, context_lines_after)?;
        Ok(Box::new(MietteSpanContents::new_named(
            self.name().to_owned(),
            contents.data(),
            *contents.span(),
            contents.line(),
            contents.column(),
            contents.line_count(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::{ConfigPath, Place};

    fn problem_at(text: &str, start: usize, end: usize) -> Problems {
        let source = Source::new("a.yaml", text);
        let mut problems = Problems::new();
        problems
            .push(
                Place::new(ConfigPath::from_keys("b"), &Span::new(&source, start, end)),
                "expected c",
            )
            .help("try c");
        problems
    }

    #[test]
    fn a_page_quotes_the_line_and_its_neighbors() {
        let page = problem_at("w: 0\na: 1\nb: 2\nc: 3\nd: 4\n", 13, 14).render(RenderStyle::Plain);
        let expected = "  x b: expected c\n   ,-[a.yaml:3:4]\n 2 | a: 1\n 3 | b: 2\n   :    ^\n 4 | c: 3\n   `----\n  help: try c\n\n";
        assert_eq!(page, expected);
    }

    #[test]
    fn a_terminal_page_has_colors_and_a_plain_one_has_not() {
        let problems = problem_at("b: 2\n", 3, 4);
        assert!(problems.render(RenderStyle::Terminal { width: 80 }).contains("\u{1b}["));
        assert!(problems.render(RenderStyle::Plain).is_ascii());
    }

    #[test]
    fn only_the_first_line_of_a_long_value_is_marked() {
        let page = problem_at("b: |\n  x\n  y\nc: 1\n", 3, 12).render(RenderStyle::Plain);
        assert_eq!(page.matches('^').count(), 1, "{page}");
    }

    #[test]
    fn endless_lines_are_named_but_not_quoted() {
        let text = format!("b: [{}]", "x,".repeat(1000));
        assert_eq!(
            problem_at(&text, 4, 5).render(RenderStyle::Plain),
            "  x b: expected c (a.yaml:1:5)\n  help: try c\n\n"
        );
    }
}
