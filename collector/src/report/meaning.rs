//! States in a few words, for those who see them the first time. docs/states.md has them all at length.

use spandrel_model::State;

/// What a goroutine does in a state.
pub const fn meaning(state: State) -> &'static str {
    match state {
        State::Running => "on a processor",
        State::Runnable => "ready, waits for a processor",
        State::Mutex => "waits for a sync.Mutex",
        State::RwMutex => "waits for a sync.RWMutex",
        State::WaitGroup => "waits for the goroutines of a sync.WaitGroup",
        State::Once => "waits for a sync.Once",
        State::Sync => "waits for a semaphore of the runtime",
        State::Cond => "waits for a sync.Cond",
        State::Channel => "sends to or receives from a channel",
        State::Select => "waits in a select",
        State::Sleep => "sleeps, or waits for a timer",
        State::Network => "waits for the network",
        State::Syscall => "in a system call or C code",
        State::GcAssist => "helps the garbage collector, as the price of allocating",
        State::GcStw => "stopped with the whole program",
        State::GcSweep => "sweeps memory before it allocates",
        State::GcOther => "waits for the garbage collector",
        State::Forever => "waits for what cannot happen",
        State::BlockedOnOther => "waits for another request",
        State::Other => "waits for a reason that no rule knows",
        State::Unknown => "nothing is recorded of the time",
    }
}

/// The states among `words`, each once, with what they mean: `mutex: waits for a sync.Mutex; network: ...`.
pub fn legend<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut states: Vec<State> = words.into_iter().filter_map(State::from_column).collect();
    states.sort_unstable();
    states.dedup();
    let entry = |state: &State| format!("{}: {}", state.as_str(), meaning(*state));
    states.iter().map(entry).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::legend;

    #[test]
    fn a_legend_says_each_state_once_in_the_order_of_reports() {
        let words = ["network", "mutex", "network", "no state"];
        assert_eq!(
            legend(words),
            "mutex: waits for a sync.Mutex; network: waits for the network"
        );
    }
}
