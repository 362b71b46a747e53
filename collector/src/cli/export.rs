//! `spandrel export`: an execution trace for the usual viewers.
//!
//! ```text
//! file --decompress--> gotrace --facts--> spandrel-viewers --> output
//!                      one generation     one format
//! ```

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ValueEnum;
use gotrace::{ExecTrace, Summary};
use spandrel_viewers::{Options, WriteError, perfetto, pprof, speedscope};
use tokio::signal::unix::{SignalKind, signal};

use super::progress::Step;
use super::state_rules;
use crate::files;

/// What a shell says of a program that an interrupt has ended: 128 and the number of the signal.
const EXIT_INTERRUPTED: i32 = 130;
/// The same of a request to terminate.
const EXIT_TERMINATED: i32 = 143;

/// Options of `spandrel export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
        spandrel export --to perfetto trace.out\n  \
        spandrel export --to speedscope trace.out -o - | speedscope -\n  \
        spandrel export --to pprof trace.out && go tool pprof -tagroot state -http : trace.pb.gz\n\n\
    The file is read once, as a stream. Memory holds about one generation of the trace (a second), distinct stacks, and a \
    few numbers for each goroutine.")]
pub struct Args {
    /// Go execution trace, plain or compressed with gzip or zstd; `-` is standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What to write it for. Both web pages read the file in the browser and send it nowhere.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub to: Format,
    /// Where to write; `-` is standard output. Default: beside FILE, with the extension `.perfetto-trace`,
    /// `.speedscope.json` or `.pb.gz`; of standard input, standard output.
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Also count the goroutines of the runtime and waits that the runtime calls idle. Without it, speedscope and pprof
    /// leave them out: they wait for most of their lives and hide everything else. A perfetto timeline always has them,
    /// in a group of their own.
    #[arg(long)]
    pub system: bool,
    /// State rules, a YAML list: which waits and system calls have which state. Tried before the built-in ones.
    #[arg(long, value_name = "FILE")]
    pub state_rules: Option<PathBuf>,
}

/// The viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Timeline for ui.perfetto.dev: a lane for each goroutine with its states, why it waited and who woke it;
    /// procs, garbage collection, heap size, user tasks, regions, logs and CPU samples.
    Perfetto,
    /// Flame graphs for www.speedscope.app: the time that goroutines waited, were runnable, were in system calls
    /// or ran, by what they waited for and where.
    Speedscope,
    /// The same as a profile for `go tool pprof`, with state, reason and the goroutine's first function as labels.
    Pprof,
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Self::Perfetto => "perfetto-trace",
            Self::Speedscope => "speedscope.json",
            Self::Pprof => "pb.gz",
        }
    }

    fn how_to_open(self, out: &str) -> String {
        match self {
            Self::Perfetto => format!("open {out} at https://ui.perfetto.dev"),
            Self::Speedscope => format!("open {out} at https://www.speedscope.app"),
            Self::Pprof => format!("open {out} with `go tool pprof -tagroot state -http : {out}`"),
        }
    }

    fn write(self, trace: ExecTrace<'_>, options: &Options<'_>, out: impl Write) -> Result<Summary, WriteError> {
        match self {
            Self::Perfetto => perfetto::write(trace, options, out),
            Self::Speedscope => speedscope::write(trace, options, out),
            Self::Pprof => pprof::write(trace, options, out),
        }
    }
}

/// Writes the file and says how to open it.
///
/// # Errors
/// A file cannot be read, is no Go execution trace, the state rules have problems, or the output cannot be written. Then
/// no output is left behind.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let output = Output::of(args)?;
    let rules = state_rules::read(args.state_rules.as_deref())?;
    let name = match args.file.as_os_str() == "-" {
        true => "standard input".into(),
        false => args.file.to_string_lossy(),
    };
    let cannot_read = || format!("cannot read `{name}`");
    let stored = files::open(&args.file)?;
    let step = Step::reading("export", stored.bytes);
    let content = files::decompressed(step.watch(stored.reader)).with_context(cannot_read)?;
    let trace = ExecTrace::read(content).with_context(cannot_read)?;
    let title = Path::new(name.as_ref())
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let options = Options {
        title: &title,
        system: args.system,
        rules: &rules,
    };
    let written = output.write(|out| args.to.write(trace, &options, out));
    let (summary, written_bytes) = match written {
        Ok(written) => written,
        Err(error) => {
            step.clear();
            return match error {
                WriteError::Trace(error) => Err(error).with_context(cannot_read),
                WriteError::Output(error) => Err(error).with_context(|| format!("failed to write {output}")),
            };
        }
    };
    step.finish(&format!("{written_bytes} bytes to {output}"));
    for warning in summary.warnings.as_slice() {
        eprintln!("warning: {warning}");
    }
    if summary.warnings.dropped_count() > 0 {
        eprintln!("warning: and {} more", summary.warnings.dropped_count());
    }
    state_rules::warn_of_unused(&rules);
    if let Output::Whole(path) = &output {
        eprintln!("{}", args.to.how_to_open(&path.display().to_string()));
    }
    Ok(())
}

