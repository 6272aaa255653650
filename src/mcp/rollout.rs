//! Rollouts as tools begin them and tell about them: in the shape of a job, whose steps are jobs.

use super::audit::{self, Called};
use super::consent::{Asking, Next, Question, Wants};
use super::deed;
use super::error::{ErrorKind, HostFailure, ToolError};
use super::fleet::{Patience, gather, select};
use super::job::{Job, Planned, StepResult, wait_within};
use super::shape::{rfc3339, told};
use super::tool::{ToolContext, ToolOutput, planned, structured};
use crate::actors::changes::{NewRollout, Rollout, RolloutRecord, Target};
use crate::actors::operation::Operation;
use crate::changes::survey;
use crate::domain::change::{Affected, AffectedKind, Bound, list as listed};
use crate::domain::operation::OperationId;
use crate::domain::policy::Policy;
use crate::domain::rollout::{Fate, Pace, RolloutAction, Selection};
use crate::domain::saga::StepState;
use crate::domain::text::cut;
use crate::engine::EngineError;
use crate::journal::record::Verdict;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// More are no rollout that anybody has looked at.
const MOST_TARGETS: usize = 200;

/// Containers that are named in a question; the plan has them all.
const MOST_NAMED: usize = 20;

/// Hosts that are left out may be many, and each has a reason.
const LONGEST_NOTE: usize = 2_000;

/// A survey asks about each container.
const SURVEY: Duration = Duration::from_secs(20);

/// What a rollout is to be.
pub(super) struct Wanted {
    pub(super) action: RolloutAction,
    pub(super) selector: String,
    pub(super) selection: Selection,
    pub(super) hosts: String,
    pub(super) pace: Pace,
    /// Seconds each gets to become healthy.
    pub(super) patience: u32,
}

/// What a rollout would be made to.
struct Survey {
    targets: Vec<Target>,
    plan: Vec<Planned>,
    machines: Vec<String>,
    errors: Vec<HostFailure>,
}

/// Begins a rollout, or says what it would do or what has to be agreed to, and waits for its end at most so long.
pub(super) async fn roll_out(
    context: &ToolContext,
    wanted: Wanted,
    plans_only: bool,
    confirm: Option<&str>,
    wait: Option<u64>,
) -> Result<ToolOutput, ToolError> {
    let found = look(context, &wanted).await?;
    if found.targets.is_empty() {
        let mut words = format!("no container is to be {}", done(wanted.action));
        let kept =
            found.plan.iter().filter_map(|row| Some((row.host.as_ref()?, &row.name, row.kept.as_ref()?)));
        let kept: Vec<String> = kept.map(|(host, name, why)| format!("{name} on {host}: {why}")).collect();
        let errors = found.errors.iter().map(|error| format!("{}: {}", error.host, error.message));
        let kind = if kept.is_empty() { ErrorKind::NotFound } else { ErrorKind::PolicyDenied };
        for why in kept.into_iter().chain(errors) {
            words.push_str("; ");
            words.push_str(&why);
        }
        return Err(ToolError::new(kind, words)
            .with_hint("container_list shows what there is; stopped containers are only started."));
    }
    let Survey { targets, plan, machines, errors } = found;
    let Pace { batch, pause, max_failures } = wanted.pace;
    let bounds: Vec<_> =
        targets.iter().map(|target| json!([target.host.as_str(), target.change, target.bound])).collect();
    let deal = json!([context.asker.principal, context.tool, machines, bounds, batch, pause, max_failures])
        .to_string();
    let agreements = &context.agreements;
    let left_out: Vec<String> =
        errors.iter().map(|error| format!("{}: {}", error.host, error.message)).collect();
    let told = |token: String| Job::planned_rollout(&wanted, &targets, plan, &left_out, token);
    if plans_only {
        return planned(&told(agreements.seal(&deal)));
    }
    let next = agreements.once(&Wants::Yes, &context.consent, confirm, &deal)?;
    if let Next::Make(agreement) = next {
        if let Some(agreement) = agreement {
            // Set once: a call is agreed to once.
            let _ = context.agreed.set(agreement.words);
        }
        let what = told_of(&wanted);
        let arguments = json!({"rollout": what, "hosts": wanted.hosts});
        let asker = context.asker.clone();
        let new = NewRollout { what, targets, left_out, pace: wanted.pace, asker, arguments };
        let rollout = context.directory.changes().roll_out(new);
        return structured(&wait_for(context, &rollout, wait_within(wait)).await);
    }
    let token = agreements.seal(&deal);
    let question = Question { text: ask(&wanted, &targets, &errors), wants: Wants::Yes };
    let plan = told(token.clone());
    if next == Next::Plan {
        return planned(&plan);
    }
    let plan = serde_json::to_value(&plan).unwrap_or_default();
    Ok(ToolOutput::Asks(Box::new(Asking { question, token, plan })))
}

