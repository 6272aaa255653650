//! Floor 3: making changes, one step at a time. Each step looks before it acts, acts on what it saw by
//! identity, and can find out afterwards whether it happened.

use crate::domain::change::{Before, Made, PruneKind, Step, Thing};
use crate::domain::container::ContainerName;
use crate::domain::operation::OperationId;
use crate::engine::containers::ContainerDetail;
use crate::engine::{Engine, EngineError};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;

/// What is created bears the operation and the step that made it.
pub const OPERATION_LABEL: &str = "dockmaster.operation";
const STEP_LABEL: &str = "dockmaster.step";

/// How often it is looked whether something that is under way has ended.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a look before the act found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// It is to be done.
    Todo(Before),
    /// It is so already: there is nothing to do.
    Already(Before, Made),
}

/// What a look after an interruption found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It was made.
    Made(Made),
    /// It was not made, as far as can be seen now: the engine may still be at it.
    NotYet,
    /// What it was to be made to has gone: it cannot be made any more.
    Gone(String),
}

/// A step of an operation on an engine.
pub struct Hands<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// The operation.
    pub operation: OperationId,
    /// The container that an earlier step made, by identifier.
    pub created: Option<String>,
    /// The containers that earlier steps were made to, by identifier.
    pub treated: Vec<String>,
}

