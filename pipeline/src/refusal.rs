//! Why a component did not take a batch.

use std::time::Duration;

/// The one way to say no. A receiver turns it into the answer that its protocol defines; nobody in between swallows it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Busy: the same batch may be accepted later.
    #[error("refused: {reason}")]
    Refused {
        /// What is exhausted, for the sender's operator.
        reason: String,
        /// When to try again, if known.
        retry_after: Option<Duration>,
    },
    /// The batch will never be accepted.
    #[error("{reason}")]
    Permanent {
        /// What is wrong with it.
        reason: String,
    },
    /// The component is stopping; another instance may accept the batch.
    #[error("shutting down")]
    Shutdown,
}

impl Refusal {
    /// A [`Refusal::Permanent`] with the reason as text.
    pub fn permanent(reason: impl std::fmt::Display) -> Self {
        Self::Permanent {
            reason: reason.to_string(),
        }
    }
}
