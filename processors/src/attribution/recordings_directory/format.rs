//! What stands in the files: a line of JSON and the profile, or a text of JSON.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use spandrel_model::{Interval, OffsetEstimate, ProcessIdentity, UnixNanos};
use spandrel_pipeline::{ProfileFormat, RuntimeProfile};
use thiserror::Error;

/// Of the files. Another one is not read.
const VERSION: u32 = 1;

/// Why a file is not what was written.
#[derive(Debug, Error)]
pub(in crate::attribution) enum FormatError {
    /// There is no line in front of the profile.
    #[error("it has no first line")]
    NoHeader,
    /// It is not ours.
    #[error("its text is not as expected: {0}")]
    Text(#[from] serde_json::Error),
    /// Written by another version of the collector.
    #[error("it has version {0}, expected {VERSION}")]
    Version(u32),
    /// Cut off, or longer.
    #[error("it holds {found} bytes of a profile, expected {expected}")]
    Length {
        /// As the first line says.
        expected: u64,
        /// There are.
        found: u64,
    },
    /// Some bytes are others.
    #[error("the profile has the CRC-32 {found:08x}, expected {expected:08x}")]
    Checksum {
        /// As the first line says.
        expected: u32,
        /// There is.
        found: u32,
    },
}

/// What was found out about a recording, as far as rows depend on it: another run must not decide it anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::attribution) struct Decision {
    /// Process whose spans it is joined with, once it is known.
    pub(in crate::attribution) owner: Option<Arc<ProcessIdentity>>,
    /// Offset of its clock, if spans have placed it.
    pub(in crate::attribution) placed: Option<OffsetEstimate>,
    /// Process under which its rows have been handed out, once they have been.
    pub(in crate::attribution) rows_under: Option<Arc<ProcessIdentity>>,
}

/// The first line of a profile.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    version: u32,
    format: Format,
    bytes: u64,
    crc32: u32,
    process: Process,
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fetched_ns: Option<(i64, i64)>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    GoExecutionTrace,
    CpuProfile,
}

/// A [`ProcessIdentity`], with the keys of resource attributes.
#[derive(Debug, Serialize, Deserialize)]
struct Process {
    #[serde(rename = "service.name")]
    service_name: String,
    #[serde(rename = "service.instance.id", default, skip_serializing_if = "Option::is_none")]
    service_instance_id: Option<String>,
    #[serde(rename = "host.name", default, skip_serializing_if = "Option::is_none")]
    host_name: Option<String>,
    #[serde(rename = "process.pid", default, skip_serializing_if = "Option::is_none")]
    pid: Option<i64>,
    #[serde(rename = "process.creation.time", default, skip_serializing_if = "Option::is_none")]
    creation_time: Option<String>,
}

/// A [`Decision`].
#[derive(Debug, Serialize, Deserialize)]
struct DecisionText {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<Process>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    placed: Option<Placed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rows_under: Option<Process>,
}

/// An [`OffsetEstimate`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Placed {
    offset_ns: i64,
    error_ns: i64,
    witnesses: usize,
    asked: usize,
}

/// The line in front of a profile, with its end.
pub(super) fn header(profile: &RuntimeProfile) -> Vec<u8> {
    let header = Header {
        version: VERSION,
        format: match profile.format {
            ProfileFormat::GoExecutionTrace => Format::GoExecutionTrace,
            ProfileFormat::CpuProfile => Format::CpuProfile,
        },
        bytes: profile.bytes.len() as u64,
        crc32: crc32fast::hash(&profile.bytes),
        process: Process::from(&profile.process),
        source: profile.source.to_string(),
        fetched_ns: profile.fetched.map(|time| (time.start().0, time.end().0)),
    };
    let mut line = to_json(&header);
    line.push(b'\n');
    line
}

/// Reads a file back.
pub(super) fn profile(mut content: Vec<u8>) -> Result<RuntimeProfile, FormatError> {
    let line_end = content.iter().position(|byte| *byte == b'\n');
    let bytes = content.split_off(line_end.ok_or(FormatError::NoHeader)? + 1);
    let header: Header = serde_json::from_slice(&content)?;
    check_version(header.version)?;
    if bytes.len() as u64 != header.bytes {
        return Err(FormatError::Length {
            expected: header.bytes,
            found: bytes.len() as u64,
        });
    }
    let crc32 = crc32fast::hash(&bytes);
    if crc32 != header.crc32 {
        return Err(FormatError::Checksum {
            expected: header.crc32,
            found: crc32,
        });
    }
    let interval = |(start, end)| Interval::new(UnixNanos(start), UnixNanos(end));
    Ok(RuntimeProfile {
        format: match header.format {
            Format::GoExecutionTrace => ProfileFormat::GoExecutionTrace,
            Format::CpuProfile => ProfileFormat::CpuProfile,
        },
        bytes: bytes.into(),
        process: header.process.into(),
        source: header.source.into(),
        fetched: header.fetched_ns.and_then(interval),
        warnings: OnceLock::new(),
    })
}

impl Decision {
    pub(super) fn to_text(&self) -> Vec<u8> {
        let process = |process: &Option<Arc<ProcessIdentity>>| process.as_deref().map(Process::from);
        to_json(&DecisionText {
            version: VERSION,
            owner: process(&self.owner),
            placed: self.placed.map(|estimate| Placed {
                offset_ns: estimate.offset_ns,
                error_ns: estimate.error_ns,
                witnesses: estimate.witnesses,
                asked: estimate.asked,
            }),
            rows_under: process(&self.rows_under),
        })
    }

    pub(super) fn parse(text: &[u8]) -> Result<Self, FormatError> {
        let text: DecisionText = serde_json::from_slice(text)?;
        check_version(text.version)?;
        let process = |process: Option<Process>| process.map(|process| Arc::new(process.into()));
        Ok(Self {
            owner: process(text.owner),
            placed: text.placed.map(|placed| OffsetEstimate {
                offset_ns: placed.offset_ns,
                error_ns: placed.error_ns,
                witnesses: placed.witnesses,
                asked: placed.asked,
            }),
            rows_under: process(text.rows_under),
        })
    }
}

impl From<&ProcessIdentity> for Process {
    fn from(process: &ProcessIdentity) -> Self {
        let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        Self {
            service_name: process.service_name.to_string(),
            service_instance_id: text(&process.service_instance_id),
            host_name: text(&process.host_name),
            pid: process.pid,
            creation_time: text(&process.creation_time),
        }
    }
}

impl From<Process> for ProcessIdentity {
    fn from(process: Process) -> Self {
        Self {
            service_name: process.service_name.into(),
            service_instance_id: process.service_instance_id.map(Arc::from),
            host_name: process.host_name.map(Arc::from),
            pid: process.pid,
            creation_time: process.creation_time.map(Arc::from),
        }
    }
}

fn check_version(version: u32) -> Result<(), FormatError> {
    match version {
        VERSION => Ok(()),
        other => Err(FormatError::Version(other)),
    }
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts and numbers are always JSON")
}
