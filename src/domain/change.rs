//! Changes: what may be done to a host, as lists of steps that a journal can hold.

mod affected;
mod masking;
mod policy;
mod prune;
mod record;
mod recreate;
mod step;

pub use affected::{Affected, AffectedKind, Bound};
pub use prune::{PruneKind, Sieve};
pub use record::{Asker, BEARER, Before, Copied, Made, OWNER, Thing};
pub use recreate::RecreateStep;
pub use step::{
    COPY, ContainerStep, ENGINE_LAG, ImageStep, LONGEST_GRACE, NetworkStep, STOP_GRACE, Step, VolumeStep,
};

use super::build::BuildSpec;
use super::container::ContainerName;
use super::host::HostId;
use super::image::{ImageName, Platform};
use super::run::{LimitSpec, RunSpec};
use super::saga::{OnFailure, Plan};
use super::thing::{NetworkName, NetworkSpec, VolumeName, VolumeSpec};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use strum::{IntoStaticStr, VariantNames};

/// What is to be done to a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, VariantNames, IntoStaticStr)]
#[serde(tag = "change", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Change {
    /// Start containers, or let paused ones go on.
    ContainerStart {
        /// Which.
        containers: Vec<ContainerName>,
        /// Seconds each gets to become healthy; it is not waited for without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patience: Option<u32>,
    },
    /// Stop containers.
    ContainerStop {
        /// Which.
        containers: Vec<ContainerName>,
        /// Seconds each gets before it is killed.
        grace: Option<u32>,
        /// Whether they are stopped, or what is done in place of it.
        #[serde(default)]
        mode: StopMode,
    },
    /// Stop and start containers.
    ContainerRestart {
        /// Which.
        containers: Vec<ContainerName>,
        /// Seconds each gets before it is killed.
        grace: Option<u32>,
        /// Seconds each gets to become healthy; it is not waited for without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patience: Option<u32>,
    },
    /// Remove containers.
    ContainerRemove {
        /// Which.
        containers: Vec<ContainerName>,
        /// Running ones too.
        force: bool,
        /// Their anonymous volumes too.
        volumes: bool,
    },
    /// Make and start a container.
    ContainerRun(Box<RunSpec>),
    /// Change what a container may use, or its name.
    ContainerUpdate {
        /// Which.
        container: ContainerName,
        /// What it may use.
        limits: LimitSpec,
        /// Its new name.
        rename: Option<ContainerName>,
    },
    /// Build an image.
    ImageBuild(Box<BuildSpec>),
    /// Have an image that another host has.
    ImageCopy {
        /// Which.
        image: ImageName,
        /// From which host.
        from: HostId,
    },
    /// Send an image to its registry.
    ImagePush {
        /// Which.
        image: ImageName,
    },
    /// Give an image another name.
    ImageTag {
        /// Which.
        image: ImageName,
        /// The name.
        name: ImageName,
    },
    /// Remove images.
    ImageRemove {
        /// Which.
        images: Vec<ImageName>,
        /// Those with several names, or of stopped containers, too.
        force: bool,
    },
    /// Make a volume.
    VolumeCreate(VolumeSpec),
    /// Have a volume with what is in another one.
    VolumeCopy {
        /// Which is copied.
        source: VolumeName,
        /// From which host.
        from: HostId,
        /// Into which.
        volume: VolumeName,
        /// In place of what one of the name has in it.
        overwrite: bool,
    },
    /// Remove volumes and what is in them.
    VolumeRemove {
        /// Which.
        volumes: Vec<VolumeName>,
    },
    /// Make a network.
    NetworkCreate(NetworkSpec),
    /// Attach a container to a network.
    NetworkConnect {
        /// Which.
        container: ContainerName,
        /// To which.
        network: NetworkName,
        /// Under which names beside its own.
        aliases: Vec<String>,
    },
    /// Detach a container from a network.
    NetworkDisconnect {
        /// Which.
        container: ContainerName,
        /// From which.
        network: NetworkName,
    },
    /// Remove networks.
    NetworkRemove {
        /// Which.
        networks: Vec<NetworkName>,
    },
    /// Pull an image.
    ImagePull {
        /// Which.
        image: ImageName,
        /// For another platform than the host's, such as `linux/arm64`.
        platform: Option<Platform>,
    },
    /// Remove what nothing uses.
    Prune {
        /// Of which kinds.
        what: Vec<PruneKind>,
        /// What of it stays.
        #[serde(default)]
        sieve: Sieve,
    },
    /// Make a container anew from a newer image, with the same settings.
    ContainerRecreate {
        /// Which.
        container: ContainerName,
        /// From another image than its own.
        image: Option<ImageName>,
        /// Seconds the new one gets to become healthy.
        patience: u32,
    },
}