impl Hands<'_> {
    /// Looks what there is before the step.
    pub async fn look(&self, step: &Step) -> Result<Look, EngineError> {
        Ok(match step {
            Step::Start(name) => {
                let (found, before) = self.container(name).await?;
                if found.state == "running" {
                    Look::Already(before, same(&found))
                } else {
                    Look::Todo(before)
                }
            }
            Step::Stop(name, _) => {
                let (found, before) = self.container(name).await?;
                let runs = matches!(&*found.state, "running" | "paused" | "restarting");
                if runs { Look::Todo(before) } else { Look::Already(before, same(&found)) }
            }
            Step::Restart(name, _) => {
                let (found, before) = self.container(name).await?;
                // Named twice, by its name and by its identifier, it is restarted once.
                if self.treated.contains(&found.id) {
                    Look::Already(before, same(&found))
                } else {
                    Look::Todo(before)
                }
            }
            Step::Remove { container: name, .. } => Look::Todo(self.container(name).await?.1),
            Step::Fetch(image) => match self.engine.image_id(image).await? {
                Some(id) => {
                    let made = Made { id: Some(id.clone()), ..Made::default() };
                    Look::Already(Before::Image { id: Some(id) }, made)
                }
                None => Look::Todo(Before::Image { id: None }),
            },
            Step::Pull(image, _) => Look::Todo(Before::Image { id: self.engine.image_id(image).await? }),
            Step::Create(_) => Look::Todo(Before::Nothing),
            Step::StartCreated => Look::Todo(self.container(&self.created()?).await?.1),
            Step::Prune(kind) => Look::Todo(Before::Things { things: self.engine.unused(*kind).await? }),
        })
    }

    /// Makes the step; what came of it is told at once, or is to be seen by [`Self::after`].
    pub async fn act(&self, step: &Step, before: &Before) -> Result<Option<Made>, EngineError> {
        let id = container_of(before);
        match step {
            Step::Start(_) | Step::StartCreated if was(before) == "paused" => self.engine.unpause(id).await?,
            Step::Start(_) | Step::StartCreated => self.engine.start(id).await?,
            Step::Stop(_, grace) => self.engine.stop(id, *grace).await?,
            Step::Restart(_, grace) => self.engine.restart(id, *grace).await?,
            Step::Remove { force, volumes, .. } => match self.engine.remove(id, *force, *volumes).await {
                Err(EngineError::NotFound(_)) => {}
                // What was asked for before the line broke is under way still.
                Err(EngineError::Refused { status: 409, message })
                    if message.contains("already in progress") =>
                {
                    self.until_removed(id).await?;
                }
                removed => removed?,
            },
            Step::Fetch(image) => self.engine.pull(image, None).await?,
            Step::Pull(image, platform) => self.engine.pull(image, platform.as_deref()).await?,
            Step::Create(spec) => {
                let id = match self.engine.create(spec, &self.labels(step)).await {
                    // Its name is taken: by itself, when this was done before.
                    Err(EngineError::Refused { status: 409, message }) => match self.ours().await? {
                        Some(id) => id,
                        None => return Err(EngineError::Refused { status: 409, message }),
                    },
                    created => created?,
                };
                // One that was asked for before the line broke, and came late.
                for other in self.all_ours().await?.into_iter().filter(|other| *other != id) {
                    self.remove_made(&other).await?;
                }
                return Ok(Some(Made { id: Some(id), ..Made::default() }));
            }
            Step::Prune(PruneKind::BuildCache) => {
                let freed = self.engine.prune_build_cache().await?;
                return Ok(Some(Made { freed: Some(freed), ..Made::default() }));
            }
            Step::Prune(kind) => return self.prune(*kind, before).await.map(Some),
        }
        Ok(None)
    }

    /// Finds out whether the step was made. For those that the engine may still be at, not yet is only an
    /// answer when [`Step::lasts`] has passed.
    pub async fn probe(&self, step: &Step, before: &Before) -> Result<Found, EngineError> {
        match step {
            Step::Start(_) | Step::StartCreated | Step::Stop(..) | Step::Restart(..) => {
                let found = match self.engine.container(&name(container_of(before))?).await {
                    Ok(found) => found,
                    // One with --rm goes when it stops.
                    Err(EngineError::NotFound(_)) if matches!(step, Step::Stop(..)) => {
                        return Ok(Found::Made(removed(before)));
                    }
                    Err(EngineError::NotFound(words)) => return Ok(Found::Gone(words)),
                    Err(error) => return Err(error),
                };
                let started_again = found.started_at != started(before);
                let happened = match step {
                    Step::Stop(..) => !matches!(&*found.state, "running" | "paused" | "restarting"),
                    Step::Restart(..) => started_again && found.state != "restarting",
                    _ => found.state == "running" || started_again,
                };
                Ok(if happened { Found::Made(made(before, &found)) } else { Found::NotYet })
            }
            Step::Remove { .. } => match self.engine.container(&name(container_of(before))?).await {
                Err(EngineError::NotFound(_)) => Ok(Found::Made(removed(before))),
                found => found.map(|_| Found::NotYet),
            },
            Step::Fetch(image) => Ok(match self.engine.image_id(image).await? {
                Some(id) => Found::Made(Made { id: Some(id), ..Made::default() }),
                None => Found::NotYet,
            }),
            Step::Pull(image, _) => {
                let id = self.engine.image_id(image).await?;
                let Before::Image { id: old } = before else { return Ok(Found::NotYet) };
                // The same image may have been pulled again: pulling once more does no harm.
                Ok(if id.is_some() && id != *old {
                    Found::Made(pulled(old.clone(), id))
                } else {
                    Found::NotYet
                })
            }
            Step::Create(_) => {
                let made = |id| Found::Made(Made { id: Some(id), ..Made::default() });
                Ok(self.ours().await?.map_or(Found::NotYet, made))
            }
            Step::Prune(PruneKind::BuildCache) => Ok(Found::NotYet),
            Step::Prune(kind) => {
                let Before::Things { things } = before else { return Ok(Found::NotYet) };
                for thing in things {
                    // One that is used by now has not gone either.
                    if self.engine.has(*kind, &thing.id).await? {
                        return Ok(Found::NotYet);
                    }
                }
                Ok(Found::Made(swept(things.iter())))
            }
        }
    }

    /// Undoes the step, made or not; again does no harm.
    pub async fn undo(&self, step: &Step) -> Result<(), EngineError> {
        if let Step::Create(_) = step {
            for id in self.all_ours().await? {
                self.remove_made(&id).await?;
            }
        }
        Ok(())
    }

    /// The container that this operation made.
    async fn ours(&self) -> Result<Option<String>, EngineError> {
        Ok(self.all_ours().await?.into_iter().next())
    }

    async fn all_ours(&self) -> Result<Vec<String>, EngineError> {
        self.engine.labelled(OPERATION_LABEL, &self.operation.to_string()).await
    }

    async fn remove_made(&self, id: &str) -> Result<(), EngineError> {
        match self.engine.remove(id, true, true).await {
            Err(EngineError::NotFound(_)) => Ok(()),
            removed => removed,
        }
    }

    /// Waits for a removal that is under way; the step's own time bounds it.
    async fn until_removed(&self, id: &str) -> Result<(), EngineError> {
        loop {
            match self.engine.container(&name(id)?).await {
                Err(EngineError::NotFound(_)) => return Ok(()),
                Err(error) => return Err(error),
                Ok(_) => sleep(LOOK_EVERY).await,
            }
        }
    }

    fn labels(&self, step: &Step) -> BTreeMap<String, String> {
        BTreeMap::from([
            (OPERATION_LABEL.to_owned(), self.operation.to_string()),
            (STEP_LABEL.to_owned(), step.to_string()),
        ])
    }

    async fn container(&self, name: &ContainerName) -> Result<(ContainerDetail, Before), EngineError> {
        let found = self.engine.container(name).await?;
        let ContainerDetail { id, state, started_at, .. } = found.clone();
        Ok((found, Before::Container { id, state, started_at }))
    }

    fn created(&self) -> Result<ContainerName, EngineError> {
        name(self.created.as_deref().unwrap_or_default())
    }

    /// How it is after an act on a container or an image.
    pub async fn after(&self, step: &Step, before: &Before) -> Result<Made, EngineError> {
        match (step, before) {
            (Step::Remove { .. }, _) => Ok(removed(before)),
            (Step::Fetch(image) | Step::Pull(image, _), Before::Image { id }) => {
                Ok(pulled(id.clone(), self.engine.image_id(image).await?))
            }
            _ => match self.engine.container(&name(container_of(before))?).await {
                Ok(found) => Ok(made(before, &found)),
                // One with --rm goes when it stops.
                Err(EngineError::NotFound(_)) => Ok(removed(before)),
                Err(error) => Err(error),
            },
        }
    }

    async fn prune(&self, kind: PruneKind, before: &Before) -> Result<Made, EngineError> {
        let Before::Things { things } = before else { return Ok(Made::default()) };
        let (mut gone, mut left) = (vec![], vec![]);
        for thing in things {
            match self.engine.remove_unused(kind, &thing.id).await {
                Ok(()) | Err(EngineError::NotFound(_)) => gone.push(thing),
                Err(error @ EngineError::Refused { .. }) => left.push(format!("{}: {error}", thing.name)),
                Err(error) => return Err(error),
            }
        }
        Ok(Made { left, ..swept(gone.into_iter()) })
    }
}

