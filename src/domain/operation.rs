//! One unit of work on one host: who it is, and what it may hold there.

use super::host::HostId;
use jiff::Timestamp;
use std::fmt;
use std::time::Duration;
use uuid::Uuid;

/// The name of an operation, unique among all of all times: an UUID of version 7 (RFC 9562), which
/// sorts by the time of its making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostResource {
    /// A file, by its absolute path.
    File(String),
    /// A container, by its name; its anonymous volumes go with it.
    Container(String),
}

impl fmt::Display for HostResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {path}"),
            Self::Container(name) => write!(f, "container {name}"),
        }
    }
}
