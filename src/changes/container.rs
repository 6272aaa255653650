//! Steps that are made to containers.

use super::{Found, Hands, Look, OPERATION_LABEL, health, name};
use crate::domain::change::{Affected, AffectedKind, Before, ContainerStep, Made};
use crate::domain::container::ContainerName;
use crate::domain::run::{LimitSpec, NANO_PER_MILLI, RunSpec};
use crate::engine::containers::ContainerDetail;
use crate::engine::{Engine, EngineError};
use std::time::Duration;
use tokio::time::sleep;

/// How often it is looked whether something that is under way has ended.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The container that the step would be made to.
pub(super) async fn survey(engine: &Engine, step: &ContainerStep) -> Result<Vec<Affected>, EngineError> {
    let container = match step {
        ContainerStep::Start(name)
        | ContainerStep::Stop(name, _)
        | ContainerStep::Pause(name)
        | ContainerStep::Kill(name)
        | ContainerStep::Restart(name, _)
        | ContainerStep::Remove { container: name, .. }
        | ContainerStep::Update(name, _)
        | ContainerStep::Rename(name, _)
        | ContainerStep::Settle(name, _) => name,
        ContainerStep::Create(spec) => return mounted(engine, spec).await,
        ContainerStep::StartCreated => return Ok(vec![]),
    };
    let found = engine.container(container).await?;
    let mut things = vec![];
    if let ContainerStep::Remove { volumes: true, .. } = step {
        for mount in found.mounts.iter().filter(|mount| mount.is_anonymous_volume()) {
            // There is never another one of its name; when it was made an old engine tells by what is in it.
            let found = there(engine, &mount.source).await?;
            things.extend(found.map(|volume| Affected { id: volume.name.clone(), ..volume }));
        }
    }
    things.insert(0, affected(found));
    Ok(things)
}

