//! `fleet_status`

use super::host_inspect::free_space;
use crate::actors::host::{HostError, HostHandle};
use crate::actors::operation::Operation;
use crate::compose::{Stack, stacks};
use crate::domain::container::ContainerName;
use crate::domain::stack::LABEL_PROJECT;
use crate::domain::toolset::Toolset;
use crate::engine::containers::{Container, ContainerDetail};
use crate::engine::{Engine, EngineError};
use crate::mcp::attention::{
    Finding, Severity, is_young, of_configuration, of_container, of_disk, of_line, of_stack,
};
use crate::mcp::error::{ErrorKind, HostFailure, ToolError};
use crate::mcp::fleet::{Patience, ask};
use crate::mcp::list::{Keyed, List, Rest};
use crate::mcp::page;
use crate::mcp::shape::rfc3339;
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use crate::transport::files::Space;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

/// Containers that may be in trouble are looked into one by one.
const LOOKING: Duration = Duration::from_secs(4);

/// Whatever else is found does not wait any longer for the disk.
const SPACE_PATIENCE: Duration = Duration::from_secs(2);

/// Containers of a host that are looked into, and how many of them at once.
const MOST_INSPECTED: usize = 60;
const AT_ONCE: usize = 8;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name, comma list, @tag or * (default).
    hosts: Option<String>,
    /// Lowest severity.
    #[serde(default)]
    min_severity: Severity,
    /// Max rows.
    #[serde(default = "page::default_limit")]
    #[schemars(range(min = 1, max = 500))]
    limit: u16,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    /// Hosts that answered.
    hosts_ok: usize,
    hosts_failed: usize,
    /// The worst first.
    findings: Vec<Row>,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    severity: Severity,
    /// Absent where it is about Dockmaster itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// `host_*`, `container_*`, `stack_*`, `disk_full`, `image_outdated` or configuration.
    kind: &'static str,
    /// What it is about: a name or a path.
    subject: String,
    summary: String,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// What to do next.
    suggest: String,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "fleet_status",
        title: "Show what needs attention",
        description: "What needs attention now, the worst first: hosts down, containers in trouble, stacks partly running, full disks, images found outdated (info), faults of the configuration.",
        toolset: Toolset::Fleet,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let list =
        List::of(&context, parameters.hosts.as_deref(), parameters.limit, parameters.cursor.as_deref())?;
    let now = context.directory.clock().now();
    let (answers, errors) = ask(Patience::Longer(LOOKING), &context, &list.hosts, look).await;
    let (hosts_ok, hosts_failed) = (answers.len(), errors.len());
    let mut rows: Vec<Keyed<Row>> = context
        .admin
        .config
        .faults()
        .iter()
        .enumerate()
        .map(|(number, fault)| row(None, &number.to_string(), of_configuration(fault)))
        .collect();
    for failure in &errors {
        let host = list.hosts.iter().find(|host| host.spec().id.as_ref() == failure.host);
        rows.extend(host.map(|host| row(Some(&failure.host), "", of_failure(host, failure))));
    }
    for (host, seen) in answers {
        let id = host.spec().id.as_ref();
        rows.extend(seen.findings(id, now).into_iter().map(|(unique, found)| row(Some(id), &unique, found)));
        let outdated = context.outdated.findings(id, &seen.images, now);
        rows.extend(outdated.into_iter().map(|(image, found)| row(Some(id), &image, found)));
    }
    rows.retain(|(_, row)| row.severity >= parameters.min_severity);
    let (findings, rest) = list.page(rows, errors);
    Ok(Answer { hosts_ok, hosts_failed, findings, rest })
}

/// The row with its key, in whose order the worst comes first. Of two with the same name `unique` tells one.
fn row(host: Option<&str>, unique: &str, finding: Finding) -> Keyed<Row> {
    let Finding { severity, kind, subject, summary, since, suggest } = finding;
    let place = match severity {
        Severity::Critical => "0",
        Severity::Warning => "1",
        Severity::Info => "2",
    };
    let words = [place, host.unwrap_or_default(), kind, &subject, unique];
    let key = words.map(ToOwned::to_owned).to_vec();
    let (host, since) = (host.map(ToOwned::to_owned), since.map(rfc3339));
    (key, Row { severity, host, kind, subject, summary, since, suggest })
}

/// Of a host without an answer whose line knows of no trouble, the failure of the call is all there is.
fn of_failure(host: &HostHandle, failure: &HostFailure) -> Finding {
    let by_line = of_line(host.spec(), &host.status());
    by_line.unwrap_or_else(|| Finding {
        severity: match failure.kind {
            // Nothing is wrong with the host.
            ErrorKind::HostDisabled | ErrorKind::Overloaded | ErrorKind::Cancelled => Severity::Info,
            _ => Severity::Critical,
        },
        kind: "host_unanswered",
        subject: failure.host.clone(),
        summary: failure.message.clone(),
        since: None,
        suggest: failure.hint.clone().unwrap_or_else(|| format!("host_test {}", failure.host)),
    })
}

