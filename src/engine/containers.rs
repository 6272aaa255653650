//! Containers: the list and the detail of one.

use super::volumes::is_anonymous;
use super::{Engine, EngineError};
use crate::domain::container::ContainerName;
use bollard::models::{ContainerInspectResponse, ContainerSummary, EndpointSettings, HostConfig, MountPoint};
use bollard::query_parameters::ListContainersOptionsBuilder;
use std::collections::{BTreeMap, HashMap};

/// A container in a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Container {
    /// The full identifier.
    pub id: String,
    /// Its name without the slash.
    pub name: String,
    /// The image as it was named when the container was made.
    pub image: String,
    /// The image's identifier.
    pub image_id: String,
    /// `running`, `exited`, `created`, `paused`, `restarting`, `removing` or `dead`.
    pub state: String,
    /// The engine's words, such as `Up 3 hours (healthy)`.
    pub status: String,
    /// Seconds since the epoch.
    pub created: i64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its ports.
    pub ports: Vec<Port>,
    /// The networks it is attached to.
    pub networks: Vec<String>,
    /// The volumes it has mounted.
    pub volumes: Vec<String>,
    /// All its mounts.
    pub mounts: Vec<Mount>,
}

impl Container {
    /// `healthy`, `unhealthy` or `starting`, where the image has a health check.
    pub fn health(&self) -> Option<&'static str> {
        // The list has no field for it before API 1.52; every version says it in the status.
        ["(healthy)", "(unhealthy)", "(health: starting)"]
            .into_iter()
            .zip(["healthy", "unhealthy", "starting"])
            .find(|(words, _)| self.status.ends_with(words))
            .map(|(_, health)| health)
    }
}

/// A port of a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// The address it is published on; `None` when it is not published.
    pub ip: Option<String>,
    /// The port it is published as.
    pub public: Option<u16>,
    /// The port inside.
    pub private: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// One container in full.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ContainerDetail {
    /// The full identifier.
    pub id: String,
    /// Its name without the slash.
    pub name: String,
    /// The image as it was named.
    pub image: String,
    /// The image's identifier.
    pub image_id: String,
    /// RFC 3339.
    pub created: String,
    /// `running`, `exited` …
    pub state: String,
    /// RFC 3339; empty when it never ran.
    pub started_at: String,
    /// RFC 3339; empty while it runs or when it never ran.
    pub finished_at: String,
    /// The last exit code, when it is not running.
    pub exit_code: Option<i64>,
    /// Whether the kernel killed it for its memory.
    pub oom_killed: bool,
    /// The engine's words about a failed start.
    pub error: String,
    /// How often the engine restarted it.
    pub restart_count: i64,
    /// `no`, `always`, `unless-stopped`, `on-failure`.
    pub restart_policy: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// The user inside.
    pub user: String,
    /// The directory it starts in.
    pub working_dir: String,
    /// The host name inside.
    pub hostname: String,
    /// Whether it has a terminal; its log is then one raw stream.
    pub tty: bool,
    /// `KEY=VALUE`.
    pub env: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its mounts.
    pub mounts: Vec<Mount>,
    /// Its networks.
    pub networks: Vec<Network>,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Its health, where it has a check.
    pub health: Option<Health>,
    /// What it may use and do.
    pub limits: Limits,
    /// Paths inside that lie in memory.
    pub tmpfs: Vec<String>,
    /// Whether it goes when it stops.
    pub auto_remove: bool,
    /// Seconds it gets to stop when nothing else is said, where it says so itself.
    pub stop_timeout: Option<u32>,
}

/// A mount of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs` …
    pub kind: String,
    /// The volume's name or the host's path.
    pub source: String,
    /// The path inside.
    pub target: String,
    /// Whether it may be written.
    pub writable: bool,
}

impl Mount {
    /// Whether it is a volume that nobody has given a name: it goes with its container when that is asked for.
    pub fn is_anonymous_volume(&self) -> bool {
        self.kind == "volume" && is_anonymous(&self.source)
    }
}

/// A network of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// The container's address on it.
    pub ip: String,
    /// Names the container answers to on it.
    pub aliases: Vec<String>,
}

/// A container's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// `healthy`, `unhealthy`, `starting`.
    pub status: String,
    /// Failures in a row.
    pub failing_streak: i64,
    /// What the last check printed.
    pub last_output: String,
}

/// What a container may use and do; zero means unlimited.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    /// Bytes.
    pub memory: i64,
    /// Processors, in thousand-millionths.
    pub nano_cpus: i64,
    /// Processes.
    pub pids: i64,
    /// Whether it runs with all of the host's powers.
    pub privileged: bool,
    /// Added capabilities.
    pub cap_add: Vec<String>,
    /// Dropped capabilities.
    pub cap_drop: Vec<String>,
}

