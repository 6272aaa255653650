//! What is taken from one engine and given to another: images, and what is in volumes.

use super::containers::own_name;
use super::{Engine, EngineError};
use crate::domain::image::ImageName;
use crate::domain::thing::VolumeName;
use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, DownloadFromContainerOptionsBuilder,
    ImportImageOptionsBuilder, ListContainersOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use std::collections::{BTreeMap, HashMap};
use std::io;

/// Bytes as they come.
pub type Chunks = BoxStream<'static, Result<Bytes, EngineError>>;

/// An image with nothing in it: a container of it holds a volume, and never runs.
const BARE: &str = "localhost/dockmaster-bare";
const BARE_TAG: &str = "1";

/// An archive with nothing in it: two blocks of zeros.
const NOTHING: [u8; 1024] = [0; 1024];

/// Where a container that holds a volume has it.
const HELD: &str = "/held";

/// How an archive of a volume names what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// `held/a`: Docker takes over the owner and mode of the volume's own directory from an archive that is unpacked
    /// beside it, and not from one that is unpacked in it.
    Below,
    /// `./a`: Podman finds a volume by its own path alone. It takes owners over too, and does not tell them.
    Bare,
}

impl Naming {
    /// What an entry of this path is called in the volume; the volume's own directory has no name.
    pub(super) fn name(self, path: &[u8]) -> &[u8] {
        let within = match self {
            Self::Below => path.strip_prefix(&HELD.as_bytes()[1..]),
            Self::Bare => {
                path.strip_prefix(b".").filter(|rest| rest.first().is_none_or(|next| *next == b'/'))
            }
        };
        let path = within.unwrap_or(path);
        let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
        let end = path.iter().rposition(|byte| *byte != b'/').map_or(start, |last| last + 1);
        &path[start..end]
    }

    /// Whether an archive that is read so tells whose what is, and of the volume's own directory.
    pub(super) const fn tells_owners(self) -> bool {
        matches!(self, Self::Below)
    }
}

impl Engine {
    /// An image as an archive. By the name of a repository all its images would come.
    pub fn export_image(&self, image: &ImageName) -> Chunks {
        let export = self.long.export_image(image.as_str());
        export.map_err(EngineError::from).boxed()
    }

    /// Takes in an image from an archive.
    pub async fn load_image(
        &self,
        archive: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), EngineError> {
        let options = ImportImageOptionsBuilder::new().quiet(true).build();
        let mut progress = self.long.import_image(options, bollard::body_try_stream(archive), None);
        while let Some(told) = progress.next().await {
            told?;
        }
        Ok(())
    }

    /// Makes a container that holds a volume and never runs, with these labels.
    pub async fn hold_volume(
        &self,
        container: &str,
        volume: &VolumeName,
        to_write: bool,
        labels: BTreeMap<String, String>,
    ) -> Result<(), EngineError> {
        let image = self.bare_image().await?;
        let mount = Mount {
            typ: Some(MountType::VOLUME),
            source: Some(volume.to_string()),
            target: Some(HELD.to_owned()),
            read_only: Some(!to_write),
            // Nothing of the image comes into it.
            volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
            ..Mount::default()
        };
        let body = ContainerCreateBody {
            image: Some(image),
            cmd: Some(vec!["never".to_owned()]),
            labels: Some(labels.into_iter().collect()),
            host_config: Some(HostConfig {
                mounts: Some(vec![mount]),
                network_mode: Some("none".to_owned()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(container).build();
        Ok(self.docker.create_container(Some(options), body).await.map(drop)?)
    }

    async fn bare_image(&self) -> Result<String, EngineError> {
        let name: ImageName = format!("{BARE}:{BARE_TAG}")
            .parse()
            .map_err(|error| EngineError::Garbled(format!("{BARE}: {error}")))?;
        if let Some(id) = self.image_id(&name).await? {
            return Ok(id);
        }
        let options = CreateImageOptionsBuilder::default().from_src("-").build();
        let nothing = bollard::body_full(Bytes::from_static(&NOTHING));
        let mut progress = self.docker.create_image(Some(options), Some(nothing), None);
        let mut made = None;
        while let Some(told) = progress.next().await {
            // Its identifier is the last word of both kinds of engine.
            made = told?.status.filter(|status| status.starts_with("sha256:")).or(made);
        }
        let id = made.ok_or_else(|| EngineError::Unfit(format!("the engine made no image {BARE}")))?;
        self.tag(&id, &name).await?;
        Ok(id)
    }

    /// How this engine takes in what is to be in a volume.
    pub fn naming(&self) -> Naming {
        if self.info.product == "Podman" { Naming::Bare } else { Naming::Below }
    }

    /// What is in the volume that a container holds, as an archive with these names.
    pub fn read_volume(&self, container: &str, naming: Naming) -> Chunks {
        let path = match naming {
            Naming::Below => HELD.to_owned(),
            Naming::Bare => format!("{HELD}/."),
        };
        let options = DownloadFromContainerOptionsBuilder::new().path(&path).build();
        let read = self.long.download_from_container(container, Some(options));
        read.map_err(EngineError::from).boxed()
    }

    /// Puts what [`Self::read_volume`] read, named as this engine takes it, into the volume that a container holds.
    pub async fn write_volume(
        &self,
        container: &str,
        archive: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), EngineError> {
        let path = match self.naming() {
            Naming::Below => "/",
            Naming::Bare => HELD,
        };
        // Whose it is stands in the archive.
        let options = UploadToContainerOptionsBuilder::new().path(path).copy_uidgid("false").build();
        let body = bollard::body_try_stream(archive);
        Ok(self.long.upload_to_container(container, Some(options), body).await?)
    }

    /// The running containers that have a volume, by name.
    pub async fn users(&self, volume: &VolumeName) -> Result<Vec<String>, EngineError> {
        let filters =
            HashMap::from([("volume", vec![volume.to_string()]), ("status", vec!["running".to_owned()])]);
        let options = ListContainersOptionsBuilder::default().filters(&filters).build();
        let listed = self.docker.list_containers(Some(options)).await?;
        Ok(listed.iter().filter_map(own_name).map(ToOwned::to_owned).collect())
    }
}
