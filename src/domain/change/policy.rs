//! What a change is permitted by, and what a person is asked before it is made.

use super::{Asks, Change, PruneKind};
use crate::domain::build::BuildContext;
use crate::domain::policy::Policy;
use crate::domain::run::MountSpec;

impl Change {
    /// Whether it loses data, configuration or availability.
    pub const fn is_destructive(&self) -> bool {
        match self {
            Self::ContainerStart { .. }
            | Self::ContainerRun(_)
            | Self::ImagePull { .. }
            | Self::ImageTag { .. }
            | Self::ImageBuild(_)
            | Self::ImageCopy { .. }
            | Self::VolumeCreate(_)
            | Self::NetworkCreate(_)
            | Self::NetworkConnect { .. } => false,
            Self::VolumeCopy { overwrite, .. } => *overwrite,
            Self::ContainerStop { .. }
            | Self::ContainerRestart { .. }
            | Self::ContainerRemove { .. }
            | Self::ContainerUpdate { .. }
            | Self::ImageRemove { .. }
            // What the registry had under the name is under no name then.
            | Self::ImagePush { .. }
            | Self::VolumeRemove { .. }
            | Self::NetworkDisconnect { .. }
            | Self::NetworkRemove { .. }
            | Self::Prune { .. }
            | Self::ContainerRecreate { .. } => true,
        }
    }

    /// Whether a host that is held to `policy` lets it happen.
    pub fn is_permitted(&self, policy: Policy) -> bool {
        match policy {
            Policy::ReadWrite => true,
            Policy::NoDestructive => !self.is_destructive() && !self.reaches_out(),
            Policy::ReadOnly => false,
        }
    }

    /// Whether what it makes reaches what is not its own: volumes and paths hold the data of others, the host's
    /// network its services, a volume with options may be a path of the host, and what is in a directory of the host
    /// can be read from an image that was built of it.
    fn reaches_out(&self) -> bool {
        match self {
            Self::ContainerRun(spec) => {
                !spec.volumes.is_empty() || spec.networks.iter().any(|name| name == "host")
            }
            Self::VolumeCreate(spec) => spec.may_be_elsewhere(),
            Self::ImageBuild(spec) => matches!(spec.context, BuildContext::Directory(_)),
            _ => false,
        }
    }

    /// What a person is asked before it is made.
    pub fn asks(&self) -> Asks {
        match self {
            Self::ContainerRemove { volumes: true, .. }
            | Self::VolumeRemove { .. }
            | Self::VolumeCopy { overwrite: true, .. } => Asks::Name,
            Self::Prune { what, .. } if what.contains(&PruneKind::Volumes) => Asks::Name,
            Self::ContainerRemove { .. }
            | Self::ImageRemove { .. }
            | Self::NetworkRemove { .. }
            | Self::Prune { .. }
            | Self::ContainerRecreate { .. } => Asks::Agreement,
            // With a path of the host a container has the host.
            Self::ContainerRun(spec) if spec.mounts_the_host() => Asks::Agreement,
            Self::ImageBuild(spec) if matches!(spec.context, BuildContext::Directory(_)) => Asks::Agreement,
            Self::VolumeCreate(spec) if spec.may_be_elsewhere() => Asks::Agreement,
            Self::ContainerStart { .. }
            | Self::ContainerStop { .. }
            | Self::ContainerRestart { .. }
            | Self::ContainerRun(_)
            | Self::ContainerUpdate { .. }
            | Self::ImagePull { .. }
            | Self::ImagePush { .. }
            | Self::ImageTag { .. }
            | Self::ImageBuild(_)
            | Self::ImageCopy { .. }
            | Self::VolumeCreate(_)
            | Self::VolumeCopy { overwrite: false, .. }
            | Self::NetworkCreate(_)
            | Self::NetworkConnect { .. }
            | Self::NetworkDisconnect { .. } => Asks::Nothing,
        }
    }

    /// What a person should know of it who is asked, beside what it would be done to.
    pub fn dangers(&self) -> Vec<String> {
        let (masked, _) = self.masked();
        match masked {
            Self::ContainerRun(spec) => {
                let binds = spec.volumes.iter().filter(|mount| mount.is_bind());
                let words = |mount: &MountSpec| {
                    let mode = if mount.writable { "to write" } else { "to read" };
                    format!("it gets {} of the host {mode}", mount.source)
                };
                binds.map(words).collect()
            }
            Self::VolumeCreate(spec) => {
                let driver = spec.driver.iter().map(|driver| format!("driver {driver}"));
                driver.chain(spec.options.iter().map(|(key, value)| format!("{key}={value}"))).collect()
            }
            Self::ContainerRemove { force, volumes, .. } => {
                let force = force.then(|| "running ones too".to_owned());
                force.into_iter().chain(volumes.then(|| "with their anonymous volumes".to_owned())).collect()
            }
            Self::ImageBuild(spec) => {
                vec![format!("built from {}, whose files the image may have then", spec.context)]
            }
            Self::ImageRemove { force: true, .. } => vec!["also of stopped containers".to_owned()],
            Self::Prune { what, .. } if what.contains(&PruneKind::BuildCache) => {
                vec!["and the build cache".to_owned()]
            }
            _ => vec![],
        }
    }

    /// Whether it chooses by itself what it is made to, and may leave out what is protected.
    pub fn chooses(&self) -> bool {
        matches!(self, Self::Prune { .. })
    }

    /// Whether a host that is held to `policy` may be its source. To read a volume a container is made that never
    /// runs.
    pub fn may_take_from(&self, policy: Policy) -> bool {
        !matches!(self, Self::VolumeCopy { .. }) || policy != Policy::ReadOnly
    }

    /// Whether it is looked what it would be made to before it is permitted.
    pub fn is_surveyed(&self) -> bool {
        self.is_destructive() || self.reaches_out() || self.asks() > Asks::Nothing
    }
}
