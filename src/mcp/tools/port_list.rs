//! `port_list`

use crate::actors::operation::Operation;
use crate::domain::ports::{Binding, in_conflict, next_free};
use crate::domain::toolset::Toolset;
use crate::engine::ports::{PortUse, Ports};
use crate::mcp::error::{ErrorKind, HostFailure, ToolError};
use crate::mcp::fleet::Patience;
use crate::mcp::list::{Keyed, List, Rest};
use crate::mcp::page;
use crate::mcp::shape::is_zero;
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use crate::transport::listeners::listeners;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Stopped containers are inspected one by one.
const INSPECTING: Duration = Duration::from_secs(4);

/// Conflicts told at most.
const MOST_CONFLICTS: usize = 50;

/// Containers of one conflict told at most.
const MOST_OWNERS: usize = 10;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name, comma list, @tag or * (default).
    hosts: Option<String>,
    /// Only this port.
    #[schemars(range(min = 1, max = 65535))]
    check: Option<u16>,
    /// Max rows.
    #[serde(default = "page::default_limit")]
    #[schemars(range(min = 1, max = 500))]
    limit: u16,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    ports: Vec<Row>,
    /// How many match on the hosts that answered.
    total: usize,
    /// With check: the first port from it on that nothing has or wants on the hosts that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    free: Option<u16>,
    /// Ports that not all of their containers can have at once.
    conflicts: Vec<Conflict>,
    /// Conflicts not told here; ask for single hosts.
    #[serde(skip_serializing_if = "is_zero")]
    more_conflicts: usize,
    /// Stopped containers not looked into, the oldest of hosts that have very many.
    #[serde(skip_serializing_if = "is_zero")]
    unread: usize,
    /// Hosts whose listeners that are no containers cannot be seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unseen: Vec<String>,
    /// Give it as cursor to read on.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// Hosts that did not answer, with cause and age.
    errors: Vec<HostFailure>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    host: String,
    port: u16,
    proto: String,
    /// * is every address.
    ip: String,
    /// Absent for another listener: a program, or a container on the host's network.
    #[serde(skip_serializing_if = "String::is_empty")]
    container: String,
    /// One that does not run only wants the port.
    state: String,
}

#[derive(Serialize, JsonSchema)]
struct Conflict {
    host: String,
    port: u16,
    proto: String,
    /// The first ten.
    owners: Vec<Owner>,
}

#[derive(Serialize, JsonSchema)]
struct Owner {
    #[serde(skip_serializing_if = "String::is_empty")]
    container: String,
    ip: String,
    state: String,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "port_list",
        title: "List ports",
        description: "List published ports with containers, also stopped ones, other listeners, and conflicts before they happen. With check: who has a port, and the next one free on all hosts.",
        toolset: Toolset::Fleet,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    if parameters.check == Some(0) {
        let message = "check is 0; it must lie between 1 and 65535";
        return Err(ToolError::new(ErrorKind::InvalidArguments, message));
    }
    let list =
        List::of(&context, parameters.hosts.as_deref(), parameters.limit, parameters.cursor.as_deref())?;
    let wanted = |used: &PortUse| parameters.check.is_none_or(|check| used.binding.port == check);
    let (mut conflicts, mut taken, mut unread, mut unseen) = (Vec::new(), BTreeSet::new(), 0, Vec::new());
    let call = async |operation: Operation| {
        let (ports, listeners) = tokio::join!(operation.engine().ports(), listeners(operation.link()));
        let listeners = listeners.inspect_err(|fault| tracing::debug!(%fault, "what listens is not told"));
        Ok((ports?, listeners.ok()))
    };
    let rows_of = |host: &str, (mut ports, listeners): (Ports, Option<Vec<Binding>>)| {
        match listeners {
            Some(listeners) => ports.add_listeners(listeners),
            None => unseen.push(host.to_owned()),
        }
        unread += ports.unread;
        taken.extend(ports.uses.iter().map(|used| used.binding.port));
        let uses: Vec<PortUse> = ports.uses.into_iter().filter(wanted).collect();
        conflicts.extend(conflicts_of(host, &uses));
        uses.into_iter().map(|used| row(host, used)).collect()
    };
    let (ports, rest) = list.rows(Patience::Longer(INSPECTING), call, rows_of).await?;
    let more_conflicts = conflicts.len().saturating_sub(MOST_CONFLICTS);
    conflicts.truncate(MOST_CONFLICTS);
    let free = parameters.check.and_then(|check| next_free(check, &taken));
    let Rest { total, next_cursor, errors } = rest;
    Ok(Answer { ports, total, free, conflicts, more_conflicts, unread, unseen, next_cursor, errors })
}

fn ip(used: &PortUse) -> String {
    used.binding.ip.map_or_else(|| "*".to_owned(), |ip| ip.to_string())
}

fn row(host: &str, used: PortUse) -> Keyed<Row> {
    let (port, ip) = (used.binding.port, ip(&used));
    let PortUse { binding, container, state } = used;
    let padded = format!("{port:05}");
    let key = vec![host.to_owned(), padded, binding.protocol.clone(), ip.clone(), container.clone()];
    (key, Row { host: host.to_owned(), port, proto: binding.protocol, ip, container, state })
}

/// The ports of one host that several containers have or want, by port and protocol.
fn conflicts_of(host: &str, uses: &[PortUse]) -> Vec<Conflict> {
    let mut by_port: BTreeMap<(u16, &str), Vec<&PortUse>> = BTreeMap::new();
    for used in uses {
        by_port.entry((used.binding.port, &used.binding.protocol)).or_default().push(used);
    }
    let mut conflicts = Vec::new();
    for ((port, proto), uses) in by_port {
        let owned: Vec<_> = uses.iter().map(|used| (&used.container, used.binding.clone())).collect();
        let found = in_conflict(&owned);
        if found.is_empty() {
            continue;
        }
        let mut owners: Vec<&PortUse> = found.into_iter().map(|at| uses[at]).collect();
        // Who has it comes before those who want it.
        owners.sort_by_key(|used| (!used.is_held(), &used.container));
        let told = |used: &PortUse| Owner {
            container: used.container.clone(),
            ip: ip(used),
            state: used.state.clone(),
        };
        conflicts.push(Conflict {
            host: host.to_owned(),
            port,
            proto: proto.to_owned(),
            owners: owners.into_iter().take(MOST_OWNERS).map(told).collect(),
        });
    }
    conflicts
}
