//! What a host is doing right now, as everybody may see it.

use super::fault::Fault;
use super::host::HostId;
use jiff::Timestamp;

/// The state of a host, with what is known in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Switched off in the configuration.
    Disabled,
    /// No link, and none is being made yet.
    Disconnected,
    /// A link is being made.
    Connecting {
        /// Which attempt this is since the last good link, from 1.
        attempt: u32,
        /// Why the attempt before failed.
        last: Option<Fault>,
    },
    /// The link is up and the engine answers.
    Ready(EngineInfo),
    /// Waiting before the next attempt.
    Backoff {
        /// How many attempts have failed.
        attempt: u32,
        /// When the next one starts.
        retry_at: Timestamp,
        /// Why the last one failed.
        cause: Fault,
    },
    /// Not retried until something changes.
    Held {
        /// When it is looked at again even if nothing changes; `None`: only a person helps.
        until: Option<Timestamp>,
        /// Why.
        cause: Fault,
    },
    /// Its actor crashed too often; the supervisor keeps it down.
    Quarantined {
        /// When the supervisor starts it again.
        until: Timestamp,
    },
}

impl Phase {
    /// The stable word for output, logs and metrics.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Disconnected => "disconnected",
            Self::Connecting { .. } => "connecting",
            Self::Ready(_) => "ready",
            Self::Backoff { .. } => "backoff",
            Self::Held { .. } => "held",
            Self::Quarantined { .. } => "quarantined",
        }
    }

    /// Why the host is not ready, when something failed.
    pub fn cause(&self) -> Option<&Fault> {
        match self {
            Self::Backoff { cause, .. } | Self::Held { cause, .. } => Some(cause),
            Self::Connecting { last, .. } => last.as_ref(),
            _ => None,
        }
    }

    /// When something is tried next without anybody asking.
    pub fn next_try(&self) -> Option<Timestamp> {
        match self {
            Self::Backoff { retry_at, .. } => Some(*retry_at),
            Self::Held { until, .. } => *until,
            Self::Quarantined { until } => Some(*until),
            _ => None,
        }
    }
}

/// What an engine said about itself when the link came up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// The name the engine gives itself, which tells it from others; clones of a machine share it.
    pub id: Option<String>,
    /// `Docker` or `Podman`.
    pub product: &'static str,
    /// The engine's version, such as `20.10.24`.
    pub version: String,
    /// The API version spoken with it, such as `1.41`.
    pub api: String,
    /// Operating system and architecture, such as `linux/amd64`.
    pub platform: String,
}

/// A host's phase with its history, as published by its actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostStatus {
    /// The host.
    pub id: HostId,
    /// Its state.
    pub phase: Phase,
    /// Since when it is in this state. Attempts and waits in a row count as one trouble, so that
    /// an unreachable host shows the age of its trouble and not of its last retry.
    pub since: Timestamp,
    /// When the engine answered last.
    pub last_seen: Option<Timestamp>,
    /// The name its engine gave itself when it was connected to last.
    pub engine_id: Option<String>,
    /// Which life of the host's actor this is, from 1.
    pub incarnation: u64,
}
