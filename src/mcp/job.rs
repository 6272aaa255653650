//! Jobs: changes as tools begin them and tell about them.

mod begin;
mod each;
mod terms;
#[cfg(test)]
mod tests;

pub(super) use begin::{begin, begin_unasked};
pub(super) use each::{Jobs, begin_on_each};
pub(super) use terms::Terms;

use super::error::{ErrorKind, ToolError};
use super::page::cap;
use super::shape::{is_zero, rfc3339, short_id, told as text};
use super::tool::ToolContext;
use crate::actors::host::HostHandle;
use crate::domain::change::{Affected, Change, LONGEST_GRACE, Made};
use crate::domain::host::{HostId, InvalidName};
use crate::domain::operation::OperationId;
use crate::domain::protection::Protected;
use crate::domain::saga::StepState;
use crate::journal::JournalError;
use crate::journal::record::{ChangeRecord, ChangeState};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use std::str::FromStr;
use std::time::Duration;

/// Below the minute after which clients give a call up.
pub(super) const DEFAULT_WAIT: u64 = 45;

/// A job waits so long for the line to its host before it begins.
const LINE_LIMIT: Duration = Duration::from_secs(30);

/// The longest that a container may take to become healthy.
const LONGEST_PATIENCE: u32 = 3600;

/// Longer than this nobody keeps a call open.
const LONGEST_WAIT: u64 = 600;

/// What a prune of thousands removes, and what it would remove, is told up to here.
const LIST_CHARACTERS: usize = 3_000;
const PLAN_CHARACTERS: usize = 24_000;

/// A job as tools show it.
#[expect(clippy::struct_field_names, reason = "the field is the job's name in every tool")]
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Job {
    /// By which `job_get` and `job_cancel` know it; a plan has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) job: Option<String>,
    pub(super) tool: String,
    pub(super) host: String,
    /// What it is done to.
    pub(super) target: String,
    #[schemars(schema_with = "job_states")]
    pub(super) state: &'static str,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<String>,
    /// The steps that have begun.
    pub(super) results: Vec<StepResult>,
    /// What it would be done to; nothing was done yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) plan: Vec<Planned>,
    /// Rows of the plan that are not told.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) more: usize,
    /// The same call with this as its confirm does it, once and within ten minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) confirm: Option<String>,
    /// How many steps there are.
    pub(super) steps: usize,
    /// What had been done was undone, and nothing lost.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) rolled_back: bool,
    /// What it waits for, or why it ended so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
    /// An equal call had begun it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) joined: bool,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// What a plan would be done to.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Planned {
    /// Where it is more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<String>,
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<String>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<i64>,
    /// Why it would be left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kept: Option<String>,
}

impl Planned {
    /// As a part of what would be done to several hosts.
    pub(super) fn on(host: &HostId, thing: &Affected, kept: Option<&Protected>) -> Self {
        Self { host: Some(host.to_string()), ..Self::of(thing, kept) }
    }

    fn of(thing: &Affected, kept: Option<&Protected>) -> Self {
        Self {
            host: None,
            kind: thing.kind.word(),
            name: text(&thing.name),
            id: short_id(&thing.id),
            state: thing.state.clone(),
            size: thing.bytes,
            kept: kept.map(ToString::to_string),
        }
    }
}

/// A step of a job.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StepResult {
    /// What was to be done, or of a rollout to what.
    pub(super) step: String,
    #[schemars(schema_with = "step_states")]
    pub(super) state: StepState,
    /// Of a rollout: the job that does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) job: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    /// The state before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<String>,
    /// The state after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) removed: Vec<String>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) freed: Option<i64>,
    /// What was left, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) left: Vec<String>,
    /// Of removed and left: not told.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) more: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) old_image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) new_image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) copied: Option<CopyResult>,
    /// The last lines that a build said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) log: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) health: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

impl StepResult {
    /// Of which no more is known.
    pub(super) const fn of(step: String, state: StepState) -> Self {
        Self {
            step,
            state,
            job: None,
            id: None,
            before: None,
            after: None,
            removed: vec![],
            freed: None,
            left: vec![],
            more: 0,
            old_image: None,
            new_image: None,
            copied: None,
            log: None,
            health: None,
            error: None,
        }
    }
}

/// What was copied from another host.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CopyResult {
    pub(super) bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) files: Option<u64>,
    /// Of names, owners, modes, times and contents: the same here and there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<String>,
}

/// The state of what was not begun.
const PLANNED: &str = "planned";

/// How a job stands.
fn job_states(_: &mut SchemaGenerator) -> Schema {
    let words: Vec<&str> = ChangeState::ALL.map(ChangeState::word).into_iter().chain([PLANNED]).collect();
    json_schema!({"type": "string", "enum": words})
}

/// How a step stands: intended is at work, or in doubt.
fn step_states(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": StepState::ALL})
}

impl Job {
    pub(super) fn of(record: &ChangeRecord, joined: bool) -> Self {
        let results = record.steps.iter().map(|step| {
            let Made {
                id,
                before,
                after,
                mut removed,
                freed,
                left,
                old_image,
                new_image,
                health,
                copied,
                log,
            } = step.made.clone();
            let mut left: Vec<String> = left.iter().map(|words| text(words)).collect();
            let more = cap(&mut removed, LIST_CHARACTERS) + cap(&mut left, LIST_CHARACTERS);
            StepResult {
                id,
                before,
                after,
                removed,
                freed,
                left,
                more,
                old_image,
                new_image,
                copied: copied.map(|copied| CopyResult {
                    bytes: copied.bytes,
                    files: copied.files,
                    sha256: copied.sha256,
                }),
                log: log.as_deref().map(text),
                health,
                error: step.words.as_deref().map(text),
                ..StepResult::of(step.name.clone(), step.state)
            }
        });
        let next = match record.state {
            ChangeState::Running | ChangeState::Recovering => Some("job_get".to_owned()),
            ChangeState::Unknown => Some(format!("look at {} before doing it again", record.machine.host)),
            _ => None,
        };
        Self {
            job: Some(record.id.to_string()),
            tool: record.change.word().to_owned(),
            host: record.machine.host.to_string(),
            target: record.change.target(),
            state: record.state.word(),
            started: Some(rfc3339(record.started)),
            ended: record.ended.map(rfc3339),
            results: results.collect(),
            plan: vec![],
            more: 0,
            confirm: None,
            steps: record.change.steps().len(),
            rolled_back: record.is_rolled_back(),
            note: record.words.as_deref().map(text),
            joined,
            next,
        }
    }

