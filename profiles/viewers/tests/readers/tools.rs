//! The readers: whether they are here, and running them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folder of the workspace.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned()
}

/// Whether all commands succeed, which show or bring that a reader is here. If not, says so; in continuous integration
/// that is a failure, because `make test` installs every reader.
pub(crate) fn are_here(reader: &str, commands: &mut [Command]) -> bool {
    for command in commands {
        let output = command.output();
        if !output.is_ok_and(|output| output.status.success()) {
            let missing = format!("{reader}: {command:?} fails (scripts/prerequisites.sh installs what it needs)");
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{missing}");
            println!("SKIPPED: {missing}");
            return false;
        }
    }
    true
}

pub(crate) fn version_of(program: &str, argument: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(argument);
    command
}

/// A script of the project that installs a reader, and is silent if it is there.
pub(crate) fn install(script: &str) -> Command {
    Command::new(repository().join("scripts").join(script))
}

/// Runs a reader to its end with `input`, and returns what it prints.
pub(crate) fn read(command: &mut Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{stdout}{stderr}",
        output.status
    );
    stdout
}
