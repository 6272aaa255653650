//! Failures as their reader sees them: what failed, where, why, what happens next, what to do.

use super::shape::{rfc3339, told, words};
use crate::actors::admin::AdminError;
use crate::actors::host::{HostError, HostHandle, Unavailable};
use crate::actors::operation::Overloaded;
use crate::compose::locate::LocateError;
use crate::compose::read::ReadError;
use crate::config::EditError;
use crate::domain::build::InvalidBuild;
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::{HostSpec, InvalidName};
use crate::domain::pattern::InvalidPattern;
use crate::domain::phase::Phase;
use crate::domain::selector::SelectorError;
use crate::domain::target::InvalidTarget;
use crate::engine::EngineError;
use crate::runtime::clock::{Clock, age};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

/// Longer messages are cut by clients in unhelpful places.
const LONGEST_MESSAGE: usize = 1800;

/// A stable word for the class of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ErrorKind {
    InvalidArguments,
    HostUnknown,
    HostDisabled,
    HostUnreachable,
    AuthFailed,
    HostKey,
    PolicyDenied,
    ConfirmationRequired,
    NotFound,
    Ambiguous,
    Conflict,
    Overloaded,
    Cancelled,
    OutcomeUnknown,
    JournalUnavailable,
    Timeout,
    DockerError,
    Internal,
}

impl ErrorKind {
    fn of_fault(kind: FaultKind) -> Self {
        match kind {
            FaultKind::HostKeyUnknown | FaultKind::HostKeyChanged => Self::HostKey,
            FaultKind::AuthRefused | FaultKind::AgentRefused | FaultKind::KeyUnusable => Self::AuthFailed,
            FaultKind::Internal => Self::Internal,
            _ => Self::HostUnreachable,
        }
    }

    fn word(self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|word| word.as_str().map(ToOwned::to_owned))
            .unwrap_or_default()
    }
}

/// The failure of a whole call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ToolError {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Whether the audit has it already.
    pub(super) is_on_audit: bool,
    /// Whether something was done all the same.
    pub(super) was_made: bool,
}

impl ToolError {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, is_on_audit: false, was_made: false }
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// As one that came after something had been done.
    pub(super) fn made(self) -> Self {
        Self { was_made: true, ..self }
    }

    /// Whether what was called for may have been done, wholly or in part. What failed in any other way did before
    /// anything was.
    pub(super) fn may_be_made(&self) -> bool {
        self.was_made
            || matches!(self.kind, ErrorKind::OutcomeUnknown | ErrorKind::Cancelled | ErrorKind::Internal)
    }

    /// The text a model reads.
    pub(super) fn text(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!("\nNext: {hint}")).unwrap_or_default();
        let text = told(&format!("{}: {}{hint}", self.kind.word(), self.message));
        crate::domain::text::cut(&text, LONGEST_MESSAGE).0.to_owned()
    }
}

impl From<InvalidPattern> for ToolError {
    fn from(error: InvalidPattern) -> Self {
        Self::new(ErrorKind::InvalidArguments, format!("match: {error}"))
    }
}

impl From<InvalidBuild> for ToolError {
    fn from(error: InvalidBuild) -> Self {
        Self::new(ErrorKind::InvalidArguments, error.to_string())
    }
}

impl From<InvalidTarget> for ToolError {
    fn from(error: InvalidTarget) -> Self {
        Self::new(ErrorKind::InvalidArguments, error.to_string())
    }
}

impl From<AdminError> for ToolError {
    fn from(error: AdminError) -> Self {
        let message = error.to_string();
        match error {
            AdminError::Unreachable { spec, fault } => {
                Self::new(ErrorKind::of_fault(fault.kind), message).with_hint(fault.fix(&spec))
            }
            AdminError::Loosens { id, .. } => Self::new(ErrorKind::PolicyDenied, message).with_hint(format!(
                "A person can loosen it: dockmaster hosts edit {id} --policy rw, or policy: in the hosts file."
            )),
            AdminError::Uncovers { .. } => Self::new(ErrorKind::PolicyDenied, message)
                .with_hint("A person can remove it from both files."),
            AdminError::LoosensOther { other, .. } => Self::new(ErrorKind::PolicyDenied, message)
                .with_hint(format!("Tighten {other} first: host_update {other} with the stricter policy.")),
            AdminError::Last { id } => Self::new(ErrorKind::PolicyDenied, message)
                .with_hint(format!("A person can: dockmaster hosts remove {id}.")),
            AdminError::NoMemory { .. } => Self::new(ErrorKind::PolicyDenied, message)
                .with_hint("Dockmaster's data directory must be the service's own, with mode 0700 (DOCKMASTER_DATA_DIR)."),
            AdminError::Edit(EditError::Loosens { .. }) => Self::new(ErrorKind::PolicyDenied, message),
            AdminError::Invalid(_) | AdminError::Edit(EditError::WouldBeFaulty(_)) => {
                Self::new(ErrorKind::InvalidArguments, message)
            }
            AdminError::Edit(EditError::Unknown { .. }) => Self::new(ErrorKind::HostUnknown, message),
            AdminError::Edit(_) | AdminError::Bury { .. } => Self::new(ErrorKind::Conflict, message),
        }
    }
}

