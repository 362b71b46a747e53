//! Which view of the attribution a command shows.

use clap::ValueEnum;
use spandrel_model::View;

/// Which view to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shown {
    /// What the requests' own goroutines did.
    #[value(name = "self")]
    SelfView,
    /// What they were really waiting for.
    Root,
}

impl Shown {
    /// The view itself.
    pub const fn view(self) -> View {
        match self {
            Self::SelfView => View::SelfView,
            Self::Root => View::Root,
        }
    }
}
