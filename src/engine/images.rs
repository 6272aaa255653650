//! Images.

use super::{Engine, EngineError};
use crate::domain::image::ImageName;
use bollard::models::{ImageHistoryResponseItem, ImageInspect};
use bollard::query_parameters::{
    ListImagesOptionsBuilder, PushImageOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use futures_util::StreamExt as _;
use std::collections::BTreeMap;

/// Labels by image identifier.
pub type ImageLabels = BTreeMap<String, BTreeMap<String, String>>;

/// One image in full.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageDetail {
    /// The full identifier.
    pub id: String,
    /// Its names.
    pub tags: Vec<String>,
    /// Its names with the digest it was pulled by.
    pub digests: Vec<String>,
    /// RFC 3339; empty when it is not known.
    pub created: String,
    /// Bytes, layers shared with others included.
    pub size: u64,
    /// How many layers it has.
    pub layers: usize,
    /// `linux/arm64/v8`.
    pub platform: String,
    /// Who made it.
    pub author: String,
    /// The program and first arguments.
    pub entrypoint: Vec<String>,
    /// The arguments after them, or program and arguments.
    pub command: Vec<String>,
    /// The user inside.
    pub user: String,
    /// The directory it starts in.
    pub working_dir: String,
    /// How its process is asked to end.
    pub stop_signal: String,
    /// `80/tcp`.
    pub ports: Vec<String>,
    /// Paths that become volumes.
    pub volumes: Vec<String>,
    /// `CMD` or `CMD-SHELL`, and the words of the check.
    pub health_check: Vec<String>,
    /// `KEY=VALUE`.
    pub env: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A step of how an image was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryStep {
    /// Seconds since the epoch.
    pub created: i64,
    /// The command.
    pub created_by: String,
    /// Bytes of its layer; none where it made none.
    pub size: u64,
}

impl From<ImageInspect> for ImageDetail {
    fn from(found: ImageInspect) -> Self {
        let config = found.config.unwrap_or_default();
        let platform = [found.os, found.architecture, found.variant];
        let parts: Vec<String> = platform.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        let named = |names: Option<Vec<String>>| {
            let names = names.unwrap_or_default().into_iter();
            names.filter(|name| !name.starts_with("<none>")).collect()
        };
        let sorted = |texts: Option<Vec<String>>| {
            let mut texts = texts.unwrap_or_default();
            texts.sort();
            texts
        };
        Self {
            id: found.id.unwrap_or_default(),
            tags: named(found.repo_tags),
            digests: named(found.repo_digests),
            created: found.created.unwrap_or_default(),
            size: found.size.and_then(|size| size.try_into().ok()).unwrap_or_default(),
            layers: found.root_fs.and_then(|root| root.layers).unwrap_or_default().len(),
            platform: parts.join("/"),
            author: found.author.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            command: config.cmd.unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            working_dir: config.working_dir.unwrap_or_default(),
            stop_signal: config.stop_signal.unwrap_or_default(),
            ports: sorted(config.exposed_ports),
            volumes: sorted(config.volumes),
            health_check: config.healthcheck.and_then(|check| check.test).unwrap_or_default(),
            env: config.env.unwrap_or_default(),
            labels: config.labels.unwrap_or_default().into_iter().collect(),
        }
    }
}

impl Engine {
    /// Gives an image another name.
    pub async fn tag(&self, id: &str, name: &ImageName) -> Result<(), EngineError> {
        let (repository, tag) = name.repository_and_tag();
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        Ok(self.docker.tag_image(id, Some(options)).await?)
    }

    /// Sends an image to its registry; returns the digest it has there, where the registry tells.
    pub async fn push(&self, name: &ImageName) -> Result<Option<String>, EngineError> {
        let (repository, tag) = name.repository_and_tag();
        let options = PushImageOptionsBuilder::default().tag(tag).build();
        let mut progress = self.docker.push_image(repository, Some(options), None);
        let mut digest = None;
        while let Some(told) = progress.next().await {
            // The last word of a push: `1: digest: sha256:… size: 527`.
            let status = told?.status.unwrap_or_default();
            let found = status.split_once("digest: ").and_then(|(_, rest)| rest.split(' ').next());
            digest = found.map(ToOwned::to_owned).or(digest);
        }
        Ok(digest)
    }

    /// Removes a name of an image, and with the last one the image; returns what went.
    pub async fn remove_image(&self, name: &ImageName, force: bool) -> Result<Vec<String>, EngineError> {
        let options = RemoveImageOptionsBuilder::default().force(force).build();
        let gone = self.docker.remove_image(name.as_str(), Some(options), None).await?;
        Ok(gone.into_iter().filter_map(|item| item.deleted.or(item.untagged)).collect())
    }

    /// One image by name or identifier.
    pub async fn image(&self, name: &ImageName) -> Result<ImageDetail, EngineError> {
        Ok(self.docker.inspect_image(name.as_str()).await?.into())
    }

    /// How an image was made, the last step first.
    pub async fn image_history(&self, name: &ImageName) -> Result<Vec<HistoryStep>, EngineError> {
        let history = self.docker.image_history(name.as_str()).await?;
        let step = |step: ImageHistoryResponseItem| HistoryStep {
            created: step.created,
            created_by: step.created_by,
            size: step.size.try_into().unwrap_or_default(),
        };
        Ok(history.into_iter().map(step).collect())
    }

    /// The labels of every image on the host: one request. They tell which of a container's labels
    /// it inherited.
    pub async fn image_labels(&self) -> Result<ImageLabels, EngineError> {
        let options = ListImagesOptionsBuilder::new().all(true).build();
        let images = self.docker.list_images(Some(options)).await?;
        Ok(images.into_iter().map(|image| (image.id, image.labels.into_iter().collect())).collect())
    }
}
