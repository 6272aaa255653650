//! Jobs: changes as tools begin them and tell about them.

use super::audit::{self, Called};
use super::error::{ErrorKind, HostFailure, ToolError};
use super::keys;
use super::registry::ToolContext;
use super::shape::rfc3339;
use crate::actors::changes::{ChangeError, Wish};
use crate::actors::host::HostHandle;
use crate::domain::change::{Change, Made};
use crate::domain::container::ContainerName;
use crate::domain::operation::OperationId;
use crate::domain::policy::Policy;
use crate::domain::redact;
use crate::domain::saga::StepState;
use crate::journal::JournalError;
use crate::journal::record::{ChangeRecord, ChangeState, Receipt};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use std::time::Duration;

/// Below the minute after which clients give a call up.
pub(super) const DEFAULT_WAIT: u64 = 45;

/// A job waits so long for the line to its host before it begins.
const LINE_LIMIT: Duration = Duration::from_secs(30);

/// The longest that a container may take to stop.
const LONGEST_GRACE: u32 = 3600;

/// Longer than this nobody keeps a call open.
const LONGEST_WAIT: u64 = 600;

/// A job as tools show it.
#[expect(clippy::struct_field_names, reason = "the field is the job's name in every tool")]
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Job {
    /// By which `job_get` and `job_cancel` know it.
    pub(super) job: String,
    pub(super) tool: String,
    pub(super) host: String,
    /// What it is done to.
    pub(super) target: String,
    #[schemars(schema_with = "job_states")]
    pub(super) state: ChangeState,
    /// RFC 3339.
    pub(super) started: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<String>,
    /// The steps that have begun.
    pub(super) results: Vec<StepResult>,
    /// How many steps there are.
    pub(super) steps: usize,
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

/// A step of a job.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StepResult {
    /// What was to be done.
    pub(super) step: String,
    #[schemars(schema_with = "step_states")]
    pub(super) state: StepState,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// How a job stands.
fn job_states(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ChangeState::ALL})
}

/// How a step stands: intended is at work, or in doubt.
fn step_states(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": StepState::ALL})
}

/// What every tool takes that begins a job.
#[derive(Debug, Default)]
pub(super) struct JobParameters {
    pub(super) idempotency_key: Option<String>,
    /// In seconds.
    pub(super) wait: Option<u64>,
}

impl Job {
    pub(super) fn of(record: &ChangeRecord, joined: bool) -> Self {
        let results = record.steps.iter().map(|step| {
            let Made { id, before, after, removed, freed, left } = step.made.clone();
            StepResult {
                step: step.name.clone(),
                state: step.state,
                id,
                before,
                after,
                removed,
                freed,
                left: left.iter().map(|words| redact::text(words)).collect(),
                error: step.words.as_deref().map(redact::text),
            }
        });
        let next = match record.state {
            ChangeState::Running | ChangeState::Recovering => Some("job_get".to_owned()),
            ChangeState::Unknown => Some(format!("look at {} before doing it again", record.machine.host)),
            _ => None,
        };
        Self {
            job: record.id.to_string(),
            tool: record.change.word().to_owned(),
            host: record.machine.host.to_string(),
            target: record.change.target(),
            state: record.state,
            started: rfc3339(record.started),
            ended: record.ended.map(rfc3339),
            results: results.collect(),
            steps: record.change.steps().len(),
            note: record.words.as_deref().map(redact::text),
            joined,
            next,
        }
    }
}

/// Begins `change` on the host and waits for its end, as long as the caller wants to.
pub(super) async fn begin(
    context: &ToolContext,
    host: &str,
    change: Change,
    parameters: JobParameters,
) -> Result<Job, ToolError> {
    let host = context.directory.host(host)?;
    let (masked, _) = change.masked();
    let arguments = serde_json::to_value(&masked).unwrap_or_default();
    let called = Called { host: Some(host.spec().id.to_string()), arguments: arguments.clone() };
    let refuse = async |error| audit::refused(context, &called, error).await;
    if let Err(error) = permit(context, &host, &change).and_then(|()| check(&change, &parameters)) {
        return Err(refuse(error).await);
    }
    // With the line its engine is known, which other names of it may hold to a stricter policy.
    let session = match host.session(LINE_LIMIT).await {
        Ok(session) => session,
        Err(error) => return Err(refuse(failure(context, &host, &ChangeError::Host(error))).await),
    };
    if let Err(error) = permit(context, &host, &change) {
        return Err(refuse(error).await);
    }
    let JobParameters { idempotency_key: key, wait } = parameters;
    let wish = Wish { change, asker: context.asker.clone(), key, arguments };
    let desk = context.directory.changes();
    let (id, receipt) = match desk.begin(&host, &session, wish).await {
        Ok(begun) => begun,
        Err(error) => return Err(refuse(failure(context, &host, &error)).await),
    };
    let wait = Duration::from_secs(wait.unwrap_or(DEFAULT_WAIT).min(LONGEST_WAIT));
    let record = get(context, id, wait).await?;
    Ok(Job::of(&record, receipt != Receipt::Written))
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
    let waits = record.words.as_ref().map(|words| format!(" ({})", redact::text(words))).unwrap_or_default();
    format!("{done} of {steps} steps on {}{now}{waits}", record.machine.host)
}

/// Whether the host's policy permits the change.
fn permit(context: &ToolContext, host: &HostHandle, change: &Change) -> Result<(), ToolError> {
    let id = &host.spec().id;
    let policy = context.directory.policy(id);
    if change.is_permitted(policy) {
        return Ok(());
    }
    let why = match policy {
        Policy::NoDestructive if change.is_destructive() => {
            "which permits nothing that loses data, configuration or availability"
        }
        Policy::NoDestructive => {
            "which permits no container that reaches what is not its own: no volume, no path, no network of the host"
        }
        Policy::ReadOnly | Policy::ReadWrite => "which permits no change",
    };
    let message = format!("{id} is held to {policy}, {why}; nothing was changed");
    Err(ToolError::new(ErrorKind::PolicyDenied, message)
        .with_hint(format!("A person can loosen it: dockmaster hosts edit {id} --policy rw.")))
}

fn check(change: &Change, parameters: &JobParameters) -> Result<(), ToolError> {
    let wrong = |words: String| Err(ToolError::new(ErrorKind::InvalidArguments, words));
    if change.steps().is_empty() {
        return wrong("there is nothing to do: name at least one".to_owned());
    }
    keys::check(parameters.idempotency_key.as_deref())
}

fn failure(context: &ToolContext, host: &HostHandle, error: &ChangeError) -> ToolError {
    match error {
        ChangeError::Host(error) => HostFailure::of(host, error, context.directory.clock()).into(),
        ChangeError::Journal(error) => ToolError::from(error.clone()),
        ChangeError::KeyTaken(id) => ToolError::new(ErrorKind::Conflict, error.to_string())
            .with_hint(format!("job_get {id} shows it. Take another key for another wish.")),
    }
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

/// The containers of these names.
pub(super) fn containers(names: &[String]) -> Result<Vec<ContainerName>, ToolError> {
    let mut containers: Vec<ContainerName> = vec![];
    for name in names {
        let name = name.parse()?;
        // Twice the same is once.
        if !containers.contains(&name) {
            containers.push(name);
        }
    }
    Ok(containers)
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

/// The job of this name.
pub(super) fn id(text: &str) -> Result<OperationId, ToolError> {
    text.parse().map_err(|error: crate::domain::operation::InvalidOperationId| {
        ToolError::new(ErrorKind::InvalidArguments, error.to_string()).with_hint("job_list shows them.")
    })
}