    /// What `change` would do. With a token it is done when the call is repeated with it.
    fn planned(
        change: &Change,
        host: &HostHandle,
        affected: &[Affected],
        kept: &[(Affected, Protected)],
        token: Option<String>,
    ) -> Self {
        let kept = kept.iter().map(|(thing, why)| Planned::of(thing, Some(why)));
        let notes = std::iter::once("nothing was changed".to_owned()).chain(change.dangers());
        let mut plan = affected.iter().map(|thing| Planned::of(thing, None)).chain(kept).collect();
        let more = cap(&mut plan, PLAN_CHARACTERS);
        Self {
            plan,
            more,
            steps: change.steps().len(),
            note: Some(text(&notes.collect::<Vec<_>>().join("; "))),
            ..Self::plan_of(change.word(), host.spec().id.to_string(), change.target(), token)
        }
    }

    /// Of what was not begun.
    pub(super) fn plan_of(tool: &str, host: String, target: String, confirm: Option<String>) -> Self {
        let next = match &confirm {
            Some(_) => {
                "show the plan to a person; the same call does it, with confirm where the client cannot ask them"
            }
            None => "the same call without dry_run does it",
        };
        Self {
            job: None,
            tool: tool.to_owned(),
            host,
            target,
            state: PLANNED,
            started: None,
            ended: None,
            results: vec![],
            plan: vec![],
            more: 0,
            confirm,
            steps: 0,
            rolled_back: false,
            note: None,
            joined: false,
            next: Some(next.to_owned()),
        }
    }
}

/// What is on record about a job; waits for its end at most so long.
pub(super) async fn get(
    context: &ToolContext,
    id: OperationId,
    wait: Duration,
) -> Result<ChangeRecord, ToolError> {
    // Who is behind hears of a later state.
    let told = |record: &ChangeRecord| {
        context.progress.say(|| told(record));
    };
    let found = context.directory.changes().watch(id, wait, told).await?;
    found.ok_or_else(|| {
        ToolError::new(ErrorKind::NotFound, format!("there is no job {id}")).with_hint("job_list shows them.")
    })
}

/// How far a job is, in a line.
fn told(record: &ChangeRecord) -> String {
    let steps = record.change.steps().len();
    let done = record.steps.iter().filter(|step| step.state != StepState::Intended).count();
    let now = record.steps.iter().rfind(|step| step.state == StepState::Intended);
    let now = now.map(|step| format!(", now {}", step.name)).unwrap_or_default();
    let waits = record.words.as_ref().map(|words| format!(" ({})", text(words))).unwrap_or_default();
    format!("{done} of {steps} steps on {}{now}{waits}", record.machine.host)
}

impl From<JournalError> for ToolError {
    fn from(error: JournalError) -> Self {
        let hint = match &error {
            JournalError::Full { .. } => "Make room; reads go on meanwhile.",
            JournalError::Held { .. } => "Ask that one, or stop it.",
            _ => "Reads go on; changes are made again when the journal can be written.",
        };
        Self::new(ErrorKind::JournalUnavailable, error.to_string()).with_hint(hint)
    }
}

/// What is named, by its type's own rule.
pub(super) fn names<T>(texts: &[String]) -> Result<Vec<T>, ToolError>
where
    T: FromStr<Err = InvalidName> + PartialEq,
{
    let mut names: Vec<T> = vec![];
    for text in texts {
        let name = text.parse()?;
        // Twice the same is once.
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// So many seconds containers get to become healthy when nothing else is said.
pub(super) const fn usual_patience() -> u32 {
    60
}

/// How long containers get to become healthy, as it was asked for; `None` does not wait.
pub(super) fn patience(seconds: u32) -> Result<Option<u32>, ToolError> {
    if seconds > LONGEST_PATIENCE {
        let message = format!("wait_healthy: at most {LONGEST_PATIENCE} s");
        return Err(ToolError::new(ErrorKind::InvalidArguments, message));
    }
    Ok((seconds > 0).then_some(seconds))
}

/// How long a container may take to stop, as it was asked for.
pub(super) fn grace(timeout: Option<u32>) -> Result<Option<u32>, ToolError> {
    match timeout {
        Some(seconds) if seconds > LONGEST_GRACE => {
            Err(ToolError::new(ErrorKind::InvalidArguments, format!("timeout: at most {LONGEST_GRACE} s")))
        }
        timeout => Ok(timeout),
    }
}

/// How long a caller waits for the end of what it began.
pub(super) fn wait_within(seconds: Option<u64>) -> Duration {
    Duration::from_secs(seconds.unwrap_or(DEFAULT_WAIT).min(LONGEST_WAIT))
}

/// The job of this name.
pub(super) fn id(text: &str) -> Result<OperationId, ToolError> {
    text.parse().map_err(|error: crate::domain::operation::InvalidOperationId| {
        ToolError::new(ErrorKind::InvalidArguments, error.to_string()).with_hint("job_list shows them.")
    })
}
