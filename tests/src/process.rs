//! Programs that tests run: never for longer than a limit, never left behind.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Asks `probe` until it has an answer.
///
/// # Panics
/// There is none within `limit`; the message says what was waited for.
pub fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for {what}");
        thread::sleep(POLL_INTERVAL);
    }
}

/// What a program left when it ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// Standard output of a program that must have succeeded.
    ///
    /// # Panics
    /// It has not; the message holds what it said.
    pub fn success(self) -> String {
        assert_eq!(self.code, Some(0), "the program failed\n{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Standard error of a program that must have failed with exit code 1.
    ///
    /// # Panics
    /// It has not; the message holds what it said.
    pub fn failure(self) -> String {
        assert_eq!(
            self.code,
            Some(1),
            "expected exit code 1\n{}{}",
            self.stdout,
            self.stderr
        );
        self.stderr
    }
}

/// Runs a program to its end.
///
/// # Panics
/// It cannot be started, or has not ended within `limit`; then it is killed.
pub fn run(command: &mut Command, limit: Duration) -> Ended {
    let what = format!("the end of {command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let stdout = child.stdout.take().map(read_beside);
    let stderr = child.stderr.take().map(read_beside);
    let mut child = KilledOnDrop(child);
    let status = wait_for(&what, limit, || child.ended());
    let text = |reader: Option<thread::JoinHandle<Vec<u8>>>| {
        let bytes = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ended {
        code: status.code(),
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

/// Empties a pipe while the program runs: a full one would stop it.
fn read_beside(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks ends what was said; the exit status tells the rest.
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

#[derive(Debug)]
struct KilledOnDrop(Child);

impl KilledOnDrop {
    fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a child of ours can be waited for")
    }
}

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            // It may end between the two calls.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// A program that runs beside the test, both its outputs in one log file. Killed when dropped.
#[derive(Debug)]
pub struct Background {
    name: String,
    log: PathBuf,
    child: KilledOnDrop,
}

impl Background {
    /// Starts a program.
    ///
    /// # Panics
    /// It cannot be started, or the log file cannot be created.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let file = File::create(log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let same = file.try_clone().expect("an open file can be shared");
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(same)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self {
            name: name.to_owned(),
            log: log.to_owned(),
            child: KilledOnDrop(child),
        }
    }

    /// Everything it has said.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_else(|error| panic!("{}: {error}", self.log.display()));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Asks `probe`, which gets the log, until it has an answer.
    ///
    /// # Panics
    /// There is none within `limit`, or the program ends before; the message holds the log.
    pub fn wait_for<T>(&mut self, what: &str, limit: Duration, mut probe: impl FnMut(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + limit;
        loop {
            // Asked first, so that the log is complete if the program has ended.
            let ended = self.child.ended();
            let log = self.log();
            if let Some(found) = probe(&log) {
                return found;
            }
            assert!(ended.is_none(), "{} ended ({ended:?}) before {what}\n{log}", self.name);
            assert!(
                Instant::now() < deadline,
                "{}: waited {limit:?} in vain for {what}\n{log}",
                self.name
            );
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Asks the program to end (SIGTERM) and waits for it.
    ///
    /// # Panics
    /// It has not ended within `limit`; the message holds the log.
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.ask_to_terminate();
        self.wait(limit)
    }

    /// Waits until the program has ended by itself.
    ///
    /// # Panics
    /// It has not within `limit`; the message holds the log.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.ended() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "{} did not end within {limit:?}\n{}",
                self.name,
                self.log()
            );
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Sends SIGTERM and does not wait.
    ///
    /// # Panics
    /// It cannot be sent; the message holds the log.
    pub fn ask_to_terminate(&self) {
        let id = self.child.0.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &id]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "cannot signal {}\n{}",
            self.name,
            self.log()
        );
    }
}
