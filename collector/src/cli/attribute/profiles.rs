//! The profiles: decoded; execution traces placed on the wall clock, and each given to the process that it recorded.
//!
//! CPU profiles are given to every process that they may be of: their labels name spans by their ids. The bytes of
//! execution traces are read as streams, one generation held at a time. What they tell stays until the tables are
//! written: most of it are the states of the goroutines, 72 bytes each.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use anyhow::{Context, bail};
use spandrel_attribution::{Anchor, ProcessChoice, ProcessSpans, choose_anchor, choose_process};
use spandrel_model::{CpuProfile, ProcessIdentity, TaskRecording, UnanchoredRecording};
use spandrel_processors::attribution::AttributionConfig;
use spandrel_profiles::go_execution_trace::{self, Decoded};
use spandrel_profiles::pprof;

use super::{Args, GO_TRACE_MAGIC, Processes};
use crate::cli::progress::Step;
use crate::files::{self, Stored};
use crate::report::number::counted;

/// What the profiles hold.
#[derive(Default)]
pub(super) struct Profiles {
    /// Execution traces.
    pub(super) recordings: Vec<Profile>,
    /// CPU profiles.
    pub(super) cpu: Vec<CpuProfile>,
}

impl Profiles {
    /// The recordings of a process.
    pub(super) fn recordings_of(&self, process: &Arc<ProcessIdentity>) -> Vec<&TaskRecording> {
        let of_process = self
            .recordings
            .iter()
            .filter(|profile| profile.owner.as_ref() == Some(process));
        of_process.map(|profile| &profile.recording).collect()
    }

    /// The CPU profiles that may be of a process.
    pub(super) fn cpu_profiles_of(&self, process: &ProcessIdentity) -> Vec<&CpuProfile> {
        let compatible = self
            .cpu
            .iter()
            .filter(|profile| profile.process.is_compatible_with(process));
        compatible.collect()
    }
}

/// A recording in wall time.
pub(super) struct Profile {
    /// Process whose spans it is joined with, if that can be told.
    pub(super) owner: Option<Arc<ProcessIdentity>>,
    pub(super) recording: TaskRecording,
}

/// Reads all profiles. One that cannot be placed on the wall clock is left out, with a warning.
pub(super) fn read(args: &Args, processes: &Processes<'_>, config: &AttributionConfig) -> anyhow::Result<Profiles> {
    let identity = args.resource.as_deref().map(parse_resource).transpose()?;
    let opened: Vec<Stored> = args
        .profile
        .iter()
        .map(|path| files::open(path))
        .collect::<Result<_, _>>()?;
    let step = Step::reading("decode profiles", opened.iter().map(|stored| stored.bytes).sum());
    let mut profiles = Profiles::default();
    for (path, stored) in args.profile.iter().zip(opened) {
        let source: Arc<str> = path.display().to_string().into();
        let candidates = candidates(processes, identity.as_ref(), &source)?;
        let content =
            files::decompressed(step.watch(stored.reader)).with_context(|| format!("cannot read `{source}`"))?;
        let (begin, content) =
            files::begun(content, pprof::RECOGNIZED_BY_BYTES).with_context(|| format!("cannot read `{source}`"))?;
        match pprof::is_recognized(&begin) {
            true => profiles.cpu.push(decode_cpu_profile(content, source, &candidates)?),
            false => {
                let decoded = decode(content, source, &candidates, config);
                let decoded = match begin.starts_with(GO_TRACE_MAGIC) {
                    true => decoded,
                    false => decoded.context("expected a Go execution trace, or a CPU profile in the format of pprof"),
                };
                profiles.recordings.extend(decoded?);
            }
        }
    }
    step.finish(&format!(
        "{} of {} can be joined",
        profiles.recordings.len() + profiles.cpu.len(),
        counted(args.profile.len() as u64, "profile")
    ));
    if profiles.recordings.is_empty() && !profiles.cpu.is_empty() {
        eprintln!(
            "warning: no execution trace says for how long spans ran, so that CPU profiles have nothing to divide"
        );
    }
    Ok(profiles)
}

