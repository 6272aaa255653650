//! Volumes, one at a time: how each is, made and removed.

use super::{Engine, EngineError};
use crate::domain::thing::{VolumeName, VolumeSpec};
use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::RemoveVolumeOptionsBuilder;
use std::collections::BTreeMap;

/// The engine gives a volume without a name this many hexadecimal digits for one.
const ANONYMOUS_NAME: usize = 64;

/// Whether it is the name of a volume that nobody has given one.
pub(super) fn is_anonymous(name: &str) -> bool {
    name.len() == ANONYMOUS_NAME && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeDetail {
    /// Its name.
    pub name: String,
    /// Who keeps it.
    pub driver: String,
    /// When it was made, as the engine wrote it; empty where it does not tell.
    pub created: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether its driver was told something, as of a path of the host or a file server.
    pub has_options: bool,
}

impl VolumeDetail {
    /// What tells it from another volume of the name.
    pub fn identity(&self) -> String {
        format!("{} {}", self.name, self.created)
    }
}

impl Engine {
    /// The volume of this name.
    pub async fn volume(&self, name: &VolumeName) -> Result<VolumeDetail, EngineError> {
        let found = self.docker.inspect_volume(name.as_str()).await?;
        Ok(VolumeDetail {
            name: found.name,
            driver: found.driver,
            created: found.created_at.unwrap_or_default(),
            labels: found.labels.into_iter().collect(),
            has_options: !found.options.is_empty(),
        })
    }

    /// Makes a volume; one of the name that is there already is left as it is.
    pub async fn create_volume(&self, spec: &VolumeSpec) -> Result<(), EngineError> {
        let request = VolumeCreateRequest {
            name: Some(spec.name.to_string()),
            driver: spec.driver.as_ref().map(ToString::to_string),
            driver_opts: Some(spec.options.clone().into_iter().collect()),
            labels: Some(spec.labels.clone().into_iter().collect()),
            ..VolumeCreateRequest::default()
        };
        Ok(self.docker.create_volume(request).await.map(drop)?)
    }

    /// Removes a volume that no container has mounted.
    pub async fn remove_volume(&self, name: &VolumeName) -> Result<(), EngineError> {
        let options = RemoveVolumeOptionsBuilder::default().force(false).build();
        Ok(self.docker.remove_volume(name.as_str(), Some(options)).await?)
    }
}
