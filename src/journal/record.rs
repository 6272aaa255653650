//! What is on record.

use crate::domain::change::{Asker, Before, Bound, Change, Made};
use crate::domain::host::HostId;
use crate::domain::operation::{HostResource, OperationId};
use crate::domain::saga::{Course, OnFailure, StepState, Why};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// The state of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeState {
    /// At work.
    Running,
    /// It was interrupted; what became of it is being found out, or will be as soon as its host is back.
    Recovering,
    /// Everything was made.
    Done,
    /// A step failed.
    Failed,
    /// Cancelled.
    Cancelled,
    /// Interrupted, and undone as far as it can be.
    RolledBack,
    /// It cannot be found out what became of it: a person has to look.
    Unknown,
}

impl ChangeState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Running,
        Self::Recovering,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
        Self::RolledBack,
        Self::Unknown,
    ];

    /// The word it is written by.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Recovering => "recovering",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::RolledBack => "rolled_back",
            Self::Unknown => "unknown",
        }
    }

    /// Whether nothing more is done by itself.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Running | Self::Recovering)
    }
}

/// The machine that a change is bound to: nothing is done to any other in its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The host's name.
    pub host: HostId,
    /// Where it is.
    pub endpoint: String,
    /// The name its engine gives itself, where it gives one.
    pub engine: Option<String>,
    /// The fingerprint of its ssh key, where it is reached so: clones of a machine share their engine's name.
    pub host_key: Option<String>,
}

impl Machine {
    /// What tells it from another one behind the same name.
    pub fn identity(&self) -> String {
        let [engine, key] = [&self.engine, &self.host_key].map(|part| part.as_deref().unwrap_or("-"));
        format!("{} {engine} {key}", self.endpoint)
    }
}

/// A person's agreement to a change, or what stood in for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// By which it counts once; none where nobody was asked.
    pub word: Option<String>,
    /// How it was given, for the audit.
    pub words: String,
}

/// A change that is to begin.
#[derive(Debug, Clone)]
pub struct NewChange {
    /// Its name.
    pub id: OperationId,
    /// What is to be done.
    pub change: Change,
    /// Where.
    pub machine: Machine,
    /// What it may be made to, of what was there before it; `None` when that was not looked at.
    pub bound: Option<Bound>,
    /// By which agreement, where one was wanted.
    pub agreement: Option<Agreement>,
    /// Who asked.
    pub asker: Asker,
    /// The client's idempotency key.
    pub key: Option<String>,
    /// Its arguments as the audit shows them.
    pub arguments: Value,
}

/// A change on record.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeRecord {
    /// Its name.
    pub id: OperationId,
    /// What is to be done; secrets in it are masked.
    pub change: Change,
    /// Whether nothing was masked, so that it can be gone on with.
    pub whole: bool,
    /// Where.
    pub machine: Machine,
    /// What it may be made to, of what was there before it; `None` when that was not looked at.
    pub bound: Option<Bound>,
    /// Who asked.
    pub asker: Asker,
    /// The client's idempotency key.
    pub key: Option<String>,
    /// How long it may take.
    pub limit: Duration,
    /// Its state.
    pub state: ChangeState,
    /// Which way it goes.
    pub course: Course,
    /// What is to be known about its state.
    pub words: Option<String>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Its steps as far as they have begun, in their order.
    pub steps: Vec<StepRecord>,
}

impl ChangeRecord {
    /// Whether what had been done was undone, as far as that can be, and nothing was lost.
    pub fn is_rolled_back(&self) -> bool {
        let is_undone = self.states().contains(&StepState::Undone);
        is_undone
            && self.state.is_final()
            && self.change.plan().on_failure == OnFailure::Unwind
            && self.lost().next().is_none()
    }

    /// What went for a step that was undone later, and did not come back.
    pub fn lost(&self) -> impl Iterator<Item = &String> {
        let undone = self.steps.iter().filter(|step| step.state == StepState::Undone);
        undone.flat_map(|step| &step.made.removed)
    }

    /// How long it may take, with what is known of the containers that it stops in their own time.
    pub fn allowance(&self) -> Duration {
        let steps = self.change.steps();
        let known = steps.iter().zip(&self.steps).map(|(step, on_record)| {
            step.lasts(&on_record.before).saturating_sub(step.lasts(&Before::Nothing))
        });
        self.limit + known.sum::<Duration>()
    }

    /// The states of its steps.
    pub fn states(&self) -> Vec<StepState> {
        self.steps.iter().map(|step| step.state).collect()
    }
}

