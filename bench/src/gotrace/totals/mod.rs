//! What stages add up while they work, so that nothing of it can be left undone and peers can be compared.

mod events;
mod states;
mod tables;

pub(crate) use events::EventTotals;
pub(crate) use states::StateTotals;
pub(crate) use tables::TableTotals;
