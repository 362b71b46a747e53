//! One color for each state, the same everywhere, of the 256 that terminals have.
//!
//! Chosen so that no two are alike to people who see red and green alike either. Colors help the eye; the words stand beside
//! them.

use spandrel_model::State;

/// The code of a state's color, for [`Terminal::painted`](super::terminal::Terminal::painted). A word that is no state has
/// that of time of which nothing is known.
pub fn code(state: &str) -> &'static str {
    match State::from_column(state).unwrap_or(State::Unknown) {
        State::Running => "38;5;69",
        State::Runnable => "38;5;220",
        State::Mutex | State::RwMutex | State::Once => "38;5;160",
        State::WaitGroup | State::Cond | State::Sync => "38;5;217",
        State::Channel | State::Forever => "38;5;93",
        State::Select => "38;5;183",
        State::Sleep => "38;5;249",
        State::Network => "38;5;123",
        State::Syscall => "38;5;71",
        State::GcAssist => "38;5;95",
        State::GcStw => "38;5;230",
        State::GcSweep | State::GcOther => "38;5;101",
        State::BlockedOnOther => "38;5;168",
        State::Other | State::Unknown => "38;5;242",
    }
}
