//! The traces that are measured, made by `bench/gotrace/generator` when they are not there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::scan::scan;
use crate::process::succeed;

/// A trace to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceFile {
    /// Name without extension. Says what it is and how large, so that a file of that name need not be made again.
    pub(crate) name: &'static str,
    mode: &'static str,
    bytes: u64,
    /// Whether it shall be one generation, rather than one a second.
    one_generation: bool,
}

/// The traces, smallest first.
pub(crate) const FILES: &[TraceFile] = &[
    TraceFile {
        name: "service-6mb",
        mode: "service",
        bytes: 6_000_000,
        one_generation: false,
    },
    TraceFile {
        name: "pingpong-50mb",
        mode: "pingpong",
        bytes: 50_000_000,
        one_generation: true,
    },
    TraceFile {
        name: "service-300mb",
        mode: "service",
        bytes: 300_000_000,
        one_generation: false,
    },
    TraceFile {
        name: "pingpong-300mb",
        mode: "pingpong",
        bytes: 300_000_000,
        one_generation: false,
    },
];

/// How often a recording is repeated that should be one generation and is not.
const ATTEMPTS_MAX: usize = 5;

/// The longest that a generation may last: `debug.traceadvanceperiod` of the runtime has 32 bits.
const GENERATION_NS_MAX: i32 = i32::MAX;

/// How long a generation lasts if nothing else is said (`defaultTraceAdvancePeriod` of the runtime).
const GENERATION_NS: i32 = 1_000_000_000;

impl TraceFile {
    /// The file in `folder`, made if it is not there. On a machine that is too slow to write a trace in the time that a
    /// generation may last, the recording with the fewest generations of several is taken; the report shows how many.
    ///
    /// # Errors
    /// The generator fails.
    pub(crate) fn make(&self, folder: &Path, generator: &Path) -> Result<PathBuf> {
        let path = folder.join(self.name).with_extension("trace");
        if path.exists() {
            return Ok(path);
        }
        let (partial, best) = (path.with_extension("partial"), path.with_extension("best"));
        let rename = |from: &Path, to: &Path| {
            fs::rename(from, to).with_context(|| format!("rename {} to {}", from.display(), to.display()))
        };
        let mut fewest = u64::MAX;
        for _ in 0..ATTEMPTS_MAX {
            eprintln!("recording {}", path.display());
            let generations_count = self.record(&partial, generator)?;
            if generations_count < fewest {
                fewest = generations_count;
                rename(&partial, &best)?;
            }
            if !self.one_generation || fewest == 1 {
                break;
            }
        }
        rename(&best, &path)?;
        Ok(path)
    }

    /// Records into a file and returns how many generations it has.
    fn record(&self, file: &Path, generator: &Path) -> Result<u64> {
        let generation_ns = if self.one_generation {
            GENERATION_NS_MAX
        } else {
            GENERATION_NS
        };
        let mut command = Command::new(generator);
        command
            .env("GODEBUG", format!("traceadvanceperiod={generation_ns}"))
            .args(["-mode", self.mode, "-bytes", &self.bytes.to_string(), "-out"])
            .arg(file);
        succeed(&mut command)?;
        let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
        Ok(scan(&bytes)?.generations_count)
    }
}
