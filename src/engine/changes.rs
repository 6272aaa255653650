//! What changes something on an engine: each call is one request, and repeating it does no harm beyond
//! what its own words say.

use super::containers::own_name;
use super::volumes::is_anonymous;
use super::{Engine, EngineError};
use crate::domain::change::{PruneKind, Thing};
use crate::domain::container::ContainerName;
use crate::domain::image::{ImageName, Platform};
use crate::domain::run::{LimitSpec, NANO_PER_MILLI, RestartPolicy, RunSpec};
use bollard::models::{
    ContainerCreateBody, ContainerUpdateBody, EndpointSettings, HostConfig, NetworkingConfig, PortBinding,
    PortMap, RestartPolicy as WireRestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, ListContainersOptionsBuilder,
    ListImagesOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
    PruneBuildOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
    RemoveVolumeOptionsBuilder, RenameContainerOptionsBuilder, RestartContainerOptionsBuilder,
    StopContainerOptionsBuilder,
};
use futures_util::StreamExt as _;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Something that nothing uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    /// What.
    pub thing: Thing,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it was made, in seconds since the epoch, as far as the engine says.
    pub created: Option<i64>,
}

fn seconds_of(time: Option<&str>) -> Option<i64> {
    time?.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

impl Engine {
    /// Starts a container; one that runs is left running.
    pub async fn start(&self, id: &str) -> Result<(), EngineError> {
        Ok(self.docker.start_container(id, None).await?)
    }

    /// Lets a paused container go on.
    pub async fn unpause(&self, id: &str) -> Result<(), EngineError> {
        Ok(self.docker.unpause_container(id).await?)
    }

    /// Freezes a running container.
    pub async fn pause(&self, id: &str) -> Result<(), EngineError> {
        Ok(self.docker.pause_container(id).await?)
    }

    /// Ends a running container at once.
    pub async fn kill(&self, id: &str) -> Result<(), EngineError> {
        Ok(self.docker.kill_container(id, None).await?)
    }

    /// Gives a container another name.
    pub async fn rename(&self, id: &str, name: &ContainerName) -> Result<(), EngineError> {
        let options = RenameContainerOptionsBuilder::default().name(name.as_str()).build();
        Ok(self.docker.rename_container(id, options).await?)
    }

    /// Changes what a container may use.
    pub async fn update(&self, id: &str, limits: &LimitSpec) -> Result<(), EngineError> {
        let known = self.docker.inspect_container(id, None).await?.host_config.unwrap_or_default();
        // Engines hold memory and swap together, and refuse more memory than both: none stays none, and no limit no
        // limit. Twice the memory is their own default.
        let memory_swap = limits.memory.map(|memory| match known.memory_swap {
            Some(-1) => -1,
            Some(swap) if swap > 0 && Some(swap) == known.memory => memory,
            _ => memory.saturating_mul(2),
        });
        let change = ContainerUpdateBody {
            memory: limits.memory,
            memory_swap,
            nano_cpus: limits.milli_cpus.map(|milli| milli.saturating_mul(NANO_PER_MILLI)),
            restart_policy: limits.restart.map(restart_policy),
            ..ContainerUpdateBody::default()
        };
        Ok(self.docker.update_container(id, change).await?)
    }

    /// Stops a container, killed after `grace` seconds; one that does not run is left so.
    pub async fn stop(&self, id: &str, grace: Option<u32>) -> Result<(), EngineError> {
        let mut options = StopContainerOptionsBuilder::default();
        if let Some(grace) = grace {
            options = options.t(seconds(grace));
        }
        Ok(self.docker.stop_container(id, Some(options.build())).await?)
    }

    /// Stops and starts a container. A second call does it again.
    pub async fn restart(&self, id: &str, grace: Option<u32>) -> Result<(), EngineError> {
        let mut options = RestartContainerOptionsBuilder::default();
        if let Some(grace) = grace {
            options = options.t(seconds(grace));
        }
        Ok(self.docker.restart_container(id, Some(options.build())).await?)
    }

    /// Removes a container.
    pub async fn remove(&self, id: &str, force: bool, volumes: bool) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::default().force(force).v(volumes).build();
        Ok(self.docker.remove_container(id, Some(options)).await?)
    }

    /// Makes a container with `labels` beside its own; returns its identifier.
    pub async fn create(
        &self,
        spec: &RunSpec,
        labels: &BTreeMap<String, String>,
    ) -> Result<String, EngineError> {
        let mut options = CreateContainerOptionsBuilder::default();
        if let Some(name) = &spec.name {
            options = options.name(name.as_str());
        }
        let made = self.docker.create_container(Some(options.build()), body(spec, labels)).await?;
        Ok(made.id)
    }

    /// The identifiers of the containers that bear this label with this value.
    pub async fn labelled(&self, label: &str, value: &str) -> Result<Vec<String>, EngineError> {
        let filters = HashMap::from([("label", vec![format!("{label}={value}")])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self.docker.list_containers(Some(options)).await?;
        Ok(listed.into_iter().filter_map(|container| container.id).collect())
    }

    /// The identifier of the image of this name, where there is one.
    pub async fn image_id(&self, image: &ImageName) -> Result<Option<String>, EngineError> {
        match self.docker.inspect_image(image.as_str()).await.map_err(EngineError::from) {
            Ok(found) => Ok(found.id),
            Err(EngineError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Pulls an image.
    pub async fn pull(&self, image: &ImageName, platform: Option<&Platform>) -> Result<(), EngineError> {
        let (repository, tag) = image.repository_and_tag();
        let mut options = CreateImageOptionsBuilder::default().from_image(repository).tag(tag);
        if let Some(platform) = platform {
            options = options.platform(platform.as_str());
        }
        let mut progress = self.docker.create_image(Some(options.build()), None, None);
        while let Some(told) = progress.next().await {
            told?;
        }
        Ok(())
    }

    /// What of a kind nothing uses. The build cache is not told apart: there is nothing to name.
    pub async fn unused(&self, kind: PruneKind) -> Result<Vec<Unused>, EngineError> {
        let labels =
            |labels: Option<HashMap<String, String>>| labels.unwrap_or_default().into_iter().collect();
        let dangling = HashMap::from([("dangling", vec!["true"])]);
        match kind {
            PruneKind::Containers => {
                let mut options = ListContainersOptionsBuilder::default().all(true).size(true);
                // Measuring takes long, and all that is listed is. Podman knows other states.
                let over = HashMap::from([("status", vec!["created", "exited", "dead"])]);
                if self.info().product != "Podman" {
                    options = options.filters(&over);
                }
                let mut listed = self.docker.list_containers(Some(options.build())).await?;
                listed.retain(|container| {
                    let state = container.state.as_ref().map(ToString::to_string).unwrap_or_default();
                    matches!(&*state, "created" | "exited" | "dead")
                });
                let thing = |container: bollard::models::ContainerSummary| {
                    let name = own_name(&container).unwrap_or_default().to_owned();
                    let id = container.id?;
                    let thing = Thing { id, name, bytes: container.size_rw };
                    Some(Unused { thing, labels: labels(container.labels), created: container.created })
                };
                Ok(listed.into_iter().filter_map(thing).collect())
            }
            PruneKind::Networks => {
                let options = ListNetworksOptionsBuilder::default().filters(&dangling).build();
                let listed = self.docker.list_networks(Some(options)).await?;
                // The engine counts running containers alone; a stopped one wants its network back.
                let used: BTreeSet<String> =
                    self.containers().await?.into_iter().flat_map(|container| container.networks).collect();
                let things = listed.into_iter().filter_map(|network| {
                    let (id, name) = (network.id?, network.name?);
                    let keeps =
                        used.contains(&name) || matches!(&*name, "bridge" | "host" | "none" | "podman");
                    let thing = Thing { id, name, bytes: None };
                    let created = seconds_of(network.created.as_deref());
                    (!keeps).then(|| Unused { thing, labels: labels(network.labels), created })
                });
                Ok(things.collect())
            }
            PruneKind::Images => {
                let options =
                    ListImagesOptionsBuilder::default().filters(&dangling).shared_size(true).build();
                let listed = self.docker.list_images(Some(options)).await?;
                let used: BTreeSet<String> =
                    self.containers().await?.into_iter().map(|container| container.image_id).collect();
                let things = listed.into_iter().filter(|image| !used.contains(&image.id)).map(|image| {
                    let name = image.id.trim_start_matches("sha256:").chars().take(12).collect();
                    // Its own layers: what others have too may stay. Engines that do not know say -1.
                    let own = (image.shared_size >= 0).then_some(image.size - image.shared_size);
                    let thing = Thing { id: image.id, name, bytes: own };
                    Unused { thing, labels: image.labels.into_iter().collect(), created: Some(image.created) }
                });
                Ok(things.collect())
            }
            PruneKind::Volumes => {
                let options = ListVolumesOptionsBuilder::default().filters(&dangling).build();
                let listed = self.docker.list_volumes(Some(options)).await?;
                let anonymous = listed.volumes.unwrap_or_default().into_iter();
                let anonymous = anonymous.filter(|volume| is_anonymous(&volume.name));
                let things = anonymous.map(|volume| {
                    let thing = Thing { id: volume.name.clone(), name: volume.name, bytes: None };
                    let created = seconds_of(volume.created_at.as_deref());
                    Unused { thing, labels: volume.labels.into_iter().collect(), created }
                });
                Ok(things.collect())
            }
            PruneKind::BuildCache => Ok(vec![]),
        }
    }

    /// Whether there is such a thing, used or not.
    pub async fn has(&self, kind: PruneKind, id: &str) -> Result<bool, EngineError> {
        let looked = match kind {
            PruneKind::Containers => self.docker.inspect_container(id, None).await.map(drop),
            PruneKind::Networks => self.docker.inspect_network(id, None).await.map(drop),
            PruneKind::Images => self.docker.inspect_image(id).await.map(drop),
            PruneKind::Volumes => self.docker.inspect_volume(id).await.map(drop),
            PruneKind::BuildCache => return Ok(false),
        };
        match looked.map_err(EngineError::from) {
            Ok(()) => Ok(true),
            Err(EngineError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes an unused thing, unless it is used by now: then the engine refuses.
    pub async fn remove_unused(&self, kind: PruneKind, id: &str) -> Result<(), EngineError> {
        match kind {
            PruneKind::Containers => self.remove(id, false, false).await,
            PruneKind::Networks => Ok(self.docker.remove_network(id).await?),
            PruneKind::Images => {
                let options = RemoveImageOptionsBuilder::default().force(false).build();
                self.docker.remove_image(id, Some(options), None).await?;
                Ok(())
            }
            PruneKind::Volumes => {
                let options = RemoveVolumeOptionsBuilder::default().force(false).build();
                Ok(self.docker.remove_volume(id, Some(options)).await?)
            }
            PruneKind::BuildCache => Ok(()),
        }
    }

    /// Empties the build cache of what nothing uses, or has used for so many seconds; returns what that freed, in
    /// bytes.
    pub async fn prune_build_cache(&self, unused_for: Option<u64>) -> Result<i64, EngineError> {
        let mut options = PruneBuildOptionsBuilder::default().all(false);
        if let Some(seconds) = unused_for {
            options = options.filters(&HashMap::from([("until", vec![format!("{seconds}s")])]));
        }
        let pruned = self.docker.prune_build(Some(options.build())).await?;
        Ok(pruned.space_reclaimed.unwrap_or_default())
    }
}

fn seconds(grace: u32) -> i32 {
    i32::try_from(grace).unwrap_or(i32::MAX)
}

fn restart_policy(policy: RestartPolicy) -> WireRestartPolicy {
    let name = match policy {
        RestartPolicy::No => RestartPolicyNameEnum::NO,
        RestartPolicy::OnFailure => RestartPolicyNameEnum::ON_FAILURE,
        RestartPolicy::UnlessStopped => RestartPolicyNameEnum::UNLESS_STOPPED,
        RestartPolicy::Always => RestartPolicyNameEnum::ALWAYS,
    };
    WireRestartPolicy { name: Some(name), maximum_retry_count: None }
}

fn body(spec: &RunSpec, labels: &BTreeMap<String, String>) -> ContainerCreateBody {
    let env = spec.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let labels = spec.labels.iter().chain(labels).map(|(key, value)| (key.clone(), value.clone())).collect();
    let inside =
        |port: &crate::domain::run::PublishedPort| format!("{}/{}", port.private, port.protocol.word());
    let mut bindings = PortMap::new();
    for port in &spec.ports {
        let binding = PortBinding {
            host_ip: port.ip.map(|ip| ip.to_string()),
            host_port: Some(port.public.map(|public| public.to_string()).unwrap_or_default()),
        };
        bindings.entry(inside(port)).or_insert_with(|| Some(vec![])).get_or_insert_default().push(binding);
    }
    let endpoints = spec.networks.iter().map(|name| (name.clone(), EndpointSettings::default())).collect();
    let host = HostConfig {
        binds: Some(spec.volumes.iter().cloned().map(String::from).collect()),
        port_bindings: Some(bindings),
        restart_policy: Some(restart_policy(spec.restart)),
        network_mode: spec.networks.first().cloned(),
        memory: spec.memory,
        nano_cpus: spec.milli_cpus.map(|milli| milli.saturating_mul(NANO_PER_MILLI)),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        image: Some(spec.image.to_string()),
        cmd: (!spec.command.is_empty()).then(|| spec.command.clone()),
        env: Some(env),
        labels: Some(labels),
        exposed_ports: Some(spec.ports.iter().map(inside).collect()),
        host_config: Some(host),
        networking_config: Some(NetworkingConfig { endpoints_config: Some(endpoints) }),
        ..ContainerCreateBody::default()
    }
}
