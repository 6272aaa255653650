//! `container_inspect`

use crate::actors::host::HostError;
use crate::actors::operation::Operation;
use crate::domain::container::ContainerName;
use crate::domain::redact;
use crate::domain::stack::{LABEL_PROJECT, LABEL_SERVICE};
use crate::domain::text::{clean, cut};
use crate::domain::toolset::Toolset;
use crate::engine::containers::ContainerDetail;
use crate::mcp::error::ToolError;
use crate::mcp::fleet::{Patience, on_host};
use crate::mcp::page;
use crate::mcp::sections;
use crate::mcp::shape::{is_zero, ports, short_id};
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a health check printed may be a whole page.
const LONGEST_OUTPUT: usize = 500;

/// Command lines may be pages long, and a container may have thousands of processes.
const LONGEST_COMMAND: usize = 1_000;
const PROCESS_CHARACTERS: usize = 12_000;

/// A container that unpacked an archive has changed thousands of paths.
const MOST_CHANGES: usize = 100;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name.
    host: String,
    /// Name or id.
    container: String,
    /// Which parts (default: summary, health, mounts, networks).
    sections: Option<Vec<Section>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Section {
    Summary,
    Config,
    Env,
    Mounts,
    Networks,
    Health,
    Limits,
    Processes,
    Changes,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    host: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Config>,
    /// KEY=VALUE; values of secret keys are shown as ***.
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mounts: Option<Vec<Mount>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    networks: Option<Vec<Network>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<Health>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
    /// Command lines of the running processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<Vec<String>>,
    /// Processes not told.
    #[serde(skip_serializing_if = "is_zero")]
    more_processes: usize,
    /// A(dded), C(hanged) or D(eleted) and the path; the first hundred.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<String>>,
}

#[derive(Serialize, JsonSchema)]
struct Summary {
    id: String,
    image: String,
    image_id: String,
    state: String,
    created: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    started_at: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    finished_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i64>,
    #[serde(skip_serializing_if = "is_false")]
    oom_killed: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    restart_count: i64,
    restart_policy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Config {
    command: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    working_dir: String,
    hostname: String,
    tty: bool,
    labels: BTreeMap<String, String>,
}

#[derive(Serialize, JsonSchema)]
struct Mount {
    kind: String,
    source: String,
    target: String,
    writable: bool,
}

#[derive(Serialize, JsonSchema)]
struct Network {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ip: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Health {
    status: String,
    failing_streak: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    last_output: String,
}

#[derive(Serialize, JsonSchema)]
struct Limits {
    /// Bytes; absent when unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<i64>,
    /// Processors; absent when unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpus: Option<f64>,
    /// Processes; absent when unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pids: Option<i64>,
    privileged: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cap_add: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cap_drop: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !value
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "container_inspect",
        title: "Inspect a container",
        description: "Configuration and runtime of one container: state, mounts, networks, health; on demand config, env, limits, processes, changes. Secrets are redacted.",
        toolset: Toolset::Containers,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let host = context.directory.host(&parameters.host)?;
    let usual = [Section::Summary, Section::Health, Section::Mounts, Section::Networks];
    let sections = sections::chosen(parameters.sections, &usual);
    let name: ContainerName = parameters.container.parse()?;
    on_host(Patience::Quick, &context, &host, |operation| inspect(operation, name.clone(), sections.clone()))
        .await
}

async fn inspect(
    operation: Operation,
    name: ContainerName,
    sections: Vec<Section>,
) -> Result<Answer, HostError> {
    let engine = operation.engine();
    let detail = engine.container(&name).await?;
    let running = detail.state == "running";
    let mut answer = answer(operation.context().host.to_string(), detail, &sections);
    if sections.contains(&Section::Processes) && running {
        let (titles, processes) = engine.processes(&name).await?;
        let command = titles.iter().position(|title| title == "CMD" || title == "COMMAND");
        let told = |line: &String| cut(&redact::text(&clean(line)), LONGEST_COMMAND).0.to_owned();
        let mut lines: Vec<String> =
            processes.iter().filter_map(|row| Some(told(row.get(command?)?))).collect();
        answer.more_processes = page::cap(&mut lines, PROCESS_CHARACTERS);
        answer.processes = Some(lines);
    }
    if sections.contains(&Section::Changes) {
        let changes = engine.changes(&name).await?;
        answer.changes = Some(
            changes
                .into_iter()
                .take(MOST_CHANGES)
                .map(|(kind, path)| format!("{kind} {}", clean(&path)))
                .collect(),
        );
    }
    Ok(answer)
}

fn answer(host: String, detail: ContainerDetail, sections: &[Section]) -> Answer {
    let with = |section| sections.contains(&section);
    let labels = detail.labels;
    Answer {
        host,
        name: detail.name,
        summary: with(Section::Summary).then(|| Summary {
            id: short_id(&detail.id),
            image: detail.image,
            image_id: short_id(&detail.image_id),
            state: detail.state,
            created: detail.created,
            started_at: detail.started_at,
            finished_at: detail.finished_at,
            exit_code: detail.exit_code,
            oom_killed: detail.oom_killed,
            error: redact::text(&clean(&detail.error)),
            restart_count: detail.restart_count,
            restart_policy: detail.restart_policy,
            stack: labels.get(LABEL_PROJECT).cloned(),
            service: labels.get(LABEL_SERVICE).cloned(),
        }),
        config: with(Section::Config).then(|| Config {
            command: redact::command(&detail.command.iter().map(|word| clean(word)).collect::<Vec<_>>()),
            user: detail.user,
            working_dir: detail.working_dir,
            hostname: detail.hostname,
            tty: detail.tty,
            labels: labels
                .iter()
                .map(|(key, value)| (key.clone(), redact::value(key, &clean(value))))
                .collect(),
        }),
        env: with(Section::Env)
            .then(|| detail.env.iter().map(|entry| redact::env_entry(&clean(entry))).collect()),
        mounts: with(Section::Mounts).then(|| {
            let mounts = detail.mounts.into_iter();
            mounts
                .map(|mount| Mount {
                    kind: mount.kind,
                    source: mount.source,
                    target: mount.target,
                    writable: mount.writable,
                })
                .collect()
        }),
        networks: with(Section::Networks).then(|| {
            let networks = detail.networks.into_iter();
            networks
                .map(|network| Network { name: network.name, ip: network.ip, aliases: network.aliases })
                .collect()
        }),
        ports: with(Section::Networks).then(|| ports(&detail.ports)),
        health: detail.health.filter(|_| with(Section::Health)).map(|health| Health {
            status: health.status,
            failing_streak: health.failing_streak,
            last_output: cut(&redact::text(&clean(&health.last_output)), LONGEST_OUTPUT).0.to_owned(),
        }),
        limits: with(Section::Limits).then(|| Limits {
            memory: Some(detail.limits.memory).filter(|memory| *memory > 0),
            #[expect(
                clippy::cast_precision_loss,
                reason = "thousand-millionths of a processor, shown to people"
            )]
            cpus: Some(detail.limits.nano_cpus as f64 / 1e9).filter(|cpus| *cpus > 0.0),
            pids: Some(detail.limits.pids).filter(|pids| *pids > 0),
            privileged: detail.limits.privileged,
            cap_add: detail.limits.cap_add,
            cap_drop: detail.limits.cap_drop,
        }),
        processes: None,
        more_processes: 0,
        changes: None,
    }
}
