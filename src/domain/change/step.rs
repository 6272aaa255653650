//! The steps of changes, a family for each kind of thing they are made to.

use super::prune::{PruneKind, Sieve};
use super::record::Before;
use super::recreate::RecreateStep;
use crate::domain::build::BuildSpec;
use crate::domain::container::ContainerName;
use crate::domain::host::HostId;
use crate::domain::image::{ImageName, Platform};
use crate::domain::run::{LimitSpec, RunSpec};
use crate::domain::thing::{NetworkName, NetworkSpec, VolumeName, VolumeSpec};
use std::fmt;
use std::time::Duration;

/// How long containers get to stop when nothing else is said: the engine's own default.
pub const STOP_GRACE: Duration = Duration::from_secs(10);

/// Seconds a container may get to stop at most. One that says more of itself is given up by then.
pub const LONGEST_GRACE: u32 = 3600;

/// Beyond the time a container gets to stop, an engine takes this long to do what it was asked to.
pub const ENGINE_LAG: Duration = Duration::from_secs(10);

/// An image of some gigabytes over a slow line.
const TRANSFER: Duration = Duration::from_secs(1800);

/// A volume of a terabyte over a good line. No step takes longer; one that is stuck can be cancelled.
pub const COPY: Duration = Duration::from_secs(6 * 3600);

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
    /// To a volume.
    Volume(VolumeStep),
    /// To a network.
    Network(NetworkStep),
    /// Remove what is unused of a kind, but for some.
    Prune(PruneKind, Sieve),
    /// Of making a container anew.
    Recreate(RecreateStep),
}

/// A step that is made to a container.
#[derive(Debug, Clone, PartialEq)]
pub enum ContainerStep {
    /// Start it, or let it go on.
    Start(ContainerName),
    /// Stop it.
    Stop(ContainerName, Option<u32>),
    /// Freeze it.
    Pause(ContainerName),
    /// End it at once.
    Kill(ContainerName),
    /// Stop and start it.
    Restart(ContainerName, Option<u32>),
    /// Change what it may use.
    Update(ContainerName, LimitSpec),
    /// Give it another name.
    Rename(ContainerName, ContainerName),
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
    /// Wait until it is healthy, at most so many seconds.
    Settle(ContainerName, u32),
}

/// A step that is made to an image.
#[derive(Debug, Clone, PartialEq)]
pub enum ImageStep {
    /// Have it, pulled when there is none of the name.
    Fetch(ImageName),
    /// Pull it.
    Pull(ImageName, Option<Platform>),
    /// Build it.
    Build(Box<BuildSpec>),
    /// Have the one that another host has under the name.
    Copy(ImageName, HostId),
    /// Send it to its registry.
    Push(ImageName),
    /// Give it another name.
    Tag(ImageName, ImageName),
    /// Remove a name of it, and with the last one itself.
    Remove(ImageName, bool),
}

/// A step that is made to a volume.
#[derive(Debug, Clone, PartialEq)]
pub enum VolumeStep {
    /// Make it.
    Create(VolumeSpec),
    /// Remove it.
    Remove(VolumeName),
    /// Have an empty one, to copy into.
    Prepare {
        /// Which is copied.
        source: VolumeName,
        /// From which host.
        from: HostId,
        /// Into which.
        volume: VolumeName,
        /// In place of one of the name.
        overwrite: bool,
    },
    /// Copy into the one that was prepared, and compare.
    Fill {
        /// Which is copied.
        source: VolumeName,
        /// From which host.
        from: HostId,
        /// Into which.
        volume: VolumeName,
    },
}

/// A step that is made to a network.
#[derive(Debug, Clone, PartialEq)]
pub enum NetworkStep {
    /// Make it.
    Create(NetworkSpec),
    /// Attach a container to it.
    Connect {
        /// Which.
        container: ContainerName,
        /// To which.
        network: NetworkName,
        /// Under which names beside its own.
        aliases: Vec<String>,
    },
    /// Detach a container from it.
    Disconnect {
        /// Which.
        container: ContainerName,
        /// From which.
        network: NetworkName,
    },
    /// Remove it.
    Remove(NetworkName),
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

impl From<VolumeStep> for Step {
    fn from(step: VolumeStep) -> Self {
        Self::Volume(step)
    }
}

impl From<NetworkStep> for Step {
    fn from(step: NetworkStep) -> Self {
        Self::Network(step)
    }
}

impl From<RecreateStep> for Step {
    fn from(step: RecreateStep) -> Self {
        Self::Recreate(step)
    }
}

impl Step {
    /// Whether what it made can be undone.
    pub const fn is_undoable(&self) -> bool {
        match self {
            Self::Container(step) => matches!(step, ContainerStep::Create(_)),
            Self::Volume(step) => matches!(step, VolumeStep::Prepare { .. }),
            // What a fetched image takes is room, and another container may use it by now.
            Self::Image(_) | Self::Network(_) | Self::Prune(..) => false,
            Self::Recreate(step) => step.is_undoable(),
        }
    }

    /// Whether it is made to what was there before the change: then to nothing else than what was seen when the
    /// change was permitted.
    pub const fn is_bound(&self) -> bool {
        match self {
            Self::Container(step) => !matches!(step, ContainerStep::Create(_) | ContainerStep::StartCreated),
            Self::Image(step) => matches!(step, ImageStep::Remove(..)),
            Self::Volume(step) => {
                matches!(step, VolumeStep::Remove(_) | VolumeStep::Prepare { overwrite: true, .. })
            }
            Self::Network(step) => !matches!(step, NetworkStep::Create(_)),
            Self::Prune(..) => true,
            Self::Recreate(step) => step.is_bound(),
        }
    }

