//! `host_inspect`

use crate::actors::host::HostHandle;
use crate::actors::operation::Operation;
use crate::domain::phase::EngineInfo;
use crate::domain::toolset::Toolset;
use crate::engine::about::{Containers, EngineDetail};
use crate::engine::ports::{PortUse, Ports};
use crate::engine::usage::{DiskUsage, Share};
use crate::mcp::error::ToolError;
use crate::mcp::fleet::{Patience, on_host};
use crate::mcp::sections::{self, SectionFailure};
use crate::mcp::shape::{is_zero, told};
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use crate::transport::files::{Space, space};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The engine walks through all the files of all volumes.
const DISK_PATIENCE: Duration = Duration::from_secs(30);

/// Stopped containers are looked into one by one.
const PORTS_PATIENCE: Duration = Duration::from_secs(4);

/// `port_list` tells all, by pages.
const MOST_PORTS: usize = 100;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name.
    host: String,
    /// Which parts (default: all).
    sections: Option<Vec<Section>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Section {
    Engine,
    Resources,
    Disk,
    Ports,
    Warnings,
}

impl Section {
    const ALL: [Self; 5] = [Self::Engine, Self::Resources, Self::Disk, Self::Ports, Self::Warnings];

    /// Those that the engine's answer about itself is for.
    fn is_about(self) -> bool {
        matches!(self, Self::Engine | Self::Resources | Self::Warnings)
    }
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<EngineRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Resources>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<Disk>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<Vec<PortRow>>,
    /// Ports not told here; `port_list` tells them.
    #[serde(skip_serializing_if = "is_zero")]
    more_ports: usize,
    /// Of the engine, about itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<String>>,
    /// Sections that could not be read.
    errors: Vec<SectionFailure<Section>>,
}

#[derive(Serialize, JsonSchema)]
struct EngineRow {
    product: &'static str,
    version: String,
    /// The API version spoken with it.
    api: String,
    /// The machine's own name.
    name: String,
    os: String,
    kernel: String,
    arch: String,
    storage_driver: String,
    root_dir: String,
    log_driver: String,
    /// Whether it belongs to a swarm.
    swarm: bool,
    /// Whether it runs without root's powers.
    rootless: bool,
}

#[derive(Serialize, JsonSchema)]
struct Resources {
    /// Processors.
    cpus: u64,
    /// Bytes.
    memory: u64,
    containers: Counts,
    /// Intermediate layers included.
    images: u64,
}

#[derive(Serialize, JsonSchema)]
struct Counts {
    running: u64,
    paused: u64,
    stopped: u64,
}

#[derive(Serialize, JsonSchema)]
struct Disk {
    images: Total,
    /// What containers have written beside their volumes.
    containers: Total,
    volumes: Total,
    build_cache: Total,
    /// That the engine keeps everything on; where the host has a shell.
    #[serde(skip_serializing_if = "Option::is_none")]
    filesystem: Option<Filesystem>,
}

#[derive(Serialize, JsonSchema)]
struct Total {
    count: usize,
    /// Bytes.
    size: u64,
    /// Bytes of what is not in use.
    reclaimable: u64,
}

#[derive(Serialize, JsonSchema)]
struct Filesystem {
    /// Bytes.
    size: u64,
    /// Bytes.
    free: u64,
}

#[derive(Serialize, JsonSchema)]
struct PortRow {
    port: u16,
    proto: String,
    /// * is every address.
    ip: String,
    container: String,
    /// One that does not run only wants the port.
    state: String,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "host_inspect",
        title: "Inspect a host",
        description: "One host: engine, operating system, processors and memory, disk use and free space, published ports, warnings. Sections that cannot be read are named under errors.",
        toolset: Toolset::Hosts,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let host = context.directory.host(&parameters.host)?;
    let sections = sections::chosen(parameters.sections, &Section::ALL);
    let of = |section: Section| sections.contains(&section);
    let of_about: Vec<Section> = Section::ALL.into_iter().filter(|one| one.is_about() && of(*one)).collect();
    let (about, disk, ports) = tokio::join!(
        when(!of_about.is_empty(), about(&context, &host)),
        when(of(Section::Disk), disk(&context, &host)),
        when(of(Section::Ports), ports(&context, &host)),
    );
    let mut failed = Vec::new();
    let about = read(about, &of_about, &mut failed);
    let disk = read(disk, &[Section::Disk], &mut failed);
    let ports = read(ports, &[Section::Ports], &mut failed);
    if about.is_none()
        && disk.is_none()
        && ports.is_none()
        && let Some((_, error)) = failed.pop()
    {
        return Err(error);
    }
    let (mut ports, mut more_ports) = (ports.map(|ports| ports.uses), 0);
    if let Some(uses) = &mut ports {
        more_ports = uses.len().saturating_sub(MOST_PORTS);
        uses.truncate(MOST_PORTS);
    }
    Ok(Answer {
        host: host.spec().id.to_string(),
        engine: about.as_ref().filter(|_| of(Section::Engine)).map(engine),
        resources: about.as_ref().filter(|_| of(Section::Resources)).map(|(_, detail)| resources(detail)),
        disk: disk.map(|(usage, space)| disk_row(&usage, space)),
        ports: ports.map(|uses| uses.into_iter().map(port).collect()),
        more_ports,
        warnings: about
            .filter(|_| of(Section::Warnings))
            .map(|(_, detail)| detail.warnings.iter().map(|warning| told(warning)).collect()),
        errors: failed.into_iter().map(|(section, error)| SectionFailure::new(section, error)).collect(),
    })
}

