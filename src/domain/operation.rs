//! One unit of work on one host: who it is, and what it may hold there.

use super::host::HostId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use uuid::Uuid;

/// The name of an operation, unique among all of all times: an UUID of version 7 (RFC 9562), which
/// sorts by the time of its making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperationId(Uuid);

impl OperationId {
    /// A new name.
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// Text that names no operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no operation: their names are 32 hexadecimal digits")]
pub struct InvalidOperationId(String);

impl FromStr for OperationId {
    type Err = InvalidOperationId;

    fn from_str(text: &str) -> Result<Self, InvalidOperationId> {
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidOperationId(text.chars().take(40).collect()))
    }
}

impl TryFrom<String> for OperationId {
    type Error = InvalidOperationId;

    fn try_from(text: String) -> Result<Self, InvalidOperationId> {
        text.parse()
    }
}

impl From<OperationId> for String {
    fn from(id: OperationId) -> Self {
        id.to_string()
    }
}

/// Whether an operation leaves the world as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// It only reads: it ends when its caller goes, and may be made again after a crash.
    Read,
    /// It changes something: it goes on without its caller, ends at a step's boundary when it is
    /// cancelled, and is never simply made again.
    Change,
}

/// What is known about an operation from its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationContext {
    /// Its name.
    pub id: OperationId,
    /// What it does, as a word: usually the tool's name.
    pub name: String,
    /// Whether it changes something.
    pub kind: OperationKind,
    /// Where.
    pub host: HostId,
    /// The host's Docker context.
    pub docker_context: String,
    /// When it started.
    pub started: Timestamp,
    /// How long it may take.
    pub limit: Duration,
}

/// Something on a host that an operation made for itself and that must not outlive it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostResource {
    /// A file, by its absolute path.
    File(String),
    /// A container, by its name; its anonymous volumes go with it.
    Container(String),
    /// The processes that bear this mark.
    Processes(String),
}

impl fmt::Display for HostResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {path}"),
            Self::Container(name) => write!(f, "container {name}"),
            Self::Processes(_) => f.write_str("processes"),
        }
    }
}
