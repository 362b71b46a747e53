//! The first bytes of a file.

use gotrace::ExecTrace;

use super::promises;

/// As many bytes as the decoder looks at to say what a file is, and a few more.
const HEAD_BYTES: usize = 96;

/// Checks that a file is taken for a trace if and only if it begins with one of the four headers.
pub(super) fn check(bytes: &[u8]) {
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    let minors = [22_u32, 23, 25, 26];
    let expected = minors
        .into_iter()
        .find(|minor| head.starts_with(format!("go 1.{minor} trace\0\0\0").as_bytes()));
    match ExecTrace::open(head) {
        Ok(trace) => assert_eq!(Some(trace.version().minor()), expected),
        Err(error) => {
            assert_eq!(expected, None, "{error}");
            let message = error.to_string();
            assert!(
                message.starts_with(&format!("byte {}: ", error.offset_bytes())),
                "{message}"
            );
            assert!(message.chars().all(|c| (' '..='~').contains(&c)), "{message:?}");
            assert!(message.len() < 300, "{message}");
        }
    }
    promises::check(head);
}
