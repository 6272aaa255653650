//! What registries hold now, asked through the engine: nothing is pulled.

use super::{Engine, EngineError};
use crate::domain::image::ImageName;
use crate::transport::Carrier;
use bollard::query_parameters::ListImagesOptionsBuilder;
use std::collections::BTreeMap;

impl Engine {
    /// The names by digest of every image on the host, by its identifier: one request.
    pub async fn image_digests(&self) -> Result<BTreeMap<String, Vec<String>>, EngineError> {
        let options = ListImagesOptionsBuilder::new().all(true).build();
        let images = self.docker.list_images(Some(options)).await?;
        Ok(images.into_iter().map(|image| (image.id, image.repo_digests)).collect())
    }

    /// The digest that the registry has for this name now. The engine asks, over its own network.
    pub async fn registry_digest(&self, image: &ImageName) -> Result<String, EngineError> {
        let found = self.docker.inspect_registry_image(image.as_str(), None).await?;
        found.descriptor.digest.ok_or_else(|| EngineError::Garbled("the registry told no digest".to_owned()))
    }

    /// How many registries may be asked at once so that other calls still get through.
    pub fn registries_at_once(&self) -> usize {
        match self.link.route().carrier {
            Carrier::DialStdio => 1,
            Carrier::Local | Carrier::Forward | Carrier::Tcp => 4,
        }
    }
}
