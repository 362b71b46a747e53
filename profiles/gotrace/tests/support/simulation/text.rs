//! The strings and stacks of simulated programs.

use std::rc::Rc;

use super::script::Choices;
use crate::support::writer::{Arg, Frame, Stack, Text};

/// Where goroutines start: programs, and the runtime's own.
const ROOTS: &[&str] = &["main.work", "net/http.(*conn).serve", "runtime.bgsweep", "runtime.main"];
/// Where goroutines stand.
const LEAVES: &[&str] = &[
    "main.caller",
    "sync.(*Mutex).Lock",
    "runtime.chanrecv1",
    "syscall.Syscall",
    "main.(*T[...]).m\u{e9}thode",
];
/// Most frames of a stack; deeper ones are cut at the root.
const FRAMES_MAX: usize = 128;

pub(crate) const BLOCK_REASONS: &[&str] = &[
    "sync",
    "chan receive",
    "chan send",
    "select",
    "network",
    "sleep",
    "forever",
    "preempted",
    "GC mark assist wait for work",
    "unspecified",
];
pub(crate) const STOP_REASONS: &[&str] = &["preempted", "runtime.Gosched", "unspecified"];
pub(crate) const STW_KINDS: &[&str] = &[
    "GC sweep termination",
    "GC mark termination",
    "read mem stats",
    "start trace",
];
pub(crate) const LABELS: &[&str] = &["GC (dedicated)", "GC (fractional)", "GC (idle)"];
pub(crate) const NAMES: &[&str] = &["GET /", "query", "", "r\u{e9}gion"];

pub(crate) fn text(text: &str) -> Text {
    text.as_bytes().into()
}

pub(crate) fn text_arg(bytes: &str) -> Arg {
    Arg::Text(text(bytes))
}

/// A start function.
pub(crate) fn root(choices: &mut Choices) -> &'static str {
    choices.one_of(ROOTS).expect("there are roots")
}

/// The stack of a new goroutine: its start function alone. The runtime may fail to find it.
pub(crate) fn entry(root: &str, choices: &mut Choices) -> Option<Stack> {
    (!choices.once_in(16)).then(|| Rc::from([frame(root, 0)]))
}

/// A stack of a goroutine that started with `root`.
pub(crate) fn stack(root: &str, choices: &mut Choices) -> Option<Stack> {
    let depth = match choices.below(32) {
        0..8 => return None,
        8..24 => 1,
        24..30 => 3,
        30 => FRAMES_MAX - 1,
        _ => FRAMES_MAX,
    };
    let leaf = choices.one_of(LEAVES).expect("there are leaves");
    let line = choices.below(3) + 1;
    let mut frames: Vec<Frame> = (0..depth as u64).map(|depth| frame(leaf, line + depth)).collect();
    if frames.len() < FRAMES_MAX {
        frames.push(frame(root, line));
    }
    Some(frames.into())
}

/// Counters collide now and then, as those of inlined calls do.
fn frame(function: &str, line: u64) -> Frame {
    Frame {
        pc: 0x40_0000 + function.len() as u64 * 64 + line,
        function: text(function),
        file: text(&format!("/src/{}.go", function.len())),
        line,
    }
}

/// The message of a log: any bytes, and repeated ones.
pub(crate) fn message(choices: &mut Choices) -> Text {
    match choices.below(4) {
        0 => Rc::from([]),
        1 => text("again"),
        2 => Rc::from((choices.below(1 << 40) << 16 | 0xfe).to_le_bytes()),
        _ => Rc::from([0xff; 1024]),
    }
}

/// A string as views show it.
pub(crate) fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// A stack as views show it.
pub(crate) fn stack_text(stack: Option<&Stack>) -> String {
    let frame = |frame: &Frame| {
        let (function, file) = (shown(&frame.function), shown(&frame.file));
        format!("{function}@{file}:{}#{:x}", frame.line, frame.pc)
    };
    let frames = stack.iter().flat_map(|stack| stack.iter());
    frames.map(frame).collect::<Vec<_>>().join(" < ")
}

/// The start function that a stack shows; a stack of the greatest depth may be cut before it.
pub(crate) fn root_of(stack: &Stack) -> Option<String> {
    let root = stack.last().filter(|_| stack.len() < FRAMES_MAX)?;
    Some(shown(&root.function))
}
