//! The steps of making a container anew. Until the new one has proved itself the old one is there, stopped and under
//! another name; what is undone ends with the old one in its place. Nothing is taken from the new one while there is
//! no old one to go back to.

use super::container::{
    affected, all_ours, id_of, made, ours, removed, runs, same, seen, started, unless_gone, until_removed,
    was,
};
use super::{Found, Hands, Look, health, name};
use crate::domain::change::{Affected, Before, Made, RecreateStep, STOP_GRACE};
use crate::domain::container::ContainerName;
use crate::domain::image::ImageName;
use crate::engine::containers::ContainerDetail;
use crate::engine::{Engine, EngineError};

/// What stands behind the name of the new one until it has the name, and behind that of the old one since; the
/// operation's own name follows.
const NEW: &str = "-dockmaster-new-";
const OLD: &str = "-dockmaster-old-";

pub(super) async fn survey(engine: &Engine, step: &RecreateStep) -> Result<Vec<Affected>, EngineError> {
    let RecreateStep::Pull { container, image } = step else { return Ok(vec![]) };
    let found = engine.container(container).await?;
    fit(engine, &found, image.as_ref()).await?;
    Ok(vec![affected(found)])
}

/// Whether the container can be made anew; returns the image to make it from.
async fn fit(
    engine: &Engine,
    found: &ContainerDetail,
    image: Option<&ImageName>,
) -> Result<ImageName, EngineError> {
    let unfit = |why: &str| EngineError::Unfit(format!("{} cannot be made anew: {why}", found.name));
    if found.auto_remove {
        return Err(unfit("it goes when it stops (--rm), and there would be nothing to go back to"));
    }
    if !matches!(&*found.state, "running" | "restarting" | "exited" | "created") {
        return Err(unfit(&format!("it is {}", found.state)));
    }
    let sharers = engine.sharers(&found.id, &found.name).await?;
    if !sharers.is_empty() {
        let sharers = sharers.join(", ");
        return Err(unfit(&format!(
            "{sharers} would lose its network, processes or memory, which they share"
        )));
    }
    if let Some(image) = image {
        return Ok(image.clone());
    }
    let nameless = found.image.is_empty() || found.image_id.contains(&found.image);
    let named = found.image.parse().ok().filter(|_| !nameless);
    named.ok_or_else(|| unfit("its image has no name that could be pulled; tell one as image"))
}

pub(super) async fn look(hands: &Hands<'_>, step: &RecreateStep) -> Result<Look, EngineError> {
    let engine = hands.engine;
    Ok(match step {
        RecreateStep::Pull { container, image } => {
            let (found, before) = seen(engine, container).await?;
            fit(engine, &found, image.as_ref()).await?;
            Look::Todo(before)
        }
        RecreateStep::Create { .. } => Look::Todo(Before::Nothing),
        RecreateStep::Connect => {
            let missing = engine.missing_networks(old(hands)?.as_str(), hands.created()?.as_str()).await?;
            if missing.is_empty() {
                Look::Already(Before::Nothing, Made::default())
            } else {
                Look::Todo(Before::Nothing)
            }
        }
        RecreateStep::Stop => {
            let (found, before) = seen(engine, &old(hands)?).await?;
            if runs(&found) { Look::Todo(before) } else { Look::Already(before, same(&found)) }
        }
        RecreateStep::SetAside => Look::Todo(seen(engine, &old(hands)?).await?.1),
        RecreateStep::Rename => Look::Todo(seen(engine, &hands.created()?).await?.1),
        RecreateStep::Start | RecreateStep::Settle { .. } => {
            let (found, before) = seen(engine, &hands.created()?).await?;
            // What did not run before is not started, and has nothing to prove.
            if ran(hands) { Look::Todo(before) } else { Look::Already(before, same(&found)) }
        }
        RecreateStep::RemoveOld => match seen(engine, &old(hands)?).await {
            Err(EngineError::NotFound(_)) => Look::Already(first(hands).clone(), removed(first(hands))),
            found => Look::Todo(found?.1),
        },
    })
}

