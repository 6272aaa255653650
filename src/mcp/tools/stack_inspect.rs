//! `stack_inspect`

use super::stack_file_read::{File, texts_of};
use super::stack_list::{members_of, no_stack};
use crate::actors::host::HostHandle;
use crate::compose::Member;
use crate::compose::locate::StackFiles;
use crate::compose::read::StackText;
use crate::domain::redact;
use crate::domain::stack::StackName;
use crate::domain::text::clean;
use crate::domain::toolset::Toolset;
use crate::engine::containers::Mount;
use crate::engine::inventory::{Network as EngineNetwork, Volume as EngineVolume};
use crate::engine::{Engine, EngineError};
use crate::mcp::error::{ErrorKind, ToolError, stack_error};
use crate::mcp::fleet::{Patience, on_host};
use crate::mcp::sections::{self, SectionFailure};
use crate::mcp::shape::{is_zero, ports, told};
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use futures_util::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Finding and reading files takes a handful of round trips.
const FILES_LIMIT: Duration = Duration::from_secs(25);

/// Containers asked for their environment at once.
const AT_ONCE: usize = 4;

/// Characters that the rows of a section may take.
const SERVICES_ROOM: usize = 16_000;
const ENV_ROOM: usize = 10_000;
const OTHER_ROOM: usize = 4_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name.
    host: String,
    /// Stack name.
    stack: String,
    /// Which parts (default: services, config).
    sections: Option<Vec<Section>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Section {
    Services,
    Config,
    Env,
    Networks,
    Volumes,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    host: String,
    name: String,
    /// running, partial or stopped.
    status: &'static str,
    /// Its containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    services: Option<Vec<ServiceRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Config>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<Vec<EnvRow>>,
    /// Those its containers are on.
    #[serde(skip_serializing_if = "Option::is_none")]
    networks: Option<Vec<Network>>,
    /// Those its containers have mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    volumes: Option<Vec<Volume>>,
    /// Rows that found no room.
    #[serde(skip_serializing_if = "is_zero")]
    more: usize,
    /// Sections that could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<SectionFailure<Section>>,
}

#[derive(Serialize, JsonSchema)]
struct ServiceRow {
    service: String,
    container: String,
    image: String,
    state: String,
    /// In the engine's words, with its time or exit code.
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    networks: Vec<String>,
    /// source:target, with :ro where it cannot be written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mounts: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Config {
    /// compose works there.
    directory: String,
    /// `compose_path`, `container_labels` or `common_directory`.
    known_from: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    files: Vec<ConfigFile>,
}

#[derive(Serialize, JsonSchema)]
struct ConfigFile {
    path: String,
    bytes: usize,
    sha256: String,
}