/// A step on record.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    /// Its name.
    pub name: String,
    /// What is known about it.
    pub state: StepState,
    /// What there was before.
    pub before: Before,
    /// What came of it.
    pub made: Made,
    /// Why it failed.
    pub words: Option<String>,
    /// When it was put on record.
    pub began: Timestamp,
    /// When its outcome was.
    pub ended: Option<Timestamp>,
}

/// Something that an operation holds on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRecord {
    /// The operation.
    pub operation: OperationId,
    /// What it was doing.
    pub name: String,
    /// Where.
    pub machine: Machine,
    /// What it holds.
    pub resource: HostResource,
    /// Since when.
    pub at: Timestamp,
}

/// What became of a call that would change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// What it would do was told, or a person is asked: nothing is done by this.
    Planned,
    /// It is about to be done: what became of it is a later entry, unless the service ended meanwhile.
    Asked,
    /// It was done, or began an operation.
    Accepted,
    /// It was given the operation, or the answer, of an equal call.
    Joined,
    /// It was not done.
    Refused,
}

impl Verdict {
    /// The word it is written by.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Asked => "asked",
            Self::Accepted => "accepted",
            Self::Joined => "joined",
            Self::Refused => "refused",
        }
    }
}

/// A call on the audit.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Who called.
    pub asker: Asker,
    /// The tool.
    pub tool: String,
    /// The host, when the call named one.
    pub host: Option<String>,
    /// Its arguments; secrets in them are masked.
    pub arguments: Value,
    /// What became of it.
    pub verdict: Verdict,
    /// Why it was refused, who is asked, or how it was agreed to.
    pub words: Option<String>,
    /// The operation it is about.
    pub operation: Option<OperationId>,
}

/// An entry of the audit with its number and time.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// Counted from 1, without gaps as long as nothing was thrown away.
    pub number: i64,
    /// When it was written.
    pub at: Timestamp,
    /// What.
    pub entry: AuditEntry,
}

impl AuditRecord {
    /// The entry for other programs and for models; absent is what does not apply.
    pub fn to_json(&self) -> Value {
        let AuditEntry { asker, tool, host, arguments, verdict, words, operation } = &self.entry;
        let at = Timestamp::from_second(self.at.as_second()).unwrap_or(self.at).to_string();
        let mut object = serde_json::json!({
            "number": self.number, "at": at, "principal": asker.principal, "client": asker.client,
            "tool": tool, "host": host, "arguments": arguments, "verdict": verdict, "reason": words,
            "operation": operation,
        });
        if let Value::Object(object) = &mut object {
            object.retain(|_, value| !value.is_null());
        }
        object
    }
}

/// A call that bears a key and begins no change.
#[derive(Debug, Clone)]
pub struct KeyedCall {
    /// Who called.
    pub principal: String,
    /// The tool.
    pub tool: String,
    /// The client's idempotency key.
    pub key: String,
    /// The call's arguments, of which a fingerprint is kept.
    pub arguments: String,
}

/// What is kept of the answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptAnswer {
    /// The whole: a value of the tool's output schema.
    Whole(Value),
    /// How it ended, where that is known: the text itself may be anybody's secret.
    Ending(Option<String>),
}

/// Something for the journal.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A change begins, unless its key or its equal says otherwise.
    Begin(Box<NewChange>),
    /// A step is to be made: its name and what there is before.
    Intend(OperationId, usize, String, Before),
    /// What came of a step.
    Settle(OperationId, usize, StepState, Made, Option<String>),
    /// A change goes back.
    Back(OperationId, Why),
    /// The state of a change, with what is to be known about it.
    State(OperationId, ChangeState, Option<String>),
    /// An operation is about to make something that it will have to let go.
    Hold(HeldRecord),
    /// It has let go of it.
    LetGo(OperationId, HostResource),
    /// A host has entered a phase.
    Phase(HostId, &'static str, Option<String>),
    /// A call that would change something.
    Audit(Box<AuditEntry>),
    /// A call is about to be made.
    Call(Box<KeyedCall>),
    /// What it was answered.
    Answer(Box<KeyedCall>, KeptAnswer),
    /// It was not made; its key is free.
    Free(Box<KeyedCall>),
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// It is on record.
    Written,
    /// It is the same wish as this change, which is on record.
    Joined(OperationId),
    /// Its key belongs to this change, whose arguments are others.
    KeyTaken(OperationId),
    /// The agreement it refers to has been used.
    Spent,
}