/// The identifier that a step acts on, by what was seen before.
fn container_of(before: &Before) -> &str {
    if let Before::Container { id, .. } = before { id } else { "" }
}

fn was(before: &Before) -> &str {
    if let Before::Container { state, .. } = before { state } else { "" }
}

fn started(before: &Before) -> &str {
    if let Before::Container { started_at, .. } = before { started_at } else { "" }
}

/// An identifier as a name; an engine that told none has told nothing to act on.
fn name(id: &str) -> Result<ContainerName, EngineError> {
    id.parse().map_err(|_| EngineError::Garbled("it tells no identifier".to_owned()))
}

fn same(found: &ContainerDetail) -> Made {
    let state = Some(found.state.clone());
    Made { id: Some(found.id.clone()), before: state.clone(), after: state, ..Made::default() }
}

fn made(before: &Before, found: &ContainerDetail) -> Made {
    let was = Some(was(before).to_owned());
    Made { id: Some(found.id.clone()), before: was, after: Some(found.state.clone()), ..Made::default() }
}

fn removed(before: &Before) -> Made {
    let was = Some(was(before).to_owned());
    Made {
        id: Some(container_of(before).to_owned()),
        before: was,
        after: Some("removed".to_owned()),
        ..Made::default()
    }
}

fn pulled(before: Option<String>, after: Option<String>) -> Made {
    Made { id: after.clone(), before, after, ..Made::default() }
}

fn swept<'a>(things: impl Iterator<Item = &'a Thing> + Clone) -> Made {
    let freed = things.clone().filter_map(|thing| thing.bytes).sum();
    Made { removed: things.map(|thing| thing.name.clone()).collect(), freed: Some(freed), ..Made::default() }
}
