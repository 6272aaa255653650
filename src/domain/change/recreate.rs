//! The steps of making a container anew from a newer image. The old one is kept until the new one has proved itself.

use super::record::Before;
use super::step::{ENGINE_LAG, own_grace};
use crate::domain::container::ContainerName;
use crate::domain::image::ImageName;
use std::fmt;
use std::time::Duration;

/// A step of making a container anew. Which containers are the old and the new one, the steps before it tell.
#[derive(Debug, Clone, PartialEq)]
pub enum RecreateStep {
    /// Pull the image.
    Pull {
        /// The container that is to be made anew.
        container: ContainerName,
        /// Of another image than its own.
        image: Option<ImageName>,
    },
    /// Make the new one, under a name of its own.
    Create {
        /// Of another image than the old one's.
        image: Option<ImageName>,
    },
    /// Attach the new one to the other networks of the old one.
    Connect,
    /// Stop the old one.
    Stop,
    /// Take the name from the old one.
    SetAside,
    /// Give it to the new one.
    Rename,
    /// Start the new one, when the old one ran.
    Start,
    /// Wait until the new one is healthy.
    Settle {
        /// Seconds it gets for that.
        patience: u32,
    },
    /// Remove the old one; its volumes stay.
    RemoveOld,
}

impl RecreateStep {
    /// All steps, in their order.
    pub(super) fn all(container: &ContainerName, image: Option<&ImageName>, patience: u32) -> Vec<Self> {
        vec![
            Self::Pull { container: container.clone(), image: image.cloned() },
            Self::Create { image: image.cloned() },
            Self::Connect,
            Self::Stop,
            Self::SetAside,
            Self::Rename,
            Self::Start,
            Self::Settle { patience },
            Self::RemoveOld,
        ]
    }

    pub(super) const fn is_undoable(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Stop | Self::SetAside | Self::Rename | Self::Start)
    }

    /// Whether it is made to the old one.
    pub(super) const fn is_bound(&self) -> bool {
        matches!(self, Self::Pull { .. } | Self::Stop | Self::SetAside | Self::RemoveOld)
    }

    pub(super) const fn is_long(&self) -> bool {
        matches!(self, Self::Pull { .. })
    }

    pub(super) fn lasts(&self, before: &Before) -> Duration {
        match self {
            Self::Pull { .. } | Self::Settle { .. } => Duration::ZERO,
            Self::Stop => own_grace(before) + ENGINE_LAG,
            _ => ENGINE_LAG,
        }
    }

    /// How long it may take beyond what anything may.
    pub(super) fn takes(&self, before: &Before) -> Duration {
        match self {
            Self::Settle { patience } => Duration::from_secs((*patience).into()),
            _ => self.lasts(before),
        }
    }
}

impl fmt::Display for RecreateStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pull { .. } => "pull",
            Self::Create { .. } => "create",
            Self::Connect => "connect",
            Self::Stop => "stop the old one",
            Self::SetAside => "set the old one aside",
            Self::Rename => "rename",
            Self::Start => "start",
            Self::Settle { .. } => "wait until healthy",
            Self::RemoveOld => "remove the old one",
        })
    }
}
