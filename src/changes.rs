//! Floor 3: making changes, one step at a time. Each step looks before it acts, acts on what it saw by
//! identity, and can find out afterwards whether it happened. A module for each family of steps.

mod build;
mod container;
mod copy;
mod health;
mod image;
mod means;
mod network;
mod prune;
mod recreate;
mod volume;

pub use container::affected as container_affected;
pub use means::{Means, Source};

use crate::domain::change::{Affected, Before, Made, RecreateStep, Step};
use crate::domain::container::ContainerName;
use crate::domain::operation::OperationId;
use crate::engine::{Engine, EngineError};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What is created bears the operation and the step that made it.
pub const OPERATION_LABEL: &str = "dockmaster.operation";
const STEP_LABEL: &str = "dockmaster.step";

/// The name of the steps that make a container.
const CREATE: &str = "create";

/// What a look before the act found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Look {
    /// It is to be done.
    Todo(Before),
    /// It is so already: there is nothing to do.
    Already(Before, Made),
}

/// What a look after an interruption found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
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
    /// What else it may use.
    pub means: &'a dyn Means,
    /// The steps that were made before, in their order.
    pub earlier: Vec<Earlier>,
    /// The time, by which things are old.
    pub now: Timestamp,
}

/// A step that was made before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// Its name.
    pub step: String,
    /// What there was before it.
    pub before: Before,
    /// What came of it.
    pub made: Made,
}

/// What the steps would be made to, of what is there already. That one of several is not there is its step's to
/// find out; that none is, is an error.
pub async fn survey(engine: &Engine, steps: &[Step], now: Timestamp) -> Result<Vec<Affected>, EngineError> {
    let (mut affected, mut missing) = (Vec::<Affected>::new(), None);
    for step in steps {
        let found = match step {
            Step::Container(step) => container::survey(engine, step).await,
            Step::Image(step) => image::survey(engine, step).await,
            Step::Volume(step) => volume::survey(engine, step).await,
            Step::Network(step) => network::survey(engine, step).await,
            Step::Prune(kind, sieve) => prune::survey(engine, *kind, sieve, now).await,
            Step::Recreate(step) => recreate::survey(engine, step).await,
        };
        if let Err(error @ EngineError::NotFound(_)) = found {
            missing = Some(error);
            continue;
        }
        for thing in found? {
            // Named twice, by its name and by its identifier, it is one.
            if !affected.contains(&thing) {
                affected.push(thing);
            }
        }
    }
    match missing {
        Some(error) if affected.is_empty() => Err(error),
        _ => Ok(affected),
    }
}

impl Hands<'_> {
    /// Looks what there is before the step.
    pub async fn look(&self, step: &Step) -> Result<Look, EngineError> {
        match step {
            Step::Container(step) => container::look(self, step).await,
            Step::Image(step) => image::look(self, step).await,
            Step::Volume(step) => volume::look(self, step).await,
            Step::Network(step) => network::look(self, step).await,
            Step::Prune(kind, sieve) => prune::look(self, *kind, sieve).await,
            Step::Recreate(step) => recreate::look(self, step).await,
        }
    }

    /// What of that the step would be made to, as it is now: what is protected since is left alone. What is made anew
    /// is gone on with once it was stopped.
    pub async fn affected(&self, step: &Step, before: &Before) -> Result<Vec<Affected>, EngineError> {
        match step {
            Step::Recreate(RecreateStep::Pull { .. } | RecreateStep::Stop) => {
                let found = self.engine.container(&name(container::id_of(before))?).await?;
                Ok(vec![container_affected(found)])
            }
            _ => survey(self.engine, std::slice::from_ref(step), self.now).await,
        }
    }

    /// Makes the step; what came of it is told at once, or is to be seen by [`Self::after`].
    pub async fn act(&self, step: &Step, before: &Before) -> Result<Option<Made>, EngineError> {
        match self.ask(step, before).await {
            // Engines say no to what is so already, as when it was asked for before the line broke.
            Err(error @ EngineError::Refused { status: ..500, .. }) => match self.probe(step, before).await {
                Ok(Found::Made(made)) => Ok(Some(made)),
                _ => Err(error),
            },
            acted => acted,
        }
    }

    async fn ask(&self, step: &Step, before: &Before) -> Result<Option<Made>, EngineError> {
        match step {
            Step::Container(step) => container::act(self, step, before).await,
            Step::Image(step) => image::act(self, step, before).await,
            Step::Volume(step) => volume::act(self, step, before).await.map(Some),
            Step::Network(step) => network::act(self, step, before).await,
            Step::Prune(kind, sieve) => prune::act(self, *kind, sieve, before).await.map(Some),
            Step::Recreate(step) => recreate::act(self, step, before).await,
        }
    }

    /// Finds out whether the step was made. For those that the engine may still be at, not yet is only an
    /// answer when [`Step::lasts`] has passed.
    pub async fn probe(&self, step: &Step, before: &Before) -> Result<Found, EngineError> {
        match step {
            Step::Container(step) => container::probe(self, step, before).await,
            Step::Image(step) => image::probe(self, step, before).await,
            Step::Volume(step) => volume::probe(self, step, before).await,
            Step::Network(step) => network::probe(self, step, before).await,
            Step::Prune(kind, _) => prune::probe(self, *kind, before).await,
            Step::Recreate(step) => recreate::probe(self, step, before).await,
        }
    }

    /// Undoes the step, made or not; again does no harm.
    pub async fn undo(&self, step: &Step, before: &Before) -> Result<(), EngineError> {
        match step {
            Step::Container(step) => container::undo(self, step).await,
            Step::Volume(step) => volume::undo(self, step).await,
            Step::Image(_) | Step::Network(_) | Step::Prune(..) => Ok(()),
            Step::Recreate(step) => recreate::undo(self, step, before).await,
        }
    }

    /// How it is after an act that did not tell.
    pub async fn after(&self, step: &Step, before: &Before) -> Result<Made, EngineError> {
        match step {
            Step::Container(step) => container::after(self, step, before).await,
            Step::Image(step) => image::after(self, step, before).await,
            Step::Network(step) => network::after(self, step, before).await,
            Step::Volume(_) | Step::Prune(..) => Ok(Made::default()),
            Step::Recreate(step) => recreate::after(self, step, before).await,
        }
    }

    /// The container that an earlier step made, by identifier.
    fn created(&self) -> Result<ContainerName, EngineError> {
        let made = self.earlier.iter().find(|earlier| earlier.step == CREATE);
        name(made.and_then(|earlier| earlier.made.id.as_deref()).unwrap_or_default())
    }

    /// Whether an earlier step was made to the container.
    fn has_treated(&self, container: &str) -> bool {
        self.earlier.iter().any(|earlier| container::id_of(&earlier.before) == container)
    }

    fn labels(&self, step: &Step) -> BTreeMap<String, String> {
        BTreeMap::from([
            (OPERATION_LABEL.to_owned(), self.operation.to_string()),
            (STEP_LABEL.to_owned(), step.to_string()),
        ])
    }
}

/// An identifier as a name; an engine that told none has told nothing to act on.
fn name(id: &str) -> Result<ContainerName, EngineError> {
    id.parse().map_err(|_| EngineError::Garbled("it tells no identifier".to_owned()))
}
