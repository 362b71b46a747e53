//! The text form of execution traces (internal/trace/raw/doc.go) to bytes.
//!
//! ```text
//! Trace Go1.22
//! EventBatch gen=1 m=0 time=0 size=5
//! GoCreate dt=1 new_g=1 new_stack=0 stack=0
//! String id=5
//!     data="hello"
//! Stack id=5 nframes=1
//!     pc=1241251 func=3 file=6 line=124
//! ```
//! Numbers become minimal LEB128. A batch without `size=` gets the size of what follows, which suits handwritten traces.

use gotrace::{SPECS, Spec, WireEvent};

/// A test file of the Go project: what is expected, and the trace.
pub(crate) struct TextTest {
    /// The text after FAILURE, as a regular expression; `None` for SUCCESS.
    pub(crate) failure: Option<String>,
    pub(crate) trace: Vec<u8>,
}

/// Parses a file of the form `-- expect --` ... `-- trace --` ...; one without sections is a trace that succeeds.
pub(crate) fn parse_test(file: &str) -> TextTest {
    let Some((_, rest)) = file.split_once("-- expect --") else {
        return TextTest {
            failure: None,
            trace: encode(file),
        };
    };
    let (expect, trace) = rest
        .split_once("-- trace --")
        .expect("an expectation is followed by a trace");
    let failure = match expect.trim().split_once(' ') {
        None => {
            assert_eq!(expect.trim(), "SUCCESS");
            None
        }
        Some(("FAILURE", pattern)) => Some(pattern.trim_matches('"').to_owned()),
        Some(other) => panic!("unknown expectation {other:?}"),
    };
    TextTest {
        failure,
        trace: encode(trace),
    }
}

/// Encodes the text form of a trace.
pub(crate) fn encode(text: &str) -> Vec<u8> {
    let mut lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or("").trim())
        .filter(|line| !line.is_empty());
    let header = lines.next().expect("a trace starts with its version");
    let minor = header
        .strip_prefix("Trace Go1.")
        .expect("a trace starts with `Trace Go1.`");
    let mut encoder = Encoder {
        bytes: format!("go 1.{minor} trace\0\0\0").into_bytes(),
        open_batch: None,
    };
    while let Some(line) = lines.next() {
        encoder.event(line, &mut lines);
    }
    encoder.close_batch();
    encoder.bytes
}

struct Encoder {
    bytes: Vec<u8>,
    /// Where the payload of a batch without a size begins.
    open_batch: Option<usize>,
}

impl Encoder {
    fn event<'a>(&mut self, line: &'a str, lines: &mut impl Iterator<Item = &'a str>) {
        let (name, args) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let spec = SPECS
            .iter()
            .find(|spec| spec.name == name)
            .unwrap_or_else(|| panic!("unknown event {name}"));
        if matches!(
            spec.event,
            WireEvent::EventBatch | WireEvent::ExperimentalBatch | WireEvent::EndOfGeneration
        ) {
            self.close_batch();
        }
        self.bytes.push(spec.event.byte());
        let values = self.arguments(spec, args);
        match spec.event {
            WireEvent::EventBatch if values.len() < spec.args.len() => self.open_batch = Some(self.bytes.len()),
            WireEvent::String | WireEvent::ExperimentalBatch => {
                let data = unquote(
                    lines
                        .next()
                        .and_then(|line| line.strip_prefix("data="))
                        .expect("data follows"),
                );
                uvarint(&mut self.bytes, data.len() as u64);
                self.bytes.extend(data);
            }
            WireEvent::Stack => {
                for _ in 0..values[1] {
                    let frame = lines.next().expect("as many frames as announced");
                    self.values(&["pc", "func", "file", "line"], frame);
                }
            }
            _ => {}
        }
    }

    fn arguments(&mut self, spec: &Spec, args: &str) -> Vec<u64> {
        self.values(spec.args, args)
    }

    fn values(&mut self, names: &[&str], args: &str) -> Vec<u64> {
        let mut values = Vec::new();
        for (name, arg) in names.iter().zip(args.split_whitespace()) {
            let value = arg.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
            let value = value.unwrap_or_else(|| panic!("expected {name}= in {args:?}"));
            values.push(value.parse().expect("arguments are unsigned numbers"));
        }
        for value in &values {
            uvarint(&mut self.bytes, *value);
        }
        values
    }

    /// Puts the size before the payload of a batch that was written without one.
    fn close_batch(&mut self) {
        if let Some(start) = self.open_batch.take() {
            let mut size = Vec::new();
            uvarint(&mut size, (self.bytes.len() - start) as u64);
            self.bytes.splice(start..start, size);
        }
    }
}

/// Appends a minimal LEB128 number.
pub(crate) fn uvarint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Reads a quoted Go string.
fn unquote(quoted: &str) -> Vec<u8> {
    if let Some(raw) = quoted.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
        return raw.as_bytes().to_vec();
    }
    let inner = quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .expect("data is quoted");
    let mut bytes = Vec::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match chars.next().expect("an escape has a letter") {
            'n' => bytes.push(b'\n'),
            't' => bytes.push(b'\t'),
            'r' => bytes.push(b'\r'),
            'a' => bytes.push(7),
            'b' => bytes.push(8),
            'f' => bytes.push(12),
            'v' => bytes.push(11),
            'x' => bytes.push(code(&mut chars, 2) as u8),
            'u' => bytes.extend(
                char::from_u32(code(&mut chars, 4))
                    .expect("a character")
                    .to_string()
                    .as_bytes(),
            ),
            'U' => bytes.extend(
                char::from_u32(code(&mut chars, 8))
                    .expect("a character")
                    .to_string()
                    .as_bytes(),
            ),
            other => bytes.extend(other.to_string().as_bytes()),
        }
    }
    bytes
}

fn code(chars: &mut std::str::Chars<'_>, digits: usize) -> u32 {
    let hex: String = chars.take(digits).collect();
    u32::from_str_radix(&hex, 16).expect("hexadecimal digits")
}
