//! Why a query failed, by whose fault it is.

use std::time::Duration;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

/// Why a query has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The statement is at fault: syntax, an unknown name, types that do not fit. The text says which.
    #[error("{message}")]
    Statement {
        /// What DataFusion says, with the candidates for an unknown name.
        message: String,
    },

    /// The statement would change something.
    #[error("only queries are allowed, not {statement}: the tables are read-only")]
    ReadOnly {
        /// Kind of the statement, such as `CREATE TABLE`.
        statement: String,
    },

    /// The query ran for longer than [`crate::Limits::timeout`].
    #[error("the query ran for more than {timeout:?}; narrow it, by `dt` and `hr` for example, or raise the timeout")]
    Timeout {
        /// The limit.
        timeout: Duration,
    },

    /// The query needs more memory or spill space than the session has.
    #[error("the query needs more memory than the session may use; narrow it, or raise the memory limit: {message}")]
    Memory {
        /// Which operator asked for how much.
        message: String,
    },

    /// Reading or computing failed.
    #[error("failed to run the query")]
    Execution {
        /// What DataFusion says.
        source: Box<DataFusionError>,
    },

    /// The runtime shut down while the query ran.
    #[error("the runtime shut down during the query")]
    Shutdown,

    /// The session could not be built.
    #[error("failed to open a query session")]
    Session {
        /// What DataFusion says.
        source: Box<DataFusionError>,
    },
}

impl QueryError {
    /// An error of planning or running a statement.
    pub(crate) fn of_statement(error: DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(message) => Self::Memory {
                message: message.clone(),
            },
            DataFusionError::SQL(..)
            | DataFusionError::Plan(_)
            | DataFusionError::SchemaError(..)
            | DataFusionError::NotImplemented(_)
            | DataFusionError::Diagnostic(..)
            | DataFusionError::Collection(_)
            | DataFusionError::Execution(_) => Self::Statement {
                message: error.strip_backtrace(),
            },
            DataFusionError::ArrowError(cause, _) if is_about_values(cause) => Self::Statement {
                message: error.strip_backtrace(),
            },
            _ => Self::Execution {
                source: Box::new(error),
            },
        }
    }

    pub(crate) fn of_session(error: DataFusionError) -> Self {
        Self::Session {
            source: Box::new(error),
        }
    }
}

/// Whether a value did not fit an operation of the statement, such as a division by zero.
fn is_about_values(error: &ArrowError) -> bool {
    matches!(
        error,
        ArrowError::DivideByZero
            | ArrowError::ArithmeticOverflow(_)
            | ArrowError::CastError(_)
            | ArrowError::ComputeError(_)
            | ArrowError::InvalidArgumentError(_)
            | ArrowError::ParseError(_)
    )
}
