//! Images.

use super::{Engine, EngineError};
use bollard::query_parameters::ListImagesOptionsBuilder;
use std::collections::BTreeMap;

/// Labels by image identifier.
pub type ImageLabels = BTreeMap<String, BTreeMap<String, String>>;

impl Engine {
    /// The labels of every image on the host: one request. They tell which of a container's labels
    /// it inherited.
    pub async fn image_labels(&self) -> Result<ImageLabels, EngineError> {
        let options = ListImagesOptionsBuilder::new().all(true).build();
        let images = self.docker.list_images(Some(options)).await?;
        Ok(images.into_iter().map(|image| (image.id, image.labels.into_iter().collect())).collect())
    }
}