fn decode_cpu_profile(content: impl Read, source: Arc<str>, candidates: &Candidates<'_>) -> anyhow::Result<CpuProfile> {
    let mut bytes = Vec::new();
    let failed = || format!("cannot read `{source}`");
    let mut limited = content.take(pprof::MAX_PROFILE_BYTES + 1);
    limited.read_to_end(&mut bytes).with_context(failed)?;
    let profile = pprof::decode(&bytes, candidates.identity.clone(), source.clone()).with_context(failed)?;
    let counts = profile.sample_counts();
    if counts.labeled == 0 {
        eprintln!(
            "warning: {source}: of its {}, none has a label with the id of a span, such as `span_id`",
            counted(counts.unlabeled.unsigned_abs(), "sample")
        );
    }
    Ok(profile.labeled())
}

/// What is known of a recorded process, and the processes that it may be.
struct Candidates<'a> {
    identity: Arc<ProcessIdentity>,
    processes: Vec<ProcessSpans<'a>>,
}

/// Without `--resource` a profile may belong to any process of the one service that the spans are of.
fn candidates<'a>(
    processes: &Processes<'a>,
    resource: Option<&ProcessIdentity>,
    source: &str,
) -> anyhow::Result<Candidates<'a>> {
    let identity = match resource {
        Some(resource) => resource.clone(),
        None => {
            let mut services: Vec<&Arc<str>> = processes.keys().map(|process| &process.service_name).collect();
            services.dedup();
            let [service] = services[..] else {
                bail!(
                    "the spans come from {} services; say which one `{source}` recorded with --resource \
                     service.name=NAME",
                    services.len()
                );
            };
            ProcessIdentity {
                service_name: service.clone(),
                ..ProcessIdentity::default()
            }
        }
    };
    let compatible = processes
        .iter()
        .filter(|(process, _)| identity.is_compatible_with(process));
    let processes = compatible.map(|(process, spans)| ProcessSpans {
        process: process.clone(),
        spans: spans.clone(),
        context: Vec::new(),
    });
    Ok(Candidates {
        processes: processes.collect(),
        identity: Arc::new(identity),
    })
}

fn decode(
    content: impl Read + Send,
    source: Arc<str>,
    candidates: &Candidates<'_>,
    config: &AttributionConfig,
) -> anyhow::Result<Option<Profile>> {
    let identity = candidates.identity.clone();
    Ok(
        match go_execution_trace::read(content, identity, source, &config.state_rules)? {
            Decoded::Anchored(recording) => Some(owned(recording, candidates, config)),
            Decoded::Unanchored(recording) => placed(recording, candidates),
        },
    )
}

fn owned(mut recording: TaskRecording, candidates: &Candidates<'_>, config: &AttributionConfig) -> Profile {
    warn(&recording.warnings);
    let owner = match choose_process(&recording, &candidates.processes, &config.rules) {
        ProcessChoice::Chosen { index, .. } => Some(candidates.processes[index].process.clone()),
        undecided => {
            eprintln!(
                "warning: {}: {undecided}; its spans stay unattributed",
                recording.source
            );
            None
        }
    };
    if let Some(owner) = &owner {
        recording.process = owner.clone();
    }
    Profile { owner, recording }
}

/// Without spans that show the offset there are no wall times to store, so there is no profile either.
fn placed(recording: UnanchoredRecording, candidates: &Candidates<'_>) -> Option<Profile> {
    warn(recording.warnings());
    let source = recording.source();
    match choose_anchor(&recording, &candidates.processes) {
        Ok(Anchor { index, estimate }) => {
            eprintln!("{source}: no wall clock (Go before 1.25); placed by spans: {estimate}");
            let owner = candidates.processes[index].process.clone();
            let mut recording = recording.anchored(estimate);
            recording.process = owner.clone();
            Some(Profile {
                owner: Some(owner),
                recording,
            })
        }
        Err(why) => {
            eprintln!(
                "warning: {source}: no wall clock (Go before 1.25), left out: {why}; its spans stay unattributed"
            );
            None
        }
    }
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
}

fn parse_resource(text: &str) -> anyhow::Result<ProcessIdentity> {
    let mut attributes = BTreeMap::new();
    for pair in text.split(',') {
        let Some((key, value)) = pair.split_once('=') else {
            bail!("--resource `{text}`: `{pair}` is not KEY=VALUE");
        };
        attributes.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    let identity = ProcessIdentity::from_resource(|key| attributes.get(key).cloned());
    if identity.service_name.is_empty() {
        bail!("--resource `{text}` has no service.name");
    }
    Ok(identity)
}
