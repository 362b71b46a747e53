//! `spandrel sql`: SQL over the stored tables, once or at a prompt.

use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustyline::error::ReadlineError;
use spandrel_query::{Format, Limits, QueryResult, SessionContext, SessionOptions};
use spandrel_store::StoreReader;
use tokio::runtime::Runtime;

use crate::report::number::counted;

const SHOW_TABLES: &str = "SHOW TABLES";

/// Options of `spandrel sql`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    spandrel sql -c 'SHOW TABLES'\n  \
    spandrel sql -c \"SELECT layer, state, sum(ns) / 1e6 AS ms FROM attribution WHERE view = 'self' GROUP BY 1, 2 ORDER BY 3 DESC\"\n  \
    spandrel sql --format csv -c 'SELECT * FROM matrix' > matrix.csv\n\n\
    Ids are shown as hex and compared with hex: WHERE trace_id = '4bf92f3577b34da6a3ce929d0e0e4736'.\n\
    Without -c, SQL is read from standard input, or asked for at a prompt.")]
pub struct Args {
    /// Directory of the tables.
    #[arg(long, value_name = "DIR", default_value = "./spandrel-data")]
    pub data: PathBuf,
    /// Statement to run; without it, a prompt.
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    pub command: Option<String>,
    /// Output: table, json (one array of objects) or csv.
    #[arg(long, default_value = "table")]
    pub format: Format,
    /// Most rows to return.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub max_rows: usize,
    /// Longest time a statement may take, in seconds.
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    pub timeout: u64,
}

/// Runs the statement, or the prompt.
///
/// # Errors
/// The directory holds no tables, or the statement fails.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = Runtime::new().context("failed to start threads")?;
    let limits = Limits {
        max_rows: args.max_rows,
        timeout: Duration::from_secs(args.timeout),
    };
    let shell = Shell {
        runtime,
        data: args.data.clone(),
        format: args.format,
        limits,
    };
    if let Some(sql) = &args.command {
        return shell.execute(sql);
    }
    if io::stdin().is_terminal() {
        return shell.prompt();
    }
    let mut sql = String::new();
    io::stdin()
        .read_to_string(&mut sql)
        .context("failed to read standard input")?;
    shell.script(&sql)
}

/// A session in which each statement sees the newest snapshot.
struct Shell {
    runtime: Runtime,
    data: PathBuf,
    format: Format,
    limits: Limits,
}

impl Shell {
    fn execute(&self, sql: &str) -> anyhow::Result<()> {
        let result = self.runtime.block_on(query(&self.data, sql, self.limits))?;
        let written = self.format.write(&result, &mut io::stdout().lock());
        match written {
            // The reader went away, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.context("failed to write the result")?,
        }
        if result.truncated {
            let first = counted(self.limits.max_rows as u64, "row");
            eprintln!("(only {first}; --max-rows shows more)");
        }
        Ok(())
    }

    /// Runs what comes through a pipe: statements, and between them the words that the prompt takes.
    fn script(&self, sql: &str) -> anyhow::Result<()> {
        for mut statement in statements(sql) {
            while let Some((word, rest)) = leading_word(statement) {
                match word {
                    Word::Leave => return Ok(()),
                    Word::Tables => self.execute(SHOW_TABLES)?,
                    Word::Unknown(word) => bail!(unknown(word)),
                }
                statement = rest.trim();
            }
            if !statement.is_empty() {
                self.execute(statement)?;
            }
        }
        Ok(())
    }

    fn prompt(&self) -> anyhow::Result<()> {
        println!(
            "Tables of {}. End statements with `;`. `\\d` lists tables, `exit` or `\\q` leaves.",
            self.data.display()
        );
        let mut editor = rustyline::DefaultEditor::new().context("failed to open the terminal")?;
        let history = history_file();
        if let Some(history) = &history {
            // A first start has no history.
            let _ = editor.load_history(history);
        }
        let mut statement = String::new();
        loop {
            let prompt = if statement.is_empty() {
                "spandrel> "
            } else {
                "     ...> "
            };
            match editor.readline(prompt) {
                Ok(line) => match word(&line, statement.is_empty()) {
                    Some(Word::Leave) => break,
                    Some(Word::Tables) => self.show(SHOW_TABLES),
                    Some(Word::Unknown(word)) => println!("{}", unknown(word)),
                    None => {
                        statement.push_str(&line);
                        statement.push('\n');
                        if line.trim_end().ends_with(';') {
                            let complete = std::mem::take(&mut statement);
                            // Losing a line of history is no reason to stop.
                            let _ = editor.add_history_entry(complete.trim());
                            self.show(&complete);
                        }
                    }
                },
                Err(ReadlineError::Interrupted) => statement.clear(),
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(error).context("failed to read the terminal"),
            }
        }
        if let Some(history) = &history {
            editor.save_history(history).context("failed to save the history")?;
        }
        Ok(())
    }

    fn show(&self, sql: &str) {
        let started = Instant::now();
        for statement in statements(sql) {
            match self.execute(statement) {
                Ok(()) => println!("({:.0?})", started.elapsed()),
                Err(error) => println!("{error:#}"),
            }
        }
        // A terminal that went away shows at the next line read.
        let _ = io::stdout().flush();
    }
}

