//! What is counted while chains are walked.

/// What was met while the root view was made. The numbers depend on how the spans cut the waits: a wait in which a span
/// begins counts twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalkCounts {
    /// Waits that a task ended, on the tasks of spans and along chains.
    pub waits: u64,
    /// Stretches of time at the ends of chains.
    pub pieces: u64,
    /// Long stretches of a task that were summed up instead of walked.
    pub summed: u64,
    /// Parts of which the root views of spans without a task are made.
    pub inferred: u64,
    /// Stretches given up because the chain was too long.
    pub too_long: u64,
    /// Stretches given up because the recording contradicts itself.
    pub contradictions: u64,
    /// Stretches given up because the waker, or a creator, is in no recording.
    pub wakers_not_recorded: u64,
    /// The longest chain, in steps.
    pub depth_max: u32,
}
