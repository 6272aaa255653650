//! What a step may use beside its engine.

use crate::domain::image::ImageName;
use crate::domain::thing::VolumeName;
use crate::engine::transfer::{Chunks, Naming};
use crate::engine::volumes::VolumeDetail;
use crate::engine::{Engine, EngineError};
use crate::transport::{BoxFuture, Link};

/// What a step may use beside its engine.
pub trait Means: Send + Sync {
    /// The host's link. A command whose end was not seen is ended with the operation.
    fn link(&self) -> &dyn Link;

    /// A name for a container on the host that goes with the operation.
    fn helper(&self) -> BoxFuture<'_, String>;

    /// The host that the change takes something from.
    fn source(&self) -> Option<&dyn Source>;
}

/// A host that something is taken from. Its failures are told with its name.
pub trait Source: Send + Sync {
    /// Which image a name means there, by identifier.
    fn image_id<'a>(&'a self, image: &'a ImageName) -> BoxFuture<'a, Result<Option<String>, EngineError>>;

    /// An image as an archive.
    fn image(&self, image: &ImageName) -> Chunks;

    /// A volume.
    fn volume<'a>(&'a self, volume: &'a VolumeName) -> BoxFuture<'a, Result<VolumeDetail, EngineError>>;

    /// Whether its engine is this one, under another name; `None` when they do not tell.
    fn is_on<'a>(&'a self, engine: &'a Engine) -> BoxFuture<'a, Result<Option<bool>, EngineError>>;

    /// The running containers that have a volume, by name.
    fn users<'a>(&'a self, volume: &'a VolumeName) -> BoxFuture<'a, Result<Vec<String>, EngineError>>;

    /// What is in a volume, as an archive with these names.
    fn volume_data(&self, volume: &VolumeName, naming: Naming) -> Chunks;
}