/// Where to write.
#[derive(Debug, PartialEq, Eq)]
enum Output {
    Standard,
    /// A file, which appears when it is whole.
    Whole(PathBuf),
    /// Something else that has a name: a pipe, `/dev/null`.
    Device(PathBuf),
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Standard => f.write_str("standard output"),
            Self::Whole(path) | Self::Device(path) => write!(f, "`{}`", path.display()),
        }
    }
}

impl Output {
    fn of(args: &Args) -> anyhow::Result<Self> {
        let path = match &args.output {
            Some(path) if path.as_os_str() == "-" => return Ok(Self::Standard),
            Some(path) => path.clone(),
            None if args.file.as_os_str() == "-" => return Ok(Self::Standard),
            None => beside(&args.file, args.to.extension()),
        };
        // A new file has no canonical path yet, and is not the input.
        if let (Ok(input), Ok(output)) = (fs::canonicalize(&args.file), fs::canonicalize(&path))
            && input == output
        {
            bail!("`{}` is the input; choose another file with --output", path.display());
        }
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => bail!("`{}` is a directory, expected a file to write", path.display()),
            Ok(found) if !found.is_file() => Ok(Self::Device(path)),
            _ => Ok(Self::Whole(path)),
        }
    }

    /// Calls `write` with a buffered writer. Returns what it returns, and how many bytes it has written.
    fn write<T>(&self, write: impl FnOnce(&mut dyn Write) -> Result<T, WriteError>) -> Result<(T, u64), WriteError> {
        match self {
            Self::Standard => counted(io::stdout().lock(), write),
            Self::Device(path) => counted(File::options().write(true).open(path)?, write),
            Self::Whole(path) => {
                let partial = partial(path);
                remove_when_asked_to_end(partial.clone())?;
                let written = write_whole(&partial, path, write);
                if written.is_err() {
                    // It may not exist, and the error is the one before.
                    let _ = fs::remove_file(&partial);
                }
                written
            }
        }
    }
}

/// Writes `partial`, and renames it to `path` when it is whole.
fn write_whole<T>(
    partial: &Path,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<T, WriteError>,
) -> Result<(T, u64), WriteError> {
    let written = counted(File::create(partial)?, write)?;
    fs::rename(partial, path)?;
    Ok(written)
}

/// Until the program ends, an interrupt (Ctrl-C) or a request to terminate removes the file first.
fn remove_when_asked_to_end(partial: PathBuf) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        let code = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => EXIT_INTERRUPTED,
                _ = terminate.recv() => EXIT_TERMINATED,
            }
        });
        // It may be whole and renamed by now.
        let _ = fs::remove_file(partial);
        std::process::exit(code);
    });
    Ok(())
}

fn counted<T>(
    out: impl Write,
    write: impl FnOnce(&mut dyn Write) -> Result<T, WriteError>,
) -> Result<(T, u64), WriteError> {
    let mut out = Counted {
        out: BufWriter::new(out),
        bytes: 0,
    };
    let written = write(&mut out)?;
    out.flush()?;
    Ok((written, out.bytes))
}

struct Counted<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// `trace.out.zst` becomes `trace.EXTENSION`.
fn beside(file: &Path, extension: &str) -> PathBuf {
    let compressed = file.extension().is_some_and(|found| found == "gz" || found == "zst");
    let plain = if compressed {
        file.with_extension("")
    } else {
        file.to_owned()
    };
    plain.with_extension(extension)
}

/// The name that a file has until it is whole: in its folder, so that it can be renamed, and no other process's.
fn partial(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".partial-{}", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(folder: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn the_output_lies_beside_the_input_under_the_name_of_the_plain_file() {
        let name = |file: &str, format: Format| beside(Path::new(file), format.extension());
        assert_eq!(
            name("a/trace.out", Format::Perfetto),
            Path::new("a/trace.perfetto-trace")
        );
        assert_eq!(name("a/1.trace.zst", Format::Pprof), Path::new("a/1.pb.gz"));
        assert_eq!(name("trace.gz", Format::Speedscope), Path::new("trace.speedscope.json"));
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.pb.gz");
        fs::write(&path, "before").unwrap();
        let output = Output::Whole(path.clone());
        let error = output.write(|out| {
            out.write_all(b"half")?;
            Err::<(), _>(io::Error::from(io::ErrorKind::StorageFull).into())
        });
        assert!(matches!(error, Err(WriteError::Output(error)) if error.kind() == io::ErrorKind::StorageFull));
        assert_eq!(fs::read(&path).unwrap(), b"before");
        assert_eq!(entries(folder.path()), ["trace.pb.gz"]);

        let written = output.write(|out| Ok(out.write_all(b"whole")?)).unwrap();
        assert_eq!(written, ((), 5));
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(entries(folder.path()), ["trace.pb.gz"]);
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        let args = Args {
            file: PathBuf::from("trace.out"),
            to: Format::Pprof,
            output: Some(PathBuf::from("/dev/null")),
            system: false,
            state_rules: None,
        };
        let output = Output::of(&args).unwrap();
        assert_eq!(output, Output::Device(PathBuf::from("/dev/null")));
        let written = output.write(|out| Ok(out.write_all(b"gone")?)).unwrap();
        assert_eq!(written, ((), 4));
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