/// The rollout of this name, as a job, at its end or after so long.
pub(super) async fn get(context: &ToolContext, id: OperationId, wait: Duration) -> Option<Job> {
    let rollout = context.directory.changes().rollouts().get(id)?;
    Some(wait_for(context, &rollout, wait).await)
}

/// The rollouts of this process that are over or are not, or all; the newest first, without their parts.
pub(super) fn list(context: &ToolContext, ended: Option<bool>) -> Vec<Job> {
    let rollouts = context.directory.changes().rollouts().all().into_iter();
    let records = rollouts.map(|rollout| (rollout.record(), rollout));
    let meant = records.filter(|(record, _)| ended.is_none_or(|ended| record.state.is_final() == ended));
    meant.map(|(record, rollout)| Job { results: vec![], ..Job::of_rollout(&rollout, &record) }).collect()
}

/// Keeps further batches of a rollout from beginning; `None` when there is none of that name.
pub(super) async fn cancel(
    context: &ToolContext,
    id: OperationId,
    wait: Duration,
) -> Result<Option<Job>, ToolError> {
    let Some(rollout) = context.directory.changes().rollouts().get(id) else { return Ok(None) };
    let called = Called { host: None, arguments: json!({"job": id.to_string()}) };
    audit::write(context, &called, Verdict::Accepted, Some("no further batch begins".to_owned())).await?;
    rollout.cancel();
    Ok(Some(wait_for(context, &rollout, wait).await))
}

async fn wait_for(context: &ToolContext, rollout: &Arc<Rollout>, wait: Duration) -> Job {
    let all = rollout.plan().targets.len();
    let record = rollout
        .wait(wait, |record| {
            let ended =
                record.parts.iter().filter(|part| matches!(part.fate, Fate::Well | Fate::Failed)).count();
            context.progress.say(|| format!("{ended} of {all} containers"));
        })
        .await;
    Job::of_rollout(rollout, &record)
}

/// Finds the containers on each host, and what they are.
async fn look(context: &ToolContext, wanted: &Wanted) -> Result<Survey, ToolError> {
    let hosts = select(&context.directory, Some(&wanted.hosts))?;
    let (action, selection, patience) = (wanted.action, wanted.selection.clone(), wanted.patience);
    let now = context.directory.clock().now();
    let asked = move |operation: Operation| {
        let selection = selection.clone();
        async move {
            let (mut found, mut images) = (vec![], BTreeSet::new());
            let mut containers = operation.engine().containers().await?;
            containers.sort_unstable_by(|one, other| one.name.cmp(&other.name));
            for container in containers {
                if !action.is_for(&container.state) {
                    continue;
                }
                let image = match operation.engine().image_name(&container).await {
                    Ok(image) => image,
                    // It has gone meanwhile.
                    Err(EngineError::NotFound(_)) => continue,
                    Err(error) => return Err(error.into()),
                };
                if !selection.admits(&container.name, &image, &container.labels) {
                    continue;
                }
                let Ok(name) = container.name.parse() else { continue };
                let Some(change) = action.change(name, &image, patience) else {
                    found.push((container, Err("its image has no name to be pulled by".to_owned())));
                    continue;
                };
                // An image of several containers is pulled once.
                if action == RolloutAction::Pull && !images.insert(image) {
                    continue;
                }
                let looked = match survey(operation.engine(), &change.steps(), now).await {
                    Ok(affected) => Ok((change, affected)),
                    // The others are well fit.
                    Err(EngineError::Unfit(why)) => Err(why),
                    Err(error) => return Err(error.into()),
                };
                found.push((container, looked));
            }
            Ok((operation.machine(), found))
        }
    };
    let (answers, mut errors) = gather(Patience::Longer(SURVEY), context, &hosts, asked).await?;
    let (mut targets, mut plan, mut machines) = (vec![], vec![], vec![]);
    let mut seen = BTreeMap::new();
    for (host, (machine, found)) in answers {
        let id = &host.spec().id;
        let (policy, protection) = (context.directory.policy(id), context.directory.protection(id));
        machines.push(format!("{} {:?} {:?}", machine.endpoint, machine.engine, machine.host_key));
        for (container, looked) in found {
            // Clones of a machine have the same containers by name; their keys tell them apart.
            let what = (machine.engine.clone(), machine.host_key.clone(), container.id.clone());
            if let Some(name) = seen.get(&what) {
                let thing = Affected::new(AffectedKind::Container, container.id, container.name);
                let kept = Some(format!("it is the one on {name}, another name of the host"));
                plan.push(Planned { kept, ..Planned::on(id, &thing, None) });
                continue;
            }
            seen.insert(what, id.clone());
            let (change, affected) = match looked {
                Ok(fit) => fit,
                Err(why) => {
                    let thing = Affected::new(AffectedKind::Container, container.id, container.name);
                    plan.push(Planned { kept: Some(told(&why)), ..Planned::on(id, &thing, None) });
                    continue;
                }
            };
            if !change.is_permitted(policy) {
                let denied = deed::denied(
                    &context.directory,
                    id,
                    policy,
                    "which does not permit it; nothing was changed",
                );
                errors.push(HostFailure::plain(id.as_str(), denied));
                break;
            }
            let loses = !change.is_permitted(Policy::NoDestructive);
            let guarded = affected.iter().find_map(|thing| Some((thing, protection.of(thing)?)));
            if let (Some((thing, why)), true) = (guarded, loses) {
                plan.push(Planned::on(id, thing, Some(&why)));
                continue;
            }
            // A pull is made to nothing that is there: it is told for whom.
            let whose =
                || Affected::new(AffectedKind::Container, container.id.clone(), container.name.clone());
            let meant = if affected.is_empty() { vec![whose()] } else { affected.clone() };
            plan.extend(meant.iter().map(|thing| Planned::on(id, thing, None)));
            let bound = Bound::to(&affected);
            targets.push(Target { host: id.clone(), name: container.name, change, bound });
        }
    }
    if targets.len() > MOST_TARGETS {
        let words = format!(
            "{} containers are meant, and at most {MOST_TARGETS} at once; choose fewer",
            targets.len()
        );
        return Err(ToolError::new(ErrorKind::InvalidArguments, words));
    }
    Ok(Survey { targets, plan, machines, errors })
}

