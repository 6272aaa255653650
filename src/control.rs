//! Floor 5: the service's own door, a socket for processes of the same user: assistants that start a second
//! `stdio` are carried to the service that keeps the journal, and the command line asks it.
//!
//! The first line of a connection is a [`Request`], the first line back a [`Reply`]; after [`Reply::Open`] the
//! rest is the Model Context Protocol, a message a line.

mod carry;
mod client;
mod door;

pub use carry::{Carried, Ended};
pub use client::{ask, call, opens};
pub use door::{Door, Guests};

use crate::domain::operation::OperationId;
use crate::domain::toolset::Offer;
use crate::mcp::{Asking, Response, ToolOutput};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};
use tokio::time::timeout;

/// Whoever connects says at once what they want.
const FIRST_LINE_LIMIT: Duration = Duration::from_secs(5);

/// The longest request is a call with its arguments.
const LONGEST_REQUEST: u64 = 4 << 20;

/// What a process may want of the service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// A word, to hear that somebody is there.
    Greet,
    /// To speak the protocol, for a client whose hosts stand in these files.
    Mcp {
        /// Every file that is read, the weakest first.
        files: Vec<PathBuf>,
        /// What its process was told to offer.
        offer: Offer,
    },
    /// A tool's answer, about hosts that stand in these files.
    Call {
        /// Every file that is read, the weakest first.
        files: Vec<PathBuf>,
        /// Which tool.
        tool: String,
        /// Its arguments.
        arguments: Map<String, Value>,
        /// What the person has said to it.
        response: Option<Response>,
    },
    /// The end of an operation.
    Cancel {
        /// Which.
        operation: OperationId,
        /// Whether it is to be left as it is.
        give_up: bool,
    },
    /// Another look at an operation that ended in doubt.
    Resume {
        /// Which.
        operation: OperationId,
    },
}

impl Request {
    /// The word it goes by in the audit.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Greet => "greet",
            Self::Mcp { .. } => "mcp",
            Self::Call { .. } => "call",
            Self::Cancel { give_up: true, .. } => "job_give_up",
            Self::Cancel { .. } => "job_cancel",
            Self::Resume { .. } => "job_resume",
        }
    }

    /// The operation it is about.
    pub fn operation(&self) -> Option<OperationId> {
        match self {
            Self::Greet | Self::Mcp { .. } | Self::Call { .. } => None,
            Self::Cancel { operation, .. } | Self::Resume { operation } => Some(*operation),
        }
    }
}

/// What the service says to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Speak.
    Open,
    /// It is done, or under way.
    Done,
    /// It is not.
    Refused {
        /// Why.
        why: String,
    },
}

/// What a tool answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A value.
    Value(Value),
    /// Prose: logs, files.
    Text(String),
    /// The person has to agree first.
    Asks(Box<Asking>),
    /// Nothing was done, or not all of it: why.
    Failed(String),
}

impl From<Result<ToolOutput, String>> for Answer {
    fn from(output: Result<ToolOutput, String>) -> Self {
        match output {
            Ok(ToolOutput::Structured(value) | ToolOutput::Planned(value)) => Self::Value(value),
            Ok(ToolOutput::Text(text)) => Self::Text(text),
            Ok(ToolOutput::Asks(asking)) => Self::Asks(asking),
            Err(words) => Self::Failed(words),
        }
    }
}

/// Why the service was not asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It cannot be reached.
    #[error("the Dockmaster that keeps the journal cannot be reached at {}: {source}", socket.display())]
    Unreachable {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It says no.
    #[error("{0}")]
    Refused(String),
}

async fn first_line(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut line = String::new();
    let mut bounded = from.take(LONGEST_REQUEST);
    let read = timeout(FIRST_LINE_LIMIT, bounded.read_line(&mut line)).await;
    if read.map_err(|_| io::ErrorKind::TimedOut)?? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line)
}

/// Those that are there: in which directory somebody stands is of no interest where no file lies.
fn existing(files: &[PathBuf]) -> Vec<PathBuf> {
    files.iter().filter(|file| file.exists()).cloned().collect()
}