    /// Whether it ends with the connection it is asked for over, and can be broken off so.
    pub fn ends_with_its_connection(&self) -> bool {
        self.lasts(&Before::Nothing).is_zero()
    }

    /// Whether it takes as long as the container it is made to gives itself to stop.
    pub const fn stops_in_its_own_time(&self) -> bool {
        matches!(
            self,
            Self::Container(ContainerStep::Stop(_, None) | ContainerStep::Restart(_, None))
                | Self::Recreate(RecreateStep::Stop)
        )
    }

    /// Whether it may take as long as a download does.
    pub const fn is_long(&self) -> bool {
        match self {
            Self::Image(step) => step.is_transfer(),
            Self::Volume(VolumeStep::Fill { .. }) | Self::Prune(..) => true,
            Self::Container(_) | Self::Volume(_) | Self::Network(_) => false,
            Self::Recreate(step) => step.is_long(),
        }
    }

    /// How long the engine may still be at it after whoever asked has gone, when it is made to what was there
    /// `before`.
    pub fn lasts(&self, before: &Before) -> Duration {
        match self {
            Self::Container(step) => step.lasts(before),
            Self::Image(step) if step.is_transfer() => Duration::ZERO,
            Self::Volume(VolumeStep::Fill { .. }) => Duration::ZERO,
            Self::Image(_) | Self::Volume(_) | Self::Network(_) | Self::Prune(..) => ENGINE_LAG,
            Self::Recreate(step) => step.lasts(before),
        }
    }

    /// How long it may take, made to the same.
    pub fn limit(&self, before: &Before) -> Duration {
        match self {
            Self::Image(ImageStep::Copy(..)) | Self::Volume(VolumeStep::Fill { .. }) => COPY,
            Self::Image(step) if step.is_transfer() => TRANSFER,
            Self::Recreate(RecreateStep::Pull { .. }) => TRANSFER,
            Self::Prune(..) => SWEEP,
            Self::Recreate(step) => step.takes(before) + CALL,
            Self::Container(ContainerStep::Settle(_, patience)) => {
                Duration::from_secs((*patience).into()) + CALL
            }
            _ => self.lasts(before) + CALL,
        }
    }
}

/// How long a container gets to stop when nothing else is said.
pub(super) fn own_grace(before: &Before) -> Duration {
    match before {
        Before::Container { grace: Some(grace), .. } => {
            Duration::from_secs((*grace).min(LONGEST_GRACE).into())
        }
        _ => STOP_GRACE,
    }
}

impl ContainerStep {
    fn lasts(&self, before: &Before) -> Duration {
        match self {
            Self::Stop(_, grace) | Self::Restart(_, grace) => {
                grace.map_or_else(|| own_grace(before), |grace| Duration::from_secs(grace.into()))
                    + ENGINE_LAG
            }
            Self::Settle(..) => Duration::ZERO,
            _ => ENGINE_LAG,
        }
    }
}

impl ImageStep {
    /// Whether its layers go over the network: that ends with the connection it was asked for over.
    const fn is_transfer(&self) -> bool {
        matches!(self, Self::Fetch(_) | Self::Pull(..) | Self::Build(_) | Self::Copy(..) | Self::Push(_))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(step) => step.fmt(f),
            Self::Image(step) => step.fmt(f),
            Self::Volume(step) => step.fmt(f),
            Self::Network(step) => step.fmt(f),
            Self::Prune(kind, _) => write!(f, "prune {}", kind.word()),
            Self::Recreate(step) => step.fmt(f),
        }
    }
}

impl fmt::Display for ContainerStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(name) => write!(f, "start {name}"),
            Self::Stop(name, _) => write!(f, "stop {name}"),
            Self::Pause(name) => write!(f, "pause {name}"),
            Self::Kill(name) => write!(f, "kill {name}"),
            Self::Restart(name, _) => write!(f, "restart {name}"),
            Self::Update(name, _) => write!(f, "update {name}"),
            Self::Rename(name, to) => write!(f, "rename {name} {to}"),
            Self::Remove { container, .. } => write!(f, "remove {container}"),
            Self::Create(_) => f.write_str("create"),
            Self::StartCreated => f.write_str("start"),
            Self::Settle(name, _) => write!(f, "wait until {name} is healthy"),
        }
    }
}

impl fmt::Display for ImageStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch(image) => write!(f, "fetch {image}"),
            Self::Pull(image, _) => write!(f, "pull {image}"),
            Self::Build(_) => f.write_str("build"),
            Self::Copy(image, from) => write!(f, "copy {image} from {from}"),
            Self::Push(image) => write!(f, "push {image}"),
            Self::Tag(image, name) => write!(f, "tag {image} {name}"),
            Self::Remove(image, _) => write!(f, "remove image {image}"),
        }
    }
}

impl fmt::Display for VolumeStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(spec) => write!(f, "create volume {}", spec.name),
            Self::Remove(name) => write!(f, "remove volume {name}"),
            Self::Prepare { volume, .. } => write!(f, "prepare volume {volume}"),
            Self::Fill { source, from, volume } => write!(f, "copy {source} from {from} to {volume}"),
        }
    }
}

impl fmt::Display for NetworkStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(spec) => write!(f, "create network {}", spec.name),
            Self::Connect { container, network, .. } => write!(f, "connect {container} to {network}"),
            Self::Disconnect { container, network } => write!(f, "disconnect {container} from {network}"),
            Self::Remove(name) => write!(f, "remove network {name}"),
        }
    }
}