impl Engine {
    /// All containers, running or not, by name: one request.
    pub async fn containers(&self) -> Result<Vec<Container>, EngineError> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let listed = self.docker.list_containers(Some(options)).await?;
        let mut containers: Vec<Container> = listed.into_iter().map(Container::from).collect();
        containers.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
        Ok(containers)
    }

    /// One container by name or identifier.
    pub async fn container(&self, name: &ContainerName) -> Result<ContainerDetail, EngineError> {
        Ok(self.docker.inspect_container(name.as_str(), None).await?.into())
    }

    /// The image of a container by the name it was made with. The list tells an identifier once the tag is another image's.
    pub async fn image_name(&self, container: &Container) -> Result<String, EngineError> {
        let id = container.image_id.trim_start_matches("sha256:");
        let is_id =
            !container.image.is_empty() && id.starts_with(container.image.trim_start_matches("sha256:"));
        match container.id.parse::<ContainerName>() {
            Ok(name) if is_id => Ok(self.container(&name).await?.image),
            _ => Ok(container.image.clone()),
        }
    }

    /// The processes of a running container: titles, then one row each.
    pub async fn processes(
        &self,
        name: &ContainerName,
    ) -> Result<(Vec<String>, Vec<Vec<String>>), EngineError> {
        let top = self.docker.top_processes(name.as_str(), None).await?;
        Ok((top.titles.unwrap_or_default(), top.processes.unwrap_or_default()))
    }

    /// Paths changed since the container was made: `A`dded, `C`hanged or `D`eleted, and the path.
    pub async fn changes(&self, name: &ContainerName) -> Result<Vec<(char, String)>, EngineError> {
        let changes = self.docker.container_changes(name.as_str()).await?.unwrap_or_default();
        // Kinds as the Engine API numbers them.
        let letter = |kind: i64| match kind {
            1 => 'A',
            2 => 'D',
            _ => 'C',
        };
        Ok(changes.into_iter().map(|change| (letter(change.kind as i64), change.path)).collect())
    }
}

/// The name of a container's own: for every legacy link it has a second one, with a slash inside.
pub(super) fn own_name(container: &ContainerSummary) -> Option<&str> {
    let mut names = container.names.iter().flatten().map(|name| name.trim_start_matches('/'));
    names.find(|name| !name.contains('/'))
}

impl From<ContainerSummary> for Container {
    fn from(summary: ContainerSummary) -> Self {
        let own = own_name(&summary).map(ToOwned::to_owned);
        let id = summary.id.unwrap_or_default();
        let mut ports: Vec<Port> = summary
            .ports
            .unwrap_or_default()
            .into_iter()
            .map(|port| Port {
                ip: port.ip.filter(|ip| !ip.is_empty()),
                public: port.public_port.filter(|public| *public != 0),
                private: port.private_port,
                protocol: port.typ.map(|typ| typ.to_string()).unwrap_or_default(),
            })
            .collect();
        ports.sort();
        let mut networks: Vec<String> = summary
            .network_settings
            .and_then(|settings| settings.networks)
            .map(|networks| networks.into_keys().collect())
            .unwrap_or_default();
        networks.sort();
        let mut mounts: Vec<Mount> =
            summary.mounts.unwrap_or_default().into_iter().map(Mount::from).collect();
        // Engines tell them in any order.
        mounts.sort_by(|a, b| a.target.cmp(&b.target));
        let volumes = mounts.iter().filter(|mount| mount.kind == "volume");
        let volumes = volumes.map(|mount| mount.source.clone()).collect();
        Self {
            name: own.unwrap_or_else(|| id.clone()),
            id,
            image: summary.image.unwrap_or_default(),
            image_id: summary.image_id.unwrap_or_default(),
            state: summary.state.map(|state| state.to_string()).unwrap_or_default(),
            status: summary.status.unwrap_or_default(),
            created: summary.created.unwrap_or_default(),
            labels: sorted(summary.labels),
            ports,
            networks,
            volumes,
            mounts,
        }
    }
}