async fn when<T>(wanted: bool, read: impl Future<Output = T>) -> Option<T> {
    if wanted { Some(read.await) } else { None }
}

/// What was read, or nothing: then what failed these sections is put down.
fn read<T>(
    outcome: Option<Result<T, ToolError>>,
    sections: &[Section],
    failed: &mut Vec<(Section, ToolError)>,
) -> Option<T> {
    outcome?.map_err(|error| failed.extend(sections.iter().map(|section| (*section, error.clone())))).ok()
}

async fn about(context: &ToolContext, host: &HostHandle) -> Result<(EngineInfo, EngineDetail), ToolError> {
    on_host(Patience::Quick, context, host, async |operation| {
        let engine = operation.engine();
        Ok((engine.info().clone(), engine.about().await?))
    })
    .await
}

async fn disk(context: &ToolContext, host: &HostHandle) -> Result<(DiskUsage, Option<Space>), ToolError> {
    on_host(Patience::Within(DISK_PATIENCE), context, host, async |operation| {
        let engine = operation.engine();
        let free = async { Ok(free_space(&operation, &engine.about().await?.root_dir).await) };
        Ok(tokio::try_join!(engine.disk_usage(), free)?)
    })
    .await
}

/// The file system an engine keeps everything on, where its host has a shell to ask.
pub(super) async fn free_space(operation: &Operation, root_dir: &str) -> Option<Space> {
    if !root_dir.starts_with('/') {
        return None;
    }
    let found = space(operation.link(), root_dir).await;
    found.inspect_err(|fault| tracing::debug!(%fault, "the free space is not told")).ok()
}

async fn ports(context: &ToolContext, host: &HostHandle) -> Result<Ports, ToolError> {
    let patience = Patience::Longer(PORTS_PATIENCE);
    on_host(patience, context, host, async |operation| Ok(operation.engine().ports().await?)).await
}

fn engine((info, detail): &(EngineInfo, EngineDetail)) -> EngineRow {
    EngineRow {
        product: info.product,
        version: told(&info.version),
        api: info.api.clone(),
        name: told(&detail.name),
        os: told(&detail.os),
        kernel: told(&detail.kernel),
        arch: told(&detail.arch),
        storage_driver: told(&detail.storage_driver),
        root_dir: told(&detail.root_dir),
        log_driver: told(&detail.log_driver),
        swarm: detail.swarm,
        rootless: detail.rootless,
    }
}

fn resources(detail: &EngineDetail) -> Resources {
    let Containers { running, paused, stopped } = detail.containers;
    Resources {
        cpus: detail.cpus,
        memory: detail.memory,
        containers: Counts { running, paused, stopped },
        images: detail.images,
    }
}

fn disk_row(usage: &DiskUsage, space: Option<Space>) -> Disk {
    let total = |share: Share| Total { count: share.count, size: share.size, reclaimable: share.reclaimable };
    Disk {
        images: total(usage.images),
        containers: total(usage.containers),
        volumes: total(usage.volumes),
        build_cache: total(usage.build_cache),
        filesystem: space.map(|Space { size, free }| Filesystem { size, free }),
    }
}

fn port(used: PortUse) -> PortRow {
    let PortUse { binding, container, state } = used;
    let ip = binding.ip.map_or_else(|| "*".to_owned(), |ip| ip.to_string());
    PortRow { port: binding.port, proto: told(&binding.protocol), ip, container: told(&container), state }
}
