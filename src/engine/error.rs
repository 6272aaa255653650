//! What can go wrong in a call to an engine.

use crate::domain::fault::{Fault, FaultKind};
use bollard::errors::Error as BollardError;

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The call did not reach the engine, or its answer not us.
    #[error(transparent)]
    Link(#[from] Fault),
    /// The engine knows no such object.
    #[error("{0}")]
    NotFound(String),
    /// The engine refused or failed.
    #[error("the engine answered {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The engine's words.
        message: String,
    },
    /// What is there is not fit for what was asked.
    #[error("{0}")]
    Unfit(String),
    /// The engine began and did not get to the end.
    #[error("the engine failed: {0}")]
    Failed(String),
    /// The engine's answer could not be read.
    #[error("the engine's answer could not be read: {0}")]
    Garbled(String),
}

impl EngineError {
    /// Whether the line, or the engine behind it, may be dead.
    pub fn is_broken_line(&self) -> bool {
        matches!(
            self,
            Self::Link(Fault { kind: FaultKind::LinkLost | FaultKind::EngineDown | FaultKind::NoEngine, .. })
        )
    }

    /// The failure as a cause for the host's state.
    pub fn into_fault(self) -> Fault {
        match self {
            Self::Link(fault) => fault,
            other => Fault::new(FaultKind::EngineDown, other.to_string()),
        }
    }
}

impl From<BollardError> for EngineError {
    fn from(error: BollardError) -> Self {
        match error {
            BollardError::DockerResponseServerError { status_code: 404, message } => Self::NotFound(message),
            BollardError::DockerResponseServerError { status_code, message } => {
                Self::Refused { status: status_code, message }
            }
            BollardError::DockerStreamError { error } => Self::Failed(error),
            BollardError::JsonDataError { message, .. } => Self::Garbled(message),
            BollardError::JsonSerdeError { err } => Self::Garbled(err.to_string()),
            other => Self::Link(link_fault(&other)),
        }
    }
}

/// The cause below HTTP: the dialer's own fault when it is in the chain of sources, else the chain.
fn link_fault(error: &BollardError) -> Fault {
    let top: &(dyn std::error::Error + 'static) = match error {
        BollardError::HyperLegacyError { err } => err,
        BollardError::HyperResponseError { err } => err,
        BollardError::IOError { err } => err,
        other => other,
    };
    let mut words = vec![top.to_string()];
    let mut next = top.source();
    while let Some(error) = next {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return fault.clone();
        }
        words.push(error.to_string());
        next = error.source();
    }
    Fault::new(FaultKind::EngineDown, words.join(": "))
}