impl From<InvalidName> for ToolError {
    fn from(error: InvalidName) -> Self {
        Self::new(ErrorKind::InvalidArguments, error.to_string())
    }
}

impl From<SelectorError> for ToolError {
    fn from(error: SelectorError) -> Self {
        let kind = match error {
            SelectorError::UnknownHost { .. } | SelectorError::UnknownTag { .. } => ErrorKind::HostUnknown,
            SelectorError::Malformed(_) | SelectorError::Empty => ErrorKind::InvalidArguments,
        };
        Self::new(kind, error.to_string())
    }
}

/// The failure of one host in a call over several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct HostFailure {
    /// The host.
    pub(super) host: String,
    /// The class of the failure.
    pub(super) kind: ErrorKind,
    /// What failed and why.
    pub(super) message: String,
    /// What a person can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
    /// Since when the host is in trouble (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<String>,
    /// When the host answered last (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_seen: Option<String>,
    /// When Dockmaster tries again by itself (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_try: Option<String>,
}

impl HostFailure {
    /// What `error` of a call to `host` means at the clock's time.
    pub(super) fn of(host: &HostHandle, error: &HostError, clock: Clock) -> Self {
        let (spec, status, now) = (host.spec(), host.status(), clock.now());
        let id = spec.id.to_string();
        let plain = |kind, message: String| Self {
            host: id.clone(),
            kind,
            message: told(&message),
            hint: None,
            since: None,
            last_seen: None,
            next_try: None,
        };
        let mut failure = match error {
            HostError::Unavailable(refused) => unavailable(&plain, spec, refused, now),
            HostError::Deadline { .. } if status.phase.cause().is_some() => {
                let (phase, since) = (status.phase.clone(), status.since);
                unavailable(&plain, spec, &Unavailable { phase, since, attempts: vec![] }, now)
            }
            HostError::Deadline { limit } => late(&plain, spec, *limit, &status.phase),
            HostError::Overloaded(Overloaded { retry_after, .. }) => Self {
                hint: Some(format!("Call again in {} s.", retry_after.as_secs())),
                ..plain(ErrorKind::Overloaded, format!("{id}: {error}"))
            },
            HostError::Cancelled(_) => plain(ErrorKind::Cancelled, format!("{id}: {error}")),
            HostError::Crashed { .. } => plain(ErrorKind::Internal, format!("{id}: {error}")),
            HostError::OutcomeUnknown { .. } => plain(ErrorKind::OutcomeUnknown, format!("{id}: {error}")),
            HostError::Engine(EngineError::Link(fault)) => Self {
                hint: Some(fault.fix(spec)),
                ..plain(ErrorKind::of_fault(fault.kind), format!("{id}: {fault}"))
            },
            HostError::Engine(EngineError::NotFound(message)) => {
                plain(ErrorKind::NotFound, format!("{id}: {message}"))
            }
            HostError::Engine(
                EngineError::Refused { status: 409, message } | EngineError::Unfit(message),
            ) => plain(ErrorKind::Conflict, format!("{id}: {message}")),
            HostError::Engine(error) => plain(ErrorKind::DockerError, format!("{id}: {error}")),
            HostError::Context(error) => plain(ErrorKind::Conflict, format!("{id}: {error}")),
            HostError::Removed => plain(ErrorKind::HostUnknown, format!("{id}: {error}")),
            HostError::Restarting => plain(ErrorKind::HostUnreachable, format!("{id}: {error}")),
        };
        if !matches!(status.phase, Phase::Ready(_) | Phase::Disabled) {
            failure.since = Some(rfc3339(status.since));
            failure.next_try = status.phase.next_try().map(rfc3339);
        }
        if failure.kind != ErrorKind::NotFound {
            failure.last_seen = status.last_seen.map(rfc3339);
        }
        failure
    }
}

