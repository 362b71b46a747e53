//! The 16 bytes that every trace starts with: `go 1.NN trace` and three zero bytes (internal/trace/version/version.go).

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use crate::error::OpenError;

/// Length of the header in bytes.
pub(crate) const HEADER_BYTES: usize = 16;

/// Format of a trace, named after the Go release that introduced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Version {
    /// Go 1.22.
    Go122,
    /// Go 1.23 and 1.24: coroutine switches, stacks in statuses, experimental batches.
    Go123,
    /// Go 1.25: a sync batch with a clock snapshot opens each generation.
    Go125,
    /// Go 1.26 and 1.27: a byte ends each generation.
    Go126,
}

impl Version {
    /// The number in the header: 22 in `go 1.22 trace`.
    pub fn minor(self) -> u32 {
        match self {
            Self::Go122 => 22,
            Self::Go123 => 23,
            Self::Go125 => 25,
            Self::Go126 => 26,
        }
    }

    /// The format as its header names it: `go1.22`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Go122 => "go1.22",
            Self::Go123 => "go1.23",
            Self::Go125 => "go1.25",
            Self::Go126 => "go1.26",
        }
    }

    /// Whether an `EndOfGeneration` byte closes each generation.
    pub(crate) fn marks_generation_end(self) -> bool {
        self >= Self::Go126
    }

    /// Whether sync batches start with a `Sync` byte and hold a clock snapshot.
    pub(crate) fn has_clock_snapshot(self) -> bool {
        self >= Self::Go125
    }

    fn from_minor(minor: u32) -> Result<Self, OpenError> {
        match minor {
            22 => Ok(Self::Go122),
            23 => Ok(Self::Go123),
            25 => Ok(Self::Go125),
            26 => Ok(Self::Go126),
            0..22 => Err(OpenError::OldFormat { minor }),
            _ => Err(OpenError::UnknownVersion { minor }),
        }
    }
}

/// Reads the header at the start of `bytes`, the first ones of a file.
pub(crate) fn read_header(bytes: &[u8]) -> Result<Version, OpenError> {
    if bytes.is_empty() {
        return Err(OpenError::Empty);
    }
    let Some(header) = bytes.get(..HEADER_BYTES) else {
        return Err(if is_header_start(bytes) {
            OpenError::HeaderCut {
                length: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            }
        } else {
            OpenError::NotATrace { found: describe(bytes) }
        });
    };
    let minor = minor_version(header).ok_or_else(|| OpenError::NotATrace { found: describe(bytes) })?;
    Version::from_minor(minor)
}

/// NN of `go 1.NN trace`, padded with zero bytes to the header's length.
fn minor_version(header: &[u8]) -> Option<u32> {
    let text = header.strip_prefix(b"go 1.")?;
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, tail) = text.split_at_checked(digits)?;
    let padding = tail.strip_prefix(b" trace")?;
    if padding.iter().any(|byte| *byte != 0) {
        return None;
    }
    if number.starts_with(b"0") {
        return None;
    }
    std::str::from_utf8(number).ok()?.parse().ok()
}

fn is_header_start(bytes: &[u8]) -> bool {
    const PATTERN: &[u8] = b"go 1.00 trace\0\0\0";
    bytes
        .iter()
        .zip(PATTERN)
        .all(|(byte, expected)| byte == expected || byte.is_ascii_digit() && *expected == b'0')
}

/// Formats that are often met in place of a trace, by their first bytes.
const OTHER_FORMATS: &[(&[u8], &str)] = &[
    (
        b"\x1f\x8b",
        "gzip data (a pprof profile, or a compressed trace: unpack it first)",
    ),
    (b"\x28\xb5\x2f\xfd", "zstd data (unpack it first)"),
    (b"PK\x03\x04", "a zip archive (unpack it first)"),
    (b"<", "an HTML or XML page (an error page of a proxy?)"),
    (b"{", "JSON"),
    (b"goroutine ", "a goroutine dump"),
    (b"Trace Go1.", "the text form of a trace (only the binary form is read)"),
    (
        b"404 ",
        "a plain text error (is net/http/pprof imported by that service?)",
    ),
];

/// How many of the first bytes a message quotes.
const QUOTED_BYTES: usize = 24;

fn describe(bytes: &[u8]) -> String {
    let head = bytes.trim_ascii_start();
    if let Some((_, name)) = OTHER_FORMATS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return (*name).to_owned();
    }
    format!("`{}`", bytes.get(..QUOTED_BYTES).unwrap_or(bytes).escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(bytes: &[u8]) -> String {
        match read_header(bytes) {
            Ok(version) => version.name().to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn reads_the_four_versions() {
        assert_eq!(open(b"go 1.22 trace\0\0\0"), "go1.22");
        assert_eq!(open(b"go 1.23 trace\0\0\0x"), "go1.23");
        assert_eq!(open(b"go 1.25 trace\0\0\0"), "go1.25");
        assert_eq!(open(b"go 1.26 trace\0\0\0"), "go1.26");
    }

    #[test]
    fn names_the_version_it_cannot_read_and_what_to_do() {
        for minor in [11, 19, 21] {
            let error = open(format!("go 1.{minor} trace\0\0\0").as_bytes());
            assert!(error.contains(&format!("trace version 1.{minor}")), "{error}");
            assert!(error.contains("record with Go 1.22 or later"), "{error}");
        }
        for minor in [24, 27, 99] {
            let error = open(format!("go 1.{minor} trace\0\0\0").as_bytes());
            assert!(error.contains(&format!("unknown trace version 1.{minor}")), "{error}");
            assert!(error.contains("newer release"), "{error}");
        }
        assert!(open(b"go 1.9 trace\0\0\0\0").contains("1.9"));
    }

    #[test]
    fn says_what_was_found_instead_of_a_trace() {
        assert!(open(b"").contains("empty"));
        assert!(open(b"\n<!DOCTYPE html><html>").contains("HTML"));
        assert!(open(b"<p>").contains("HTML"));
        assert!(open(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).contains("gzip"));
        assert!(open(b"hello, this is a text file").contains("`hello, this is a text fi`"));
        assert!(open(b"go 1.22 trace\0\0x").contains("`go 1.22 trace\\x00\\x00x`"));
    }

    #[test]
    fn a_cut_header_is_told_from_another_format() {
        assert!(open(b"go 1.26 tr").contains("byte 10: the file ends inside the 16-byte header"));
        assert!(open(b"go home").contains("expected `go 1.N trace`"));
    }
}