/// What is done to containers that are not to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopMode {
    /// They are asked to end, and killed when they do not.
    #[default]
    Stop,
    /// They are frozen.
    Pause,
    /// They are ended at once.
    Kill,
}

/// What a person is asked before a change is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asks {
    /// Nothing.
    Nothing,
    /// Whether it is to be done.
    Agreement,
    /// The name of what is lost for good.
    Name,
}

impl Change {
    /// The words of all kinds.
    pub const WORDS: &[&str] = <Self as VariantNames>::VARIANTS;

    /// Its kind, which is also the name of the tool.
    pub fn word(&self) -> &'static str {
        self.into()
    }

    /// Its steps, in their order.
    pub fn steps(&self) -> Vec<Step> {
        let each = |containers: &[ContainerName], step: &dyn Fn(ContainerName) -> ContainerStep| {
            containers.iter().cloned().map(|name| step(name).into()).collect()
        };
        match self {
            Self::ContainerStart { containers, patience } => {
                let started: Vec<Step> = each(containers, &ContainerStep::Start);
                started.into_iter().chain(settled(containers, *patience)).collect()
            }
            Self::ContainerStop { containers, grace, mode } => match mode {
                StopMode::Stop => each(containers, &|name| ContainerStep::Stop(name, *grace)),
                StopMode::Pause => each(containers, &ContainerStep::Pause),
                StopMode::Kill => each(containers, &ContainerStep::Kill),
            },
            Self::ContainerRestart { containers, grace, patience } => {
                let restarted: Vec<Step> = each(containers, &|name| ContainerStep::Restart(name, *grace));
                restarted.into_iter().chain(settled(containers, *patience)).collect()
            }
            Self::ContainerRemove { containers, force, volumes } => {
                let (force, volumes) = (*force, *volumes);
                each(containers, &|container| ContainerStep::Remove { container, force, volumes })
            }
            Self::ContainerRun(spec) => vec![
                ImageStep::Fetch(spec.image.clone()).into(),
                ContainerStep::Create(spec.clone()).into(),
                ContainerStep::StartCreated.into(),
            ],
            Self::ContainerUpdate { container, limits, rename } => {
                let limits = (!limits.is_empty()).then(|| ContainerStep::Update(container.clone(), *limits));
                let name = rename.clone().map(|to| ContainerStep::Rename(container.clone(), to));
                limits.into_iter().chain(name).map(Step::from).collect()
            }
            Self::ImageBuild(spec) => vec![ImageStep::Build(spec.clone()).into()],
            Self::ImageCopy { image, from } => vec![ImageStep::Copy(image.clone(), from.clone()).into()],
            Self::ImagePush { image } => vec![ImageStep::Push(image.clone()).into()],
            Self::ImageTag { image, name } => vec![ImageStep::Tag(image.clone(), name.clone()).into()],
            Self::ImageRemove { images, force } => {
                images.iter().map(|image| ImageStep::Remove(image.clone(), *force).into()).collect()
            }
            Self::VolumeCreate(spec) => vec![VolumeStep::Create(spec.clone()).into()],
            Self::VolumeCopy { source, from, volume, overwrite } => {
                let (source, from, volume) = (source.clone(), from.clone(), volume.clone());
                let fill =
                    VolumeStep::Fill { source: source.clone(), from: from.clone(), volume: volume.clone() };
                vec![VolumeStep::Prepare { source, from, volume, overwrite: *overwrite }.into(), fill.into()]
            }
            Self::VolumeRemove { volumes } => {
                volumes.iter().map(|name| VolumeStep::Remove(name.clone()).into()).collect()
            }
            Self::NetworkCreate(spec) => vec![NetworkStep::Create(spec.clone()).into()],
            Self::NetworkConnect { container, network, aliases } => {
                let (container, network, aliases) = (container.clone(), network.clone(), aliases.clone());
                vec![NetworkStep::Connect { container, network, aliases }.into()]
            }
            Self::NetworkDisconnect { container, network } => {
                let (container, network) = (container.clone(), network.clone());
                vec![NetworkStep::Disconnect { container, network }.into()]
            }
            Self::NetworkRemove { networks } => {
                networks.iter().map(|name| NetworkStep::Remove(name.clone()).into()).collect()
            }
            Self::ImagePull { image, platform } => {
                vec![ImageStep::Pull(image.clone(), platform.clone()).into()]
            }
            Self::Prune { what, sieve } => {
                let mut what = what.clone();
                what.sort_unstable();
                what.dedup();
                what.into_iter().map(|kind| Step::Prune(kind, sieve.clone())).collect()
            }
            Self::ContainerRecreate { container, image, patience } => {
                let steps = RecreateStep::all(container, image.as_ref(), *patience);
                steps.into_iter().map(Step::Recreate).collect()
            }
        }
    }

    /// The order of its steps.
    pub fn plan(&self) -> Plan {
        let undoable = self.steps().iter().map(Step::is_undoable).collect();
        let on_failure = match self {
            Self::ContainerRun(_) | Self::ContainerRecreate { .. } | Self::VolumeCopy { .. } => {
                OnFailure::Unwind
            }
            _ => OnFailure::GoOn,
        };
        Plan { undoable, on_failure }
    }

    /// What it is done to, in words.
    pub fn target(&self) -> String {
        match self {
            Self::ContainerStart { containers, .. }
            | Self::ContainerStop { containers, .. }
            | Self::ContainerRestart { containers, .. }
            | Self::ContainerRemove { containers, .. } => list(containers),
            Self::ContainerRun(spec) => {
                spec.name.as_ref().map_or(spec.image.to_string(), ToString::to_string)
            }
            Self::ContainerUpdate { container, .. } | Self::ContainerRecreate { container, .. } => {
                container.to_string()
            }
            Self::ImagePull { image, .. }
            | Self::ImagePush { image }
            | Self::ImageTag { image, .. }
            | Self::ImageCopy { image, .. } => image.to_string(),
            Self::ImageBuild(spec) => list(&spec.tags),
            Self::VolumeCopy { volume, .. } => volume.to_string(),
            Self::ImageRemove { images, .. } => list(images),
            Self::VolumeCreate(spec) => spec.name.to_string(),
            Self::VolumeRemove { volumes } => list(volumes),
            Self::NetworkCreate(spec) => spec.name.to_string(),
            Self::NetworkConnect { container, network, .. }
            | Self::NetworkDisconnect { container, network } => format!("{container}, {network}"),
            Self::NetworkRemove { networks } => list(networks),
            Self::Prune { what, .. } => what.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", "),
        }
    }

    /// The other host that it takes something from.
    pub const fn source(&self) -> Option<&HostId> {
        match self {
            Self::ImageCopy { from, .. } | Self::VolumeCopy { from, .. } => Some(from),
            _ => None,
        }
    }

    /// Whether one of its steps may take as long as a download does.
    pub fn is_long(&self) -> bool {
        self.steps().iter().any(Step::is_long)
    }

    /// How long it may take when nothing holds it up.
    pub fn limit(&self) -> Duration {
        let steps: Duration = self.steps().iter().map(|step| step.limit(&Before::Nothing)).sum();
        steps + ENGINE_LAG
    }

    /// The same, whatever the containers say of themselves that are stopped in their own time.
    pub fn longest(&self) -> Duration {
        let in_their_own: u32 = self.steps().iter().map(|step| u32::from(step.stops_in_its_own_time())).sum();
        self.limit() + Duration::from_secs(LONGEST_GRACE.into()) * in_their_own
    }
}

/// The steps that wait until they are healthy.
fn settled(containers: &[ContainerName], patience: Option<u32>) -> Vec<Step> {
    let settle =
        |patience| containers.iter().map(move |name| ContainerStep::Settle(name.clone(), patience).into());
    patience.into_iter().flat_map(settle).collect()
}

/// Names as people write them.
pub fn list(names: &[impl ToString]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