#[derive(Serialize, JsonSchema)]
struct EnvRow {
    service: String,
    container: String,
    /// KEY=VALUE; values of secret keys are shown as ***.
    env: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Network {
    name: String,
    driver: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subnets: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Volume {
    name: String,
    driver: String,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "stack_inspect",
        title: "Inspect a stack",
        description: "One compose stack: containers of its services with image, state, health, ports, networks and mounts; its files with sha256; on demand env, networks, volumes.",
        toolset: Toolset::Stacks,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let host = context.directory.host(&parameters.host)?;
    let name: StackName = parameters.stack.parse()?;
    let sections = sections::chosen(parameters.sections, &[Section::Services, Section::Config]);
    let with = |section| sections.contains(&section);
    let config =
        async { if with(Section::Config) { Some(config(&context, &host, &name).await) } else { None } };
    let (found, config) = tokio::join!(members_of(&context, &host, &name), config);
    let (members, others) = found?;
    if members.is_empty() {
        // One that never ran has its files.
        match &config {
            None => return Err(no_stack(host.spec(), &name, &others)),
            Some(Err(error)) if error.kind == ErrorKind::NotFound => {
                return Err(no_stack(host.spec(), &name, &others));
            }
            Some(_) => {}
        }
    }
    let (mut more, mut errors) = (0, Vec::new());
    let mut failed = |section, error| errors.push(SectionFailure::new(section, error));
    let config = config.and_then(|config| config.map_err(|error| failed(Section::Config, error)).ok());
    let rest = rest(&context, &host, &members, &sections).await;
    let Rest { env, networks, volumes } = rest.unwrap_or_else(|error| {
        for section in [Section::Env, Section::Networks, Section::Volumes] {
            if with(section) {
                failed(section, error.clone());
            }
        }
        Rest::default()
    });
    let services = with(Section::Services).then(|| members.iter().map(service).collect());
    Ok(Answer {
        host: host.spec().id.to_string(),
        name: name.to_string(),
        status: status(&members),
        services: services.map(|rows| fitting(rows, SERVICES_ROOM, &mut more)),
        config,
        env: env.map(|rows| fitting(rows, ENV_ROOM, &mut more)),
        networks: networks.map(|rows| fitting(rows, OTHER_ROOM, &mut more)),
        volumes: volumes.map(|rows| fitting(rows, OTHER_ROOM, &mut more)),
        more,
        errors,
    })
}

fn status(members: &[Member]) -> &'static str {
    match members.iter().filter(|member| member.container.state == "running").count() {
        0 => "stopped",
        running if running == members.len() => "running",
        _ => "partial",
    }
}

fn service(member: &Member) -> ServiceRow {
    let container = &member.container;
    let mount = |mount: &Mount| {
        let mode = if mount.writable { "" } else { ":ro" };
        told(&format!("{}:{}{mode}", mount.source, mount.target))
    };
    ServiceRow {
        service: told(&member.service),
        container: told(&container.name),
        image: told(&container.image),
        state: container.state.clone(),
        status: told(&container.status),
        health: container.health(),
        ports: ports(&container.ports),
        networks: container.networks.iter().map(|network| told(network)).collect(),
        mounts: container.mounts.iter().map(mount).collect(),
    }
}

/// The files of a stack, read for what they are and not for what they say.
async fn config(context: &ToolContext, host: &HostHandle, name: &StackName) -> Result<Config, ToolError> {
    let call = |operation| texts_of(operation, Arc::clone(host.spec()), name.clone(), File::Compose);
    let read = on_host(Patience::Within(FILES_LIMIT), context, host, call).await?;
    let (StackFiles { directory, source, note, .. }, texts) =
        read.map_err(|failure| stack_error(host.spec(), &failure))?;
    let file = |StackText { path, text }| ConfigFile {
        path: clean(&path),
        bytes: text.len(),
        sha256: format!("{:x}", Sha256::digest(text)),
    };
    Ok(Config {
        directory: clean(&directory),
        known_from: source.word(),
        note: note.map(|note| told(&note)),
        files: texts.into_iter().map(file).collect(),
    })
}

/// What is read on demand.
#[derive(Default)]
struct Rest {
    env: Option<Vec<EnvRow>>,
    networks: Option<Vec<Network>>,
    volumes: Option<Vec<Volume>>,
}

async fn rest(
    context: &ToolContext,
    host: &HostHandle,
    members: &[Member],
    sections: &[Section],
) -> Result<Rest, ToolError> {
    let with = |section| sections.contains(&section);
    if !(with(Section::Env) || with(Section::Networks) || with(Section::Volumes)) {
        return Ok(Rest::default());
    }
    on_host(Patience::Quick, context, host, |operation| {
        let (members, sections) = (members.to_vec(), sections.to_vec());
        async move {
            let with = |section| sections.contains(&section);
            let (engine, mut rest) = (operation.engine(), Rest::default());
            if with(Section::Env) {
                rest.env = Some(env(engine, &members).await?);
            }
            if with(Section::Networks) {
                rest.networks = Some(networks(engine, &members).await?);
            }
            if with(Section::Volumes) {
                rest.volumes = Some(volumes(engine, &members).await?);
            }
            Ok(rest)
        }
    })
    .await
}

/// The environment of each container; one that went meanwhile has none.
async fn env(engine: &Engine, members: &[Member]) -> Result<Vec<EnvRow>, EngineError> {
    let mut rows = Vec::new();
    for some in members.chunks(AT_ONCE) {
        let mut asked = Vec::new();
        for member in some {
            asked.push(env_of(engine, member));
        }
        rows.extend(try_join_all(asked).await?.into_iter().flatten());
    }
    Ok(rows)
}

async fn env_of(engine: &Engine, member: &Member) -> Result<Option<EnvRow>, EngineError> {
    let Ok(id) = member.container.id.parse() else { return Ok(None) };
    let detail = match engine.container(&id).await {
        Ok(detail) => detail,
        Err(EngineError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let env = detail.env.iter().map(|entry| redact::env_entry(&clean(entry))).collect();
    Ok(Some(EnvRow { service: told(&member.service), container: told(&member.container.name), env }))
}

async fn networks(engine: &Engine, members: &[Member]) -> Result<Vec<Network>, EngineError> {
    let on: BTreeSet<&String> = members.iter().flat_map(|member| &member.container.networks).collect();
    let mut networks = engine.networks().await?;
    networks.retain(|network| on.contains(&network.name));
    networks.sort_by(|a, b| a.name.cmp(&b.name));
    let row = |network: EngineNetwork| Network {
        name: told(&network.name),
        driver: told(&network.driver),
        subnets: network.subnets,
    };
    Ok(networks.into_iter().map(row).collect())
}

async fn volumes(engine: &Engine, members: &[Member]) -> Result<Vec<Volume>, EngineError> {
    let mounted: BTreeSet<&String> = members.iter().flat_map(|member| &member.container.volumes).collect();
    let mut volumes = engine.volumes().await?;
    volumes.retain(|volume| mounted.contains(&volume.name));
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    let row = |volume: EngineVolume| Volume { name: told(&volume.name), driver: told(&volume.driver) };
    Ok(volumes.into_iter().map(row).collect())
}

/// The first of these rows that find room; how many do not is added to `more`.
fn fitting<R: Serialize>(rows: Vec<R>, room: usize, more: &mut usize) -> Vec<R> {
    let (count, mut taken) = (rows.len(), 0);
    let fits = |row: &R| {
        taken += serde_json::to_string(row).map_or(0, |json| json.len());
        taken <= room
    };
    let fitting: Vec<R> = rows.into_iter().take_while(fits).collect();
    *more += count - fitting.len();
    fitting
}
