//! Images, volumes and networks by their names, with their labels.

use super::{Engine, EngineError};
use bollard::query_parameters::{ListImagesOptions, ListNetworksOptions, ListVolumesOptions};
use std::collections::BTreeMap;

/// Something with labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labelled {
    /// The full identifier; the name of a volume.
    pub id: String,
    /// Its names: an image may have several or none, a volume or network has one.
    pub names: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Engine {
    /// The images, without intermediate layers: one request.
    pub async fn labelled_images(&self) -> Result<Vec<Labelled>, EngineError> {
        let listed = self.docker.list_images(None::<ListImagesOptions>).await?;
        let image = |image: bollard::models::ImageSummary| Labelled {
            id: image.id,
            names: image.repo_tags.into_iter().filter(|name| name != "<none>:<none>").collect(),
            labels: image.labels.into_iter().collect(),
        };
        Ok(listed.into_iter().map(image).collect())
    }

    /// The volumes: one request.
    pub async fn labelled_volumes(&self) -> Result<Vec<Labelled>, EngineError> {
        let listed = self.docker.list_volumes(None::<ListVolumesOptions>).await?;
        let volume = |volume: bollard::models::Volume| Labelled {
            id: volume.name.clone(),
            names: vec![volume.name],
            labels: volume.labels.into_iter().collect(),
        };
        Ok(listed.volumes.unwrap_or_default().into_iter().map(volume).collect())
    }

    /// The networks: one request.
    pub async fn labelled_networks(&self) -> Result<Vec<Labelled>, EngineError> {
        let listed = self.docker.list_networks(None::<ListNetworksOptions>).await?;
        let network = |network: bollard::models::Network| Labelled {
            id: network.id.unwrap_or_default(),
            names: network.name.into_iter().collect(),
            labels: network.labels.unwrap_or_default().into_iter().collect(),
        };
        Ok(listed.into_iter().map(network).collect())
    }
}