/// A line that is no SQL.
#[derive(Debug, PartialEq, Eq)]
enum Word<'l> {
    /// `\q`, `exit`, `quit`.
    Leave,
    /// `\d`.
    Tables,
    /// Another one with a backslash.
    Unknown(&'l str),
}

/// What a line says that is no SQL: `\q` anywhere, the others where a statement would begin.
fn word(line: &str, begins: bool) -> Option<Word<'_>> {
    match line.trim().trim_end_matches(';').trim_end() {
        "\\q" => Some(Word::Leave),
        _ if !begins => None,
        "\\d" => Some(Word::Tables),
        word if word.starts_with('\\') => Some(Word::Unknown(word)),
        word => ["exit", "quit"]
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known))
            .then_some(Word::Leave),
    }
}

/// The word in the first line that is not empty and no comment, and what follows that line.
fn leading_word(statement: &str) -> Option<(Word<'_>, &str)> {
    let mut rest = statement;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let line = line.trim();
        if !line.is_empty() && !line.starts_with("--") {
            return word(line, true).map(|word| (word, after));
        }
        rest = after;
    }
    None
}

fn unknown(word: &str) -> String {
    format!(
        "`{word}` is no SQL; of the words with a backslash there are `\\d`, which lists tables, and `\\q`, which leaves"
    )
}

/// Statements between semicolons outside of quotes and comments.
fn statements(sql: &str) -> impl Iterator<Item = &str> {
    let mut pieces = Vec::new();
    let (mut start, mut quote, mut comment) = (0, None, false);
    let mut previous = ' ';
    for (at, character) in sql.char_indices() {
        match (comment, quote, character) {
            (true, _, '\n') => comment = false,
            (true, _, _) => {}
            (false, Some(open), _) if character == open => quote = None,
            (false, Some(_), _) => {}
            (false, None, '\'' | '"') => quote = Some(character),
            (false, None, '-') if previous == '-' => comment = true,
            (false, None, ';') => {
                pieces.push(&sql[start..at]);
                start = at + 1;
            }
            (false, None, _) => {}
        }
        previous = character;
    }
    pieces.push(&sql[start..]);
    pieces.into_iter().map(str::trim).filter(|piece| !piece.is_empty())
}

/// Runs one statement on the newest snapshot of `data`.
///
/// # Errors
/// The directory holds no tables, or the statement fails.
pub async fn query(data: &Path, sql: &str, limits: Limits) -> anyhow::Result<QueryResult> {
    Ok(spandrel_query::run(&newest(data).await?, sql, limits).await?)
}

/// A session on the newest snapshot of `data`: all its statements see the same rows, whatever a collector writes meanwhile.
///
/// # Errors
/// The directory holds no tables.
pub async fn newest(data: &Path) -> anyhow::Result<SessionContext> {
    let reader = StoreReader::open(data).with_context(|| {
        format!(
            "no tables to read in `{}` (`spandrel run` makes ./spandrel-data; --data names another)",
            data.display()
        )
    })?;
    let snapshot = reader.snapshot().await?;
    Ok(spandrel_query::session(&snapshot, &SessionOptions::default())?)
}

/// `$XDG_STATE_HOME/spandrel_history`, else `~/.spandrel_history`.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(|dir| PathBuf::from(dir).join("spandrel_history"));
    state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".spandrel_history")))
}

#[cfg(test)]
mod tests {
    use super::{Word, leading_word, statements, word};

    #[test]
    fn exit_quit_and_backslash_q_leave_the_prompt() {
        for line in ["exit", "quit", "\\q", " EXIT; ", "Quit ;"] {
            assert_eq!(word(line, true), Some(Word::Leave), "{line}");
        }
        assert_eq!(word("\\q", false), Some(Word::Leave));
        for line in ["exit", "SELECT quit;", "", "\\d"] {
            assert_eq!(word(line, false), None, "{line}");
        }
        assert_eq!(word("SELECT 1", true), None);
    }

    #[test]
    fn other_words_with_a_backslash_are_told_apart_from_sql() {
        assert_eq!(word("\\d", true), Some(Word::Tables));
        assert_eq!(word("\\dt spans;", true), Some(Word::Unknown("\\dt spans")));
    }

    #[test]
    fn words_stand_on_lines_of_their_own_before_a_statement() {
        assert_eq!(
            leading_word("-- tables\n\n\\d\nSELECT 1"),
            Some((Word::Tables, "SELECT 1"))
        );
        assert_eq!(leading_word("exit"), Some((Word::Leave, "")));
        assert_eq!(leading_word("SELECT 1\n\\q"), None);
        assert_eq!(leading_word("-- only a comment"), None);
    }

    #[test]
    fn semicolons_in_quotes_and_comments_end_nothing() {
        let sql = "SELECT ';' -- a; b\n, \"x;y\"; SELECT 2;;";
        assert_eq!(
            statements(sql).collect::<Vec<_>>(),
            ["SELECT ';' -- a; b\n, \"x;y\"", "SELECT 2"]
        );
    }
}