impl From<ContainerInspectResponse> for ContainerDetail {
    fn from(found: ContainerInspectResponse) -> Self {
        let state = found.state.unwrap_or_default();
        let config = found.config.unwrap_or_default();
        let host = found.host_config.unwrap_or_default();
        let settings = found.network_settings.unwrap_or_default();
        let running = state.running.unwrap_or_default();
        let command = found.path.into_iter().chain(found.args.into_iter().flatten()).collect();
        let health = state.health.and_then(|health| {
            let status = health.status.map(|status| status.to_string())?;
            let last = health.log.unwrap_or_default().pop().and_then(|result| result.output);
            (!status.is_empty() && status != "none").then(|| Health {
                status,
                failing_streak: health.failing_streak.unwrap_or_default(),
                last_output: last.unwrap_or_default(),
            })
        });
        Self {
            id: found.id.unwrap_or_default(),
            name: found.name.unwrap_or_default().trim_start_matches('/').to_owned(),
            image: config.image.unwrap_or_default(),
            image_id: found.image.unwrap_or_default(),
            created: found.created.unwrap_or_default(),
            state: state.status.map(|status| status.to_string()).unwrap_or_default(),
            started_at: real_time(state.started_at),
            finished_at: real_time(state.finished_at),
            exit_code: state.exit_code.filter(|_| !running),
            oom_killed: state.oom_killed.unwrap_or_default(),
            error: state.error.unwrap_or_default(),
            restart_count: found.restart_count.unwrap_or_default(),
            restart_policy: restart_policy(&host),
            command,
            user: config.user.unwrap_or_default(),
            working_dir: config.working_dir.unwrap_or_default(),
            hostname: config.hostname.unwrap_or_default(),
            tty: config.tty.unwrap_or_default(),
            env: config.env.unwrap_or_default(),
            labels: sorted(config.labels),
            mounts: found.mounts.unwrap_or_default().into_iter().map(Mount::from).collect(),
            networks: networks(settings.networks.unwrap_or_default()),
            ports: bound_ports(settings.ports.unwrap_or_default()),
            health,
            tmpfs: tmpfs(&host),
            auto_remove: host.auto_remove.unwrap_or_default(),
            // Less than nothing is forever.
            stop_timeout: config.stop_timeout.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
            limits: limits(host),
        }
    }
}

/// The engine writes the year 1 where there is no time.
fn real_time(time: Option<String>) -> String {
    time.filter(|time| !time.starts_with("0001-")).unwrap_or_default()
}

fn restart_policy(host: &HostConfig) -> String {
    let name = host.restart_policy.as_ref().and_then(|policy| policy.name);
    name.map(|name| name.to_string()).filter(|name| !name.is_empty()).unwrap_or_else(|| "no".to_owned())
}

fn tmpfs(host: &HostConfig) -> Vec<String> {
    let mounted = host.mounts.iter().flatten();
    let mounted = mounted.filter(|mount| mount.typ.is_some_and(|kind| kind.to_string() == "tmpfs"));
    let mounted = mounted.filter_map(|mount| mount.target.clone());
    host.tmpfs.iter().flatten().map(|(path, _)| path.clone()).chain(mounted).collect()
}

fn limits(host: HostConfig) -> Limits {
    Limits {
        memory: host.memory.unwrap_or_default(),
        nano_cpus: host.nano_cpus.unwrap_or_default(),
        pids: host.pids_limit.unwrap_or_default(),
        privileged: host.privileged.unwrap_or_default(),
        cap_add: host.cap_add.unwrap_or_default(),
        cap_drop: host.cap_drop.unwrap_or_default(),
    }
}

impl From<MountPoint> for Mount {
    fn from(mount: MountPoint) -> Self {
        Self {
            kind: mount.typ.unwrap_or_default(),
            source: mount.name.or(mount.source).unwrap_or_default(),
            target: mount.destination.unwrap_or_default(),
            writable: mount.rw.unwrap_or_default(),
        }
    }
}

fn networks(networks: HashMap<String, EndpointSettings>) -> Vec<Network> {
    let mut networks: Vec<Network> = networks
        .into_iter()
        .map(|(name, endpoint)| Network {
            name,
            ip: endpoint.ip_address.unwrap_or_default(),
            aliases: endpoint.aliases.unwrap_or_default(),
        })
        .collect();
    networks.sort_by(|a, b| a.name.cmp(&b.name));
    networks
}

fn bound_ports(ports: bollard::models::PortMap) -> Vec<Port> {
    let mut bound = Vec::new();
    for (inside, bindings) in ports {
        let (number, protocol) = inside.split_once('/').unwrap_or((&inside, "tcp"));
        let Ok(private) = number.parse() else { continue };
        let port = |ip, public| Port { ip, public, private, protocol: protocol.to_owned() };
        match bindings.filter(|bindings| !bindings.is_empty()) {
            None => bound.push(port(None, None)),
            Some(bindings) => bound.extend(bindings.into_iter().map(|binding| {
                let public = binding.host_port.and_then(|public| public.parse().ok());
                port(binding.host_ip.filter(|ip| !ip.is_empty()), public)
            })),
        }
    }
    bound.sort();
    bound
}

fn sorted(labels: Option<HashMap<String, String>>) -> BTreeMap<String, String> {
    labels.unwrap_or_default().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_read_from_the_status_of_every_version() {
        let with = |status: &str| Container { status: status.into(), ..Container::default() };
        assert_eq!(with("Up 2 hours (healthy)").health(), Some("healthy"));
        assert_eq!(with("Up 2 hours (unhealthy)").health(), Some("unhealthy"));
        assert_eq!(with("Up 1 second (health: starting)").health(), Some("starting"));
        assert_eq!(with("Up 2 hours").health(), None);
    }

    #[test]
    fn a_container_is_called_by_its_own_name_not_by_a_links() {
        let summary = ContainerSummary {
            id: Some("abc".into()),
            names: Some(vec!["/web/db".into(), "/db".into()]),
            ..ContainerSummary::default()
        };
        assert_eq!(Container::from(summary).name, "db");
    }
}