/// What becomes of a container, in a word.
fn done(action: RolloutAction) -> &'static str {
    match action {
        RolloutAction::Restart => "restarted",
        RolloutAction::Recreate => "made anew",
        RolloutAction::Pull => "pulled for",
        RolloutAction::Start => "started",
        RolloutAction::Stop => "stopped",
    }
}

fn ask(wanted: &Wanted, targets: &[Target], errors: &[HostFailure]) -> String {
    let mut named: Vec<String> =
        targets.iter().take(MOST_NAMED).map(|target| format!("{}/{}", target.host, target.name)).collect();
    if let more @ 1.. = targets.len().saturating_sub(MOST_NAMED) {
        named.push(format!("{more} more"));
    }
    let (action, batch) = (wanted.action.word(), wanted.pace.batch);
    let hosts: Vec<&str> = errors.iter().map(|error| error.host.as_str()).take(MOST_NAMED).collect();
    let without = if hosts.is_empty() { String::new() } else { format!(", without {}", listed(&hosts)) };
    told(&format!("rollout of {action}, {batch} at once: {}{without}. Do it?", named.join(", ")))
}

/// What is done to what, in words that may be kept.
fn told_of(wanted: &Wanted) -> String {
    told(&format!("{} {}", wanted.action.word(), wanted.selector))
}

/// How it ended, and what it leaves out; no more of that than an answer has room for.
fn note_of(words: Option<&str>, left_out: &[String]) -> Option<String> {
    let mut notes: Vec<&str> = words.into_iter().collect();
    notes.extend(left_out.iter().map(String::as_str));
    (!notes.is_empty()).then(|| cut(&told(&notes.join("; ")), LONGEST_NOTE).0.to_owned())
}

fn hosts_of(targets: &[Target]) -> String {
    let hosts: BTreeSet<&str> = targets.iter().map(|target| target.host.as_str()).collect();
    hosts.into_iter().collect::<Vec<_>>().join(", ")
}

impl Job {
    fn planned_rollout(
        wanted: &Wanted,
        targets: &[Target],
        plan: Vec<Planned>,
        left_out: &[String],
        token: String,
    ) -> Self {
        let mut notes = vec!["nothing was changed".to_owned()];
        notes.extend(left_out.iter().cloned());
        Self {
            steps: targets.len(),
            plan,
            note: Some(told(&notes.join("; "))),
            ..Self::plan_of("rollout", hosts_of(targets), told_of(wanted), Some(token))
        }
    }

    fn of_rollout(rollout: &Rollout, record: &RolloutRecord) -> Self {
        let plan = rollout.plan();
        let begun = plan.targets.iter().zip(&record.parts).filter(|(_, part)| part.fate != Fate::Waits);
        let results = begun.map(|(target, part)| {
            let state = match part.fate {
                Fate::Waits | Fate::AtWork => StepState::Intended,
                Fate::Well => StepState::Done,
                Fate::Failed => StepState::Failed,
            };
            StepResult {
                job: part.job.map(|job| job.to_string()),
                error: part.words.as_deref().map(told),
                ..StepResult::of(told(&format!("{}/{}", target.host, target.name)), state)
            }
        });
        Self {
            job: Some(record.id.to_string()),
            state: record.state.word(),
            started: Some(rfc3339(record.started)),
            ended: record.ended.map(rfc3339),
            results: results.collect(),
            steps: plan.targets.len(),
            note: note_of(record.words.as_deref(), &plan.left_out),
            next: (!record.state.is_final()).then(|| "job_get".to_owned()),
            ..Self::plan_of("rollout", hosts_of(&plan.targets), plan.what.clone(), None)
        }
    }
}