/// The volume of this name, where there is one. A name that is none of a volume is the engine's to refuse.
async fn there(engine: &Engine, name: &str) -> Result<Option<Affected>, EngineError> {
    let Ok(name) = name.parse() else { return Ok(None) };
    match engine.volume(&name).await {
        Ok(volume) => Ok(Some(super::volume::affected(volume))),
        Err(EngineError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The volumes that a new container would have, of those that are there.
async fn mounted(engine: &Engine, spec: &RunSpec) -> Result<Vec<Affected>, EngineError> {
    let mut found = vec![];
    for mount in spec.volumes.iter().filter(|mount| !mount.is_bind()) {
        found.extend(there(engine, &mount.source).await?);
    }
    Ok(found)
}

/// A container as what something would be made to.
pub fn affected(found: ContainerDetail) -> Affected {
    let ports = found.ports.iter().filter_map(|port| port.public).collect();
    Affected {
        state: Some(found.state),
        labels: found.labels,
        ports,
        ..Affected::new(AffectedKind::Container, found.id, found.name)
    }
}

pub(super) async fn look(hands: &Hands<'_>, step: &ContainerStep) -> Result<Look, EngineError> {
    Ok(match step {
        ContainerStep::Start(name) => {
            let (found, before) = seen(hands.engine, name).await?;
            if found.state == "running" { Look::Already(before, same(&found)) } else { Look::Todo(before) }
        }
        ContainerStep::Pause(name) => {
            let (found, before) = seen(hands.engine, name).await?;
            let is_paused = found.state == "paused";
            if is_paused { Look::Already(before, same(&found)) } else { Look::Todo(before) }
        }
        ContainerStep::Update(name, limits) => {
            let (found, before) = seen(hands.engine, name).await?;
            if has(&found, limits) { Look::Already(before, limited(&found)) } else { Look::Todo(before) }
        }
        ContainerStep::Rename(name, to) => {
            let (found, before) = seen(hands.engine, name).await?;
            let is_named = found.name == to.as_str();
            if is_named { Look::Already(before, renamed(&found)) } else { Look::Todo(before) }
        }
        ContainerStep::Stop(name, _) | ContainerStep::Kill(name) => {
            let (found, before) = seen(hands.engine, name).await?;
            if runs(&found) { Look::Todo(before) } else { Look::Already(before, same(&found)) }
        }
        ContainerStep::Restart(name, _) => {
            let (found, before) = seen(hands.engine, name).await?;
            // Named twice, by its name and by its identifier, it is restarted once.
            if hands.has_treated(&found.id) {
                Look::Already(before, same(&found))
            } else {
                Look::Todo(before)
            }
        }
        ContainerStep::Remove { container, .. } | ContainerStep::Settle(container, _) => {
            Look::Todo(seen(hands.engine, container).await?.1)
        }
        ContainerStep::Create(_) => Look::Todo(Before::Nothing),
        ContainerStep::StartCreated => Look::Todo(seen(hands.engine, &hands.created()?).await?.1),
    })
}

pub(super) async fn act(
    hands: &Hands<'_>,
    step: &ContainerStep,
    before: &Before,
) -> Result<Option<Made>, EngineError> {
    let (engine, id) = (hands.engine, id_of(before));
    match step {
        ContainerStep::Start(_) | ContainerStep::StartCreated if was(before) == "paused" => {
            engine.unpause(id).await?;
        }
        ContainerStep::Start(_) | ContainerStep::StartCreated => engine.start(id).await?,
        ContainerStep::Stop(_, grace) => engine.stop(id, *grace).await?,
        ContainerStep::Pause(_) => engine.pause(id).await?,
        ContainerStep::Kill(_) => engine.kill(id).await?,
        ContainerStep::Update(_, limits) => engine.update(id, limits).await?,
        ContainerStep::Rename(_, to) => engine.rename(id, to).await?,
        ContainerStep::Restart(_, grace) => engine.restart(id, *grace).await?,
        ContainerStep::Settle(_, patience) => {
            return health::settle(engine, before, *patience, false).await.map(Some);
        }
        ContainerStep::Remove { force, volumes, .. } => match engine.remove(id, *force, *volumes).await {
            Err(EngineError::NotFound(_)) => {}
            // What was asked for before the line broke is under way still.
            Err(EngineError::Refused { status: 409, message }) if message.contains("already in progress") => {
                until_removed(engine, id).await?;
            }
            removed => removed?,
        },
        ContainerStep::Create(spec) => {
            let labels = hands.labels(&step.clone().into());
            let id = engine.create(spec, &labels).await?;
            // One that was asked for before the line broke, and came late.
            for other in all_ours(hands).await?.into_iter().filter(|other| *other != id) {
                remove_made(engine, &other).await?;
            }
            return Ok(Some(Made { id: Some(id), ..Made::default() }));
        }
    }
    Ok(None)
}

pub(super) async fn probe(
    hands: &Hands<'_>,
    step: &ContainerStep,
    before: &Before,
) -> Result<Found, EngineError> {
    if let ContainerStep::Create(_) = step {
        let made = |id| Found::Made(Made { id: Some(id), ..Made::default() });
        return Ok(ours(hands).await?.map_or(Found::NotYet, made));
    }
    // One with --rm goes when it stops.
    let may_go =
        matches!(step, ContainerStep::Stop(..) | ContainerStep::Kill(_) | ContainerStep::Remove { .. });
    let found = match hands.engine.container(&name(id_of(before))?).await {
        Ok(found) => found,
        Err(EngineError::NotFound(_)) if may_go => return Ok(Found::Made(removed(before))),
        Err(EngineError::NotFound(words)) => return Ok(Found::Gone(words)),
        Err(error) => return Err(error),
    };
    let started_again = found.started_at != started(before);
    let happened = match step {
        ContainerStep::Stop(..) | ContainerStep::Kill(_) => !runs(&found),
        ContainerStep::Pause(_) => found.state == "paused",
        ContainerStep::Update(_, limits) => has(&found, limits),
        ContainerStep::Rename(_, to) => found.name == to.as_str(),
        ContainerStep::Restart(..) => started_again && found.state != "restarting",
        ContainerStep::Remove { .. } => false,
        ContainerStep::Settle(..) => return Ok(health::probe(before, &found, false)),
        _ => found.state == "running" || started_again,
    };
    Ok(if happened { Found::Made(outcome(step, before, &found)) } else { Found::NotYet })
}

/// What came of the step, by how the container is now.
fn outcome(step: &ContainerStep, before: &Before, found: &ContainerDetail) -> Made {
    match step {
        ContainerStep::Update(..) => limited(found),
        ContainerStep::Rename(..) => renamed(found),
        _ => made(before, found),
    }
}

pub(super) async fn undo(hands: &Hands<'_>, step: &ContainerStep) -> Result<(), EngineError> {
    if let ContainerStep::Create(_) = step {
        for id in all_ours(hands).await? {
            remove_made(hands.engine, &id).await?;
        }
    }
    Ok(())
}

pub(super) async fn after(
    hands: &Hands<'_>,
    step: &ContainerStep,
    before: &Before,
) -> Result<Made, EngineError> {
    if let ContainerStep::Remove { .. } = step {
        return Ok(removed(before));
    }
    match hands.engine.container(&name(id_of(before))?).await {
        Ok(found) => Ok(outcome(step, before, &found)),
        // One with --rm goes when it stops.
        Err(EngineError::NotFound(_)) => Ok(removed(before)),
        Err(error) => Err(error),
    }
}

pub(super) async fn seen(
    engine: &Engine,
    name: &ContainerName,
) -> Result<(ContainerDetail, Before), EngineError> {
    let found = engine.container(name).await?;
    let before = before(&found);
    Ok((found, before))
}

/// A container as it is before a step.
pub(super) fn before(found: &ContainerDetail) -> Before {
    let ContainerDetail { id, state, started_at, stop_timeout: grace, .. } = found.clone();
    Before::Container { id, state, started_at, grace }
}

/// The container that this operation made.
pub(super) async fn ours(hands: &Hands<'_>) -> Result<Option<String>, EngineError> {
    Ok(all_ours(hands).await?.into_iter().next())
}

pub(super) async fn all_ours(hands: &Hands<'_>) -> Result<Vec<String>, EngineError> {
    hands.engine.labelled(OPERATION_LABEL, &hands.operation.to_string()).await
}

async fn remove_made(engine: &Engine, id: &str) -> Result<(), EngineError> {
    unless_gone(engine.remove(id, true, true).await)
}

/// What has gone already need not be removed.
pub(super) fn unless_gone(removed: Result<(), EngineError>) -> Result<(), EngineError> {
    match removed {
        Err(EngineError::NotFound(_)) => Ok(()),
        removed => removed,
    }
}

/// Waits for a removal that is under way; the step's own time bounds it.
pub(super) async fn until_removed(engine: &Engine, id: &str) -> Result<(), EngineError> {
    loop {
        match engine.container(&name(id)?).await {
            Err(EngineError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
            Ok(_) => sleep(LOOK_EVERY).await,
        }
    }
}

pub(super) fn runs(found: &ContainerDetail) -> bool {
    matches!(&*found.state, "running" | "paused" | "restarting")
}

/// The identifier that a step acts on, by what was seen before.
pub(super) fn id_of(before: &Before) -> &str {
    if let Before::Container { id, .. } = before { id } else { "" }
}

pub(super) fn was(before: &Before) -> &str {
    if let Before::Container { state, .. } = before { state } else { "" }
}

pub(super) fn started(before: &Before) -> &str {
    if let Before::Container { started_at, .. } = before { started_at } else { "" }
}

/// Whether the container has these limits already.
fn has(found: &ContainerDetail, limits: &LimitSpec) -> bool {
    limits.memory.is_none_or(|memory| memory == found.limits.memory)
        && limits.milli_cpus.is_none_or(|cpus| cpus.saturating_mul(NANO_PER_MILLI) == found.limits.nano_cpus)
        && limits.restart.is_none_or(|restart| {
            let known = if found.restart_policy.is_empty() { "no" } else { &found.restart_policy };
            known == restart.word()
        })
}

/// A container's limits, in words.
fn limited(found: &ContainerDetail) -> Made {
    let cpus = found.limits.nano_cpus / NANO_PER_MILLI;
    let words = format!(
        "memory {} bytes, cpus {}.{:03}, restart {}",
        found.limits.memory,
        cpus / 1000,
        cpus % 1000,
        found.restart_policy
    );
    Made { id: Some(found.id.clone()), after: Some(words), ..Made::default() }
}

fn renamed(found: &ContainerDetail) -> Made {
    Made { id: Some(found.id.clone()), after: Some(found.name.clone()), ..Made::default() }
}

pub(super) fn same(found: &ContainerDetail) -> Made {
    let state = Some(found.state.clone());
    Made { id: Some(found.id.clone()), before: state.clone(), after: state, ..Made::default() }
}

pub(super) fn made(before: &Before, found: &ContainerDetail) -> Made {
    let was = Some(was(before).to_owned());
    Made { id: Some(found.id.clone()), before: was, after: Some(found.state.clone()), ..Made::default() }
}

pub(super) fn removed(before: &Before) -> Made {
    let was = Some(was(before).to_owned());
    Made {
        id: Some(id_of(before).to_owned()),
        before: was,
        after: Some("removed".to_owned()),
        ..Made::default()
    }
}