pub(super) async fn act(
    hands: &Hands<'_>,
    step: &RecreateStep,
    before: &Before,
) -> Result<Option<Made>, EngineError> {
    let (engine, id) = (hands.engine, id_of(before));
    match step {
        RecreateStep::Pull { image, .. } => {
            let found = engine.container(&name(id)?).await?;
            let image = fit(engine, &found, image.as_ref()).await?;
            engine.pull(&image, None).await?;
            return Ok(Some(pulled(&found, engine.image_id(&image).await?)));
        }
        RecreateStep::Create { image } => {
            let found = engine.container(&old(hands)?).await?;
            let image = fit(engine, &found, image.as_ref()).await?;
            let labels = hands.labels(&step.clone().into());
            let called = format!("{}{NEW}{}", found.name, hands.operation);
            let id = match engine.remake(&found.id, &image, &called, &labels).await {
                // Its name is taken: by itself, when this was done before.
                Err(EngineError::Refused { status: 409, message }) => match ours(hands).await? {
                    Some(id) => id,
                    None => return Err(EngineError::Refused { status: 409, message }),
                },
                created => created?,
            };
            return Ok(Some(Made { id: Some(id), ..Made::default() }));
        }
        RecreateStep::Connect => {
            let (old, new) = (old(hands)?, hands.created()?);
            for network in engine.missing_networks(old.as_str(), new.as_str()).await? {
                engine.connect_as(old.as_str(), new.as_str(), &network).await?;
            }
            return Ok(Some(Made::default()));
        }
        RecreateStep::Stop => engine.stop(id, None).await?,
        RecreateStep::SetAside => {
            let found = engine.container(&name(id)?).await?;
            let aside = format!("{}{OLD}{}", plain(hands, &found), hands.operation);
            rename(engine, &found, &aside).await?;
        }
        RecreateStep::Rename => {
            let found = engine.container(&name(id)?).await?;
            rename(engine, &found, plain(hands, &found)).await?;
        }
        RecreateStep::Start => engine.start(id).await?,
        RecreateStep::Settle { patience } => {
            return health::settle(engine, before, *patience, true).await.map(Some);
        }
        RecreateStep::RemoveOld => {
            let gone = match engine.remove(id, true, false).await {
                Err(EngineError::NotFound(_)) => Ok(()),
                // What was asked for before the line broke is under way still.
                Err(EngineError::Refused { status: 409, message })
                    if message.contains("already in progress") =>
                {
                    until_removed(engine, id).await
                }
                gone => gone,
            };
            return match gone {
                Ok(()) => Ok(Some(removed(before))),
                // The new one is there and well: that the old one stays is no reason to go back.
                Err(error @ (EngineError::Refused { .. } | EngineError::Failed(_))) => {
                    let left = format!("the old container {}: {error}", &id[..id.len().min(12)]);
                    Ok(Some(Made { left: vec![left], ..Made::default() }))
                }
                Err(error) => Err(error),
            };
        }
    }
    Ok(None)
}

pub(super) async fn probe(
    hands: &Hands<'_>,
    step: &RecreateStep,
    before: &Before,
) -> Result<Found, EngineError> {
    let engine = hands.engine;
    match step {
        RecreateStep::Create { .. } => {
            let made = |id| Found::Made(Made { id: Some(id), ..Made::default() });
            return Ok(ours(hands).await?.map_or(Found::NotYet, made));
        }
        RecreateStep::Connect => {
            let missing = engine.missing_networks(old(hands)?.as_str(), hands.created()?.as_str()).await?;
            return Ok(if missing.is_empty() { Found::Made(Made::default()) } else { Found::NotYet });
        }
        _ => {}
    }
    let found = match engine.container(&name(id_of(before))?).await {
        Ok(found) => found,
        Err(EngineError::NotFound(_)) if *step == RecreateStep::RemoveOld => {
            return Ok(Found::Made(removed(before)));
        }
        Err(EngineError::NotFound(words)) => return Ok(Found::Gone(words)),
        Err(error) => return Err(error),
    };
    let happened = match step {
        RecreateStep::Pull { image, .. } => {
            let image = fit(engine, &found, image.as_ref()).await?;
            let id = engine.image_id(&image).await?;
            // The same image may have been pulled again: pulling once more does no harm.
            let is_newer = id.as_ref().is_some_and(|id| *id != found.image_id);
            return Ok(if is_newer { Found::Made(pulled(&found, id)) } else { Found::NotYet });
        }
        RecreateStep::Stop => !runs(&found),
        RecreateStep::SetAside => plain(hands, &found) != found.name,
        RecreateStep::Rename => plain(hands, &found) == found.name,
        RecreateStep::Start => found.state == "running" || found.started_at != started(before),
        RecreateStep::Settle { .. } => return Ok(health::probe(before, &found, true)),
        RecreateStep::RemoveOld | RecreateStep::Create { .. } | RecreateStep::Connect => false,
    };
    Ok(if happened { Found::Made(made(before, &found)) } else { Found::NotYet })
}