/// What was seen of a host.
struct Seen {
    stacks: Vec<Stack>,
    /// Of running containers: by their names, the identifiers.
    images: BTreeMap<String, String>,
    /// Those that may be in trouble, with the project each says to belong to.
    suspects: Vec<(Option<String>, ContainerDetail)>,
    /// How many more there were.
    unread: usize,
    /// What the engine keeps everything on.
    disk: Option<(String, Space)>,
}

async fn look(operation: Operation) -> Result<Seen, HostError> {
    let engine = operation.engine();
    let of_disk = async {
        let root_dir = engine.about().await.ok()?.root_dir;
        let space = free_space(&operation, &root_dir).await?;
        Some((root_dir, space))
    };
    let of_containers = async {
        let containers = engine.containers().await?;
        // One that may not be asked about its images tells its stacks all the same.
        let labels = match engine.image_labels().await {
            Err(error) if error.is_broken_line() => return Err(error),
            labels => labels.unwrap_or_default(),
        };
        let (suspects, unread) = inspect(engine, &containers).await?;
        let running = containers.iter().filter(|container| container.state == "running");
        let images = running.map(|container| (container.name.clone(), container.image_id.clone())).collect();
        Ok((stacks(&containers, &labels), images, suspects, unread))
    };
    let (found, disk) = tokio::join!(of_containers, timeout(SPACE_PATIENCE, of_disk));
    let (stacks, images, suspects, unread) = found?;
    Ok(Seen { stacks, images, suspects, unread, disk: disk.ok().flatten() })
}

/// Looks into those that the list does not clear, the newest of them when they are many.
async fn inspect(
    engine: &Engine,
    containers: &[Container],
) -> Result<(Vec<(Option<String>, ContainerDetail)>, usize), EngineError> {
    let mut suspects: Vec<&Container> = containers.iter().filter(|one| is_suspect(one)).collect();
    suspects.sort_by_key(|one| (rank(one), std::cmp::Reverse(one.created)));
    let unread = suspects.len().saturating_sub(MOST_INSPECTED);
    suspects.truncate(MOST_INSPECTED);
    let details = stream::iter(suspects.into_iter().cloned())
        .map(async |container| {
            let Ok(name) = container.id.parse::<ContainerName>() else { return Ok(None) };
            match engine.container(&name).await {
                Ok(detail) => Ok(Some((container.labels.get(LABEL_PROJECT).cloned(), detail))),
                // It has gone meanwhile, or the engine keeps it to itself.
                Err(EngineError::NotFound(_) | EngineError::Refused { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .buffered(AT_ONCE)
        .try_collect::<Vec<_>>()
        .await?;
    Ok((details.into_iter().flatten().collect(), unread))
}

/// What is in trouble for certain comes first. After a boot many are young; what does not run may be many,
/// and old.
fn rank(container: &Container) -> u8 {
    match container.state.as_str() {
        "running" if container.health() != Some("unhealthy") => 1,
        "exited" | "created" => 2,
        _ => 0,
    }
}

/// Whether what the list says of a container leaves a doubt.
fn is_suspect(container: &Container) -> bool {
    match container.state.as_str() {
        "running" => container.health() == Some("unhealthy") || is_young(&container.status),
        "exited" => !container.status.starts_with("Exited (0)"),
        "restarting" | "dead" | "created" => true,
        _ => false,
    }
}

impl Seen {
    /// What needs attention on this host, each with what tells it from others of its name.
    fn findings(&self, host: &str, now: Timestamp) -> Vec<(String, Finding)> {
        let mut found = Vec::new();
        let mut failed: Vec<&str> = Vec::new();
        for (project, container) in &self.suspects {
            let Some(finding) = of_container(host, container, now) else { continue };
            if finding.severity > Severity::Info && container.state != "running" {
                failed.extend(project.as_deref());
            }
            found.push((container.id.clone(), finding));
        }
        for stack in &self.stacks {
            let failed = failed.iter().filter(|project| **project == stack.name).count();
            found.extend(of_stack(host, stack, failed).map(|finding| (String::new(), finding)));
        }
        let disk = self.disk.as_ref().and_then(|(root_dir, space)| of_disk(host, root_dir, *space));
        found.extend(disk.map(|finding| (String::new(), finding)));
        if self.unread > 0 {
            let finding = Finding {
                severity: Severity::Info,
                kind: "host_unread",
                subject: host.to_owned(),
                summary: format!(
                    "{} more containers that may need attention were not looked into",
                    self.unread
                ),
                since: None,
                suggest: format!("container_list hosts={host} state=all"),
            };
            found.push((String::new(), finding));
        }
        found
    }
}
