//! What there is on an engine: containers, images, volumes, networks.

use super::containers::Container;
use super::images::ImageLabels;
use super::{Engine, EngineError};
use bollard::query_parameters::{ListImagesOptions, ListNetworksOptions, ListVolumesOptions};
use std::collections::BTreeMap;

/// A part of the inventory that is looked at with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// All containers, running or not.
    Containers,
    /// The images, without intermediate layers.
    Images,
    /// The volumes.
    Volumes,
    /// The networks.
    Networks,
}

impl Section {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Containers, Self::Images, Self::Volumes, Self::Networks];
}

/// What there is, as the engine said when it was looked at last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// By name.
    pub containers: Vec<Container>,
    /// By identifier.
    pub images: Vec<Image>,
    /// By name.
    pub volumes: Vec<Volume>,
    /// By name.
    pub networks: Vec<Network>,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Image {
    /// The full identifier.
    pub id: String,
    /// Its names, such as `nginx:1.27`.
    pub tags: Vec<String>,
    /// Its size in bytes, layers shared with others included.
    pub size: u64,
    /// Seconds since the epoch.
    pub created: i64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Who keeps it; `local` by default.
    pub driver: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// The full identifier.
    pub id: String,
    /// `bridge`, `host`, `overlay` …; empty for one of no driver.
    pub driver: String,
    /// Its address ranges.
    pub subnets: Vec<String>,
}

impl Inventory {
    /// How many containers are in which state.
    pub fn states(&self) -> BTreeMap<String, usize> {
        let mut states = BTreeMap::new();
        for container in &self.containers {
            *states.entry(container.state.clone()).or_default() += 1;
        }
        states
    }

    /// The labels of the images. Intermediate layers are not among them.
    pub fn image_labels(&self) -> ImageLabels {
        self.images.iter().map(|image| (image.id.clone(), image.labels.clone())).collect()
    }
}

impl Engine {
    /// Looks at a section of `inventory` anew: one request.
    pub async fn look(&self, section: Section, inventory: &mut Inventory) -> Result<(), EngineError> {
        match section {
            Section::Containers => inventory.containers = self.containers().await?,
            Section::Images => inventory.images = self.images().await?,
            Section::Volumes => inventory.volumes = self.volumes().await?,
            Section::Networks => inventory.networks = self.networks().await?,
        }
        Ok(())
    }

    /// Looks at these sections, all at once; the others stay empty.
    pub async fn inventory(&self, sections: &[Section]) -> Result<Inventory, EngineError> {
        let has = |section| sections.contains(&section);
        let (containers, images, volumes, networks) = tokio::try_join!(
            async { if has(Section::Containers) { self.containers().await } else { Ok(vec![]) } },
            async { if has(Section::Images) { self.images().await } else { Ok(vec![]) } },
            async { if has(Section::Volumes) { self.volumes().await } else { Ok(vec![]) } },
            async { if has(Section::Networks) { self.networks().await } else { Ok(vec![]) } },
        )?;
        Ok(Inventory { containers, images, volumes, networks })
    }

    /// The images, without intermediate layers, by identifier: one request.
    pub async fn images(&self) -> Result<Vec<Image>, EngineError> {
        let listed = self.docker.list_images(None::<ListImagesOptions>).await?;
        let image = |image: bollard::models::ImageSummary| Image {
            id: image.id,
            // Engines before API 1.43 call an image without a name so.
            tags: image.repo_tags.into_iter().filter(|tag| tag != "<none>:<none>").collect(),
            size: image.size.try_into().unwrap_or_default(),
            created: image.created,
            labels: image.labels.into_iter().collect(),
        };
        Ok(sorted(listed.into_iter().map(image)))
    }

    /// The volumes, by name: one request.
    pub async fn volumes(&self) -> Result<Vec<Volume>, EngineError> {
        let listed = self.docker.list_volumes(None::<ListVolumesOptions>).await?;
        let volumes = listed.volumes.unwrap_or_default();
        let volume = |volume: bollard::models::Volume| Volume {
            name: volume.name,
            driver: volume.driver,
            labels: volume.labels.into_iter().collect(),
        };
        Ok(sorted(volumes.into_iter().map(volume)))
    }

    /// The networks, by name: one request.
    pub async fn networks(&self) -> Result<Vec<Network>, EngineError> {
        let listed = self.docker.list_networks(None::<ListNetworksOptions>).await?;
        let network = |network: bollard::models::Network| Network {
            name: network.name.unwrap_or_default(),
            id: network.id.unwrap_or_default(),
            driver: network.driver.unwrap_or_default(),
            subnets: network
                .ipam
                .and_then(|ipam| ipam.config)
                .unwrap_or_default()
                .into_iter()
                .filter_map(|config| config.subnet)
                .collect(),
        };
        Ok(sorted(listed.into_iter().map(network)))
    }
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort();
    items
}