pub(super) async fn undo(hands: &Hands<'_>, step: &RecreateStep, before: &Before) -> Result<(), EngineError> {
    let engine = hands.engine;
    let old = match engine.container(&old(hands)?).await {
        Ok(found) if !matches!(&*found.state, "removing" | "dead") => found,
        Ok(_) | Err(EngineError::NotFound(_)) => {
            let words = "the old container has gone, and the new one was left as it is";
            return Err(EngineError::Unfit(words.to_owned()));
        }
        Err(error) => return Err(error),
    };
    match step {
        RecreateStep::Create { .. } => {
            for id in all_ours(hands).await? {
                // Volumes stay: they may be the old one's.
                unless_gone(engine.remove(&id, true, false).await)?;
            }
        }
        RecreateStep::Start => {
            let grace = u32::try_from(STOP_GRACE.as_secs()).unwrap_or_default();
            unless_gone(engine.stop(hands.created()?.as_str(), Some(grace)).await)?;
        }
        RecreateStep::Rename => {
            let new = match engine.container(&hands.created()?).await {
                Err(EngineError::NotFound(_)) => return Ok(()),
                found => found?,
            };
            let called = format!("{}{NEW}{}", plain(hands, &old), hands.operation);
            rename(engine, &new, &called).await?;
        }
        RecreateStep::SetAside => rename(engine, &old, plain(hands, &old)).await?,
        RecreateStep::Stop if matches!(was(before), "running" | "restarting") => {
            engine.start(&old.id).await?;
        }
        _ => {}
    }
    Ok(())
}

pub(super) async fn after(
    hands: &Hands<'_>,
    step: &RecreateStep,
    before: &Before,
) -> Result<Made, EngineError> {
    match hands.engine.container(&name(id_of(before))?).await {
        Ok(found) => Ok(made(before, &found)),
        Err(EngineError::NotFound(_)) if *step == RecreateStep::Stop => Ok(removed(before)),
        Err(error) => Err(error),
    }
}

/// What there was before the first step: the old container.
fn first<'a>(hands: &'a Hands<'_>) -> &'a Before {
    hands.earlier.first().map_or(&Before::Nothing, |earlier| &earlier.before)
}

/// The old container, by identifier.
fn old(hands: &Hands<'_>) -> Result<ContainerName, EngineError> {
    name(id_of(first(hands)))
}

/// Whether the old one ran before it was stopped.
fn ran(hands: &Hands<'_>) -> bool {
    let step = RecreateStep::Stop.to_string();
    let stopped = hands.earlier.iter().find(|earlier| earlier.step == step);
    stopped.is_some_and(|earlier| matches!(was(&earlier.before), "running" | "restarting"))
}

/// The name of a container without what this operation put behind it.
fn plain<'a>(hands: &Hands<'_>, found: &'a ContainerDetail) -> &'a str {
    let ends = [NEW, OLD].map(|kind| format!("{kind}{}", hands.operation));
    let plain = ends.iter().find_map(|end| found.name.strip_suffix(&**end));
    plain.unwrap_or(&found.name)
}

/// An engine refuses to call a container what it is called.
async fn rename(engine: &Engine, found: &ContainerDetail, to: &str) -> Result<(), EngineError> {
    if found.name == to { Ok(()) } else { engine.rename(&found.id, &name(to)?).await }
}

fn pulled(found: &ContainerDetail, image: Option<String>) -> Made {
    Made {
        id: Some(found.id.clone()),
        old_image: Some(found.image_id.clone()),
        new_image: image,
        ..Made::default()
    }
}
