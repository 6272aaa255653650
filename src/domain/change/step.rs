//! The steps of changes, a family for each kind of thing they are made to.

use super::prune::PruneKind;
use crate::domain::container::ContainerName;
use crate::domain::image::ImageName;
use crate::domain::run::RunSpec;
use std::fmt;
use std::time::Duration;

/// How long containers get to stop when nothing else is said: the engine's own default.
pub const STOP_GRACE: Duration = Duration::from_secs(10);

/// Beyond the time a container gets to stop, an engine takes this long to do what it was asked to.
pub const ENGINE_LAG: Duration = Duration::from_secs(10);

/// An image of some gigabytes over a slow line.
const DOWNLOAD: Duration = Duration::from_secs(1800);

/// A prune of many things on a slow disk.
const SWEEP: Duration = Duration::from_secs(600);

/// What an engine may take for anything else, beyond what it may still be at.
const CALL: Duration = Duration::from_secs(30);

/// One step of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// To a container.
    Container(ContainerStep),
    /// To an image.
    Image(ImageStep),
    /// Remove what is unused of a kind.
    Prune(PruneKind),
}

/// A step that is made to a container.
#[derive(Debug, Clone, PartialEq)]
pub enum ContainerStep {
    /// Start it, or let it go on.
    Start(ContainerName),
    /// Stop it.
    Stop(ContainerName, Option<u32>),
    /// Stop and start it.
    Restart(ContainerName, Option<u32>),
    /// Remove it.
    Remove {
        /// Which.
        container: ContainerName,
        /// A running one too.
        force: bool,
        /// Its anonymous volumes too.
        volumes: bool,
    },
    /// Make one.
    Create(Box<RunSpec>),
    /// Start the one made before.
    StartCreated,
}

/// A step that is made to an image.
#[derive(Debug, Clone, PartialEq)]
pub enum ImageStep {
    /// Have it, pulled when there is none of the name.
    Fetch(ImageName),
    /// Pull it.
    Pull(ImageName, Option<String>),
}

impl From<ContainerStep> for Step {
    fn from(step: ContainerStep) -> Self {
        Self::Container(step)
    }
}

impl From<ImageStep> for Step {
    fn from(step: ImageStep) -> Self {
        Self::Image(step)
    }
}

impl Step {
    /// Whether what it made can be undone.
    pub const fn is_undoable(&self) -> bool {
        // What a fetched image takes is room, and another container may use it by now.
        matches!(self, Self::Container(ContainerStep::Create(_)))
    }

    /// Whether it is made to what was there before the change: then to nothing else than what was seen when the
    /// change was permitted.
    pub const fn is_bound(&self) -> bool {
        match self {
            Self::Container(step) => !matches!(step, ContainerStep::Create(_) | ContainerStep::StartCreated),
            Self::Prune(_) => true,
            Self::Image(_) => false,
        }
    }

    /// Whether it ends with the connection it is asked for over, and can be broken off so.
    pub fn ends_with_its_connection(&self) -> bool {
        self.lasts().is_zero()
    }

    /// Whether it may take as long as a download does.
    pub const fn is_long(&self) -> bool {
        matches!(self, Self::Image(ImageStep::Fetch(_) | ImageStep::Pull(..)) | Self::Prune(_))
    }

    /// How long the engine may still be at it after whoever asked has gone.
    pub fn lasts(&self) -> Duration {
        match self {
            Self::Container(step) => step.lasts(),
            Self::Image(ImageStep::Fetch(_) | ImageStep::Pull(..)) => Duration::ZERO,
            Self::Prune(_) => ENGINE_LAG,
        }
    }

    /// How long it may take.
    pub fn limit(&self) -> Duration {
        match self {
            Self::Image(ImageStep::Fetch(_) | ImageStep::Pull(..)) => DOWNLOAD,
            Self::Prune(_) => SWEEP,
            Self::Container(_) => self.lasts() + CALL,
        }
    }
}

impl ContainerStep {
    fn lasts(&self) -> Duration {
        match self {
            Self::Stop(_, grace) | Self::Restart(_, grace) => {
                grace.map_or(STOP_GRACE, |grace| Duration::from_secs(grace.into())) + ENGINE_LAG
            }
            Self::Start(_) | Self::Remove { .. } | Self::Create(_) | Self::StartCreated => ENGINE_LAG,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(step) => step.fmt(f),
            Self::Image(step) => step.fmt(f),
            Self::Prune(kind) => write!(f, "prune {}", kind.word()),
        }
    }
}

impl fmt::Display for ContainerStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(name) => write!(f, "start {name}"),
            Self::Stop(name, _) => write!(f, "stop {name}"),
            Self::Restart(name, _) => write!(f, "restart {name}"),
            Self::Remove { container, .. } => write!(f, "remove {container}"),
            Self::Create(_) => f.write_str("create"),
            Self::StartCreated => f.write_str("start"),
        }
    }
}

impl fmt::Display for ImageStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch(image) => write!(f, "fetch {image}"),
            Self::Pull(image, _) => write!(f, "pull {image}"),
        }
    }
}