impl HostFailure {
    /// The failure of a call about `host` as one host's part of a larger one.
    pub(super) fn plain(host: &str, error: ToolError) -> Self {
        let ToolError { kind, message, hint, .. } = error;
        Self { host: host.to_owned(), kind, message, hint, since: None, last_seen: None, next_try: None }
    }
}

/// The failure as that of a call about this host alone.
impl From<HostFailure> for ToolError {
    fn from(failure: HostFailure) -> Self {
        Self { hint: failure.hint, ..Self::new(failure.kind, failure.message) }
    }
}

fn unavailable(
    plain: &impl Fn(ErrorKind, String) -> HostFailure,
    spec: &HostSpec,
    refused: &Unavailable,
    now: Timestamp,
) -> HostFailure {
    let id = &spec.id;
    let since = words(age(now, refused.since));
    let fault = refused.attempts.last().map(|attempt| &attempt.fault).or_else(|| refused.phase.cause());
    let Some(fault) = fault else {
        return match refused.phase {
            Phase::Disabled => HostFailure {
                hint: Some(format!("Set hosts.{id}.enabled: true in the configuration.")),
                ..plain(ErrorKind::HostDisabled, format!("{id} is disabled in the configuration"))
            },
            Phase::Quarantined { until } => plain(
                ErrorKind::Internal,
                format!(
                    "{id} is quarantined: its actor crashed too often; it starts again at {}",
                    rfc3339(until)
                ),
            ),
            _ => plain(ErrorKind::HostUnreachable, format!("{id} is not connected")),
        };
    };
    let next = match (&refused.phase, refused.phase.next_try()) {
        (Phase::Held { .. }, None) => "; held until a person has looked".to_owned(),
        (Phase::Connecting { .. }, _) => "; an attempt is under way".to_owned(),
        (_, Some(at)) => format!("; next try in {}", words(age(at, now))),
        _ => String::new(),
    };
    let tried = match refused.attempts.as_slice() {
        [] | [_] => String::new(),
        several => {
            let each: Vec<String> = several
                .iter()
                .map(|attempt| format!("{} {}", rfc3339(attempt.at), attempt.fault.kind.word()))
                .collect();
            format!(" ({} attempts: {})", several.len(), each.join(", "))
        }
    };
    HostFailure {
        hint: Some(fault.fix(spec)),
        ..plain(ErrorKind::of_fault(fault.kind), format!("{id} is down for {since}: {fault}{tried}{next}"))
    }
}

/// A call that ran out of time on a host that is in no known trouble.
fn late(
    plain: &impl Fn(ErrorKind, String) -> HostFailure,
    spec: &HostSpec,
    limit: Duration,
    phase: &Phase,
) -> HostFailure {
    let (id, seconds) = (&spec.id, limit.as_secs_f64());
    match phase {
        Phase::Ready(_) => HostFailure {
            hint: Some(
                "The line is being checked; call host_test for this host, or again in a few seconds."
                    .to_owned(),
            ),
            ..plain(ErrorKind::Timeout, format!("{id} did not answer within {seconds} s"))
        },
        _ => HostFailure {
            hint: Some(
                "Ask again in a few seconds; host_test waits for the attempt and tells which step fails."
                    .to_owned(),
            ),
            ..plain(
                ErrorKind::Timeout,
                format!("{id} was not connected within {seconds} s; its first attempt is under way"),
            )
        },
    }
}

/// A failure below a stack's files on `host`.
pub(super) fn stack_error(spec: &HostSpec, error: &StackFailure) -> ToolError {
    let (kind, fault): (ErrorKind, Option<&Fault>) = match error {
        StackFailure::Locate(LocateError::Link(fault)) | StackFailure::Read(ReadError::Link(fault)) => {
            (ErrorKind::of_fault(fault.kind), Some(fault))
        }
        StackFailure::Locate(LocateError::Ambiguous { .. }) => (ErrorKind::Ambiguous, None),
        StackFailure::Locate(LocateError::NotFound { .. }) | StackFailure::Read(ReadError::Missing(_)) => {
            (ErrorKind::NotFound, None)
        }
        StackFailure::Read(ReadError::Compose(_)) => (ErrorKind::DockerError, None),
        StackFailure::Locate(LocateError::Unusable { .. })
        | StackFailure::Read(ReadError::Unusable { .. }) => (ErrorKind::Conflict, None),
    };
    let mut failure = ToolError::new(kind, format!("{}: {error}", spec.id));
    failure.hint = fault.map(|fault| fault.fix(spec));
    failure
}

/// What can fail about a stack's files.
#[derive(Debug, thiserror::Error)]
pub(super) enum StackFailure {
    /// Finding them.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// Reading them.
    #[error(transparent)]
    Read(#[from] ReadError),
}
