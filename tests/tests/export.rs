//! `spandrel export`: files for viewers from the command line. What is in them is the subject of the tests of
//! `spandrel-viewers`.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use spandrel_tests::process::{Background, Ended};
use spandrel_tests::{binary, recording, repository};

/// An export takes seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// A trace of the example recording, as it is stored: compressed.
fn trace_in(folder: &Path) -> PathBuf {
    let path = folder.join("shop.trace.zst");
    fs::copy(&recording::profile_files(recording::SECOND)[0], &path).unwrap();
    path
}

fn export(to: &str, file: &Path, options: &[&str]) -> Ended {
    let arguments = ["export", "--to", to, file.to_str().unwrap()];
    binary::run(&[&arguments[..], options].concat())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_export_that_is_asked_to_end_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let trace = fs::read(repository::root().join("profiles/gotrace/tests/fixtures/mix.trace")).unwrap();
    // A pipe whose writer keeps it open, more in it than is read at once: the export waits for what follows.
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let mut command = binary::command(&["export", "--to", "perfetto"]);
    command.arg(&pipe).arg("-o").arg(out.join("shop.perfetto-trace"));
    let mut export = Background::start("export", &mut command, &folder.path().join("log"));
    let mut writer = fs::File::options().write(true).open(&pipe).unwrap();
    writer.write_all(&trace).unwrap();
    writer.write_all(&[0; 1 << 20]).unwrap();
    export.wait_for("its output", LIMIT, |_| (!names(&out).is_empty()).then_some(()));
    let status = export.terminate(LIMIT);
    assert_eq!(status.code(), Some(143));
    assert!(names(&out).is_empty(), "{:?}", names(&out));
}

#[test]
fn each_format_lies_beside_the_trace_and_the_last_line_says_what_opens_it() {
    let folder = tempfile::tempdir().unwrap();
    let trace = trace_in(folder.path());
    let cases = [
        ("perfetto", "shop.perfetto-trace", &b"\x0a"[..], "ui.perfetto.dev"),
        (
            "speedscope",
            "shop.speedscope.json",
            b"{\"$schema\":",
            "www.speedscope.app",
        ),
        ("pprof", "shop.pb.gz", b"\x1f\x8b", "go tool pprof"),
    ];
    for (to, name, magic, opener) in cases {
        let ended = export(to, &trace, &[]);
        let last = ended.stderr.lines().last().unwrap().to_owned();
        assert!(last.contains(opener) && last.contains(name), "{last}");
        assert_eq!(ended.success(), "", "standard output is for `-o -`");
        assert!(fs::read(folder.path().join(name)).unwrap().starts_with(magic), "{name}");
    }
    let mut expected = cases.map(|(_, name, ..)| name.to_owned()).to_vec();
    expected.push("shop.trace.zst".to_owned());
    expected.sort();
    assert_eq!(names(folder.path()), expected);
}

#[test]
fn a_dash_writes_to_standard_output_what_a_name_writes_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let trace = trace_in(folder.path());
    let out = folder.path().join("any name");
    let printed = export("speedscope", &trace, &["-o", "-"]).success();
    export("speedscope", &trace, &["--output", out.to_str().unwrap()]).success();
    assert_eq!(printed, fs::read_to_string(&out).unwrap());
    let file: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(file["name"], "shop.trace.zst");
}

#[test]
fn a_dash_as_input_is_standard_input_and_writes_to_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let trace = trace_in(folder.path());
    let mut command = binary::command(&["export", "--to", "perfetto", "-"]);
    let piped = command.stdin(fs::File::open(&trace).unwrap()).output().unwrap();
    assert!(piped.status.success(), "{}", String::from_utf8_lossy(&piped.stderr));
    let file = folder.path().join("out");
    export("perfetto", &trace, &["-o", file.to_str().unwrap()]).success();
    // The names of the traces differ, and nothing else.
    let (piped, written) = (piped.stdout, fs::read(&file).unwrap());
    assert_eq!(
        piped.len() - "standard input".len(),
        written.len() - "shop.trace.zst".len()
    );
    assert_eq!(names(folder.path()), ["out", "shop.trace.zst"]);
}

#[test]
fn goroutines_of_the_runtime_are_counted_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let trace = trace_in(folder.path());
    let waiting = |options: &[&str]| {
        let file: Value = serde_json::from_str(&export("speedscope", &trace, options).success()).unwrap();
        file["profiles"][0]["endValue"].as_i64().unwrap()
    };
    assert!(waiting(&["-o", "-"]) < waiting(&["-o", "-", "--system"]));
}

#[test]
fn what_cannot_be_exported_is_an_error_that_names_the_file_and_leaves_none() {
    let folder = tempfile::tempdir().unwrap();
    let trace = trace_in(folder.path());
    let page = folder.path().join("page.trace");
    fs::write(&page, "<html>502 Bad Gateway</html>").unwrap();
    let before = names(folder.path());
    let missing = folder.path().join("missing.trace");
    let nowhere = folder.path().join("no/such/folder/out");
    let own_name = trace.to_str().unwrap();
    let cases = [
        (export("pprof", &page, &[]), vec!["page.trace", "HTML"]),
        (export("pprof", &missing, &[]), vec!["missing.trace", "failed to open"]),
        (
            export("perfetto", &trace, &["-o", nowhere.to_str().unwrap()]),
            vec!["failed to write", "no/such/folder/out"],
        ),
        (
            export("perfetto", &trace, &["-o", own_name]),
            vec!["shop.trace.zst", "is the input"],
        ),
        (
            export("perfetto", &trace, &["-o", folder.path().to_str().unwrap()]),
            vec!["is a directory"],
        ),
    ];
    for (ended, words) in cases {
        let message = ended.failure();
        for word in words {
            assert!(message.contains(word), "no `{word}` in: {message}");
        }
    }
    assert_eq!(names(folder.path()), before);
}

#[test]
fn an_unknown_format_is_answered_with_the_known_ones() {
    let ended = export("chrome", Path::new("any.trace"), &[]);
    assert_eq!(ended.code, Some(2));
    for format in ["perfetto", "speedscope", "pprof"] {
        assert!(ended.stderr.contains(format), "{}", ended.stderr);
    }
}
