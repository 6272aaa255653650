//! `network_list`

use crate::domain::text::clean;
use crate::domain::toolset::Toolset;
use crate::engine::containers::Container;
use crate::engine::inventory::Network;
use crate::mcp::error::{HostFailure, ToolError};
use crate::mcp::fleet::{gather, select};
use crate::mcp::page;
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name, comma list, @tag or * (default).
    hosts: Option<String>,
    /// Name glob.
    #[serde(rename = "match")]
    pattern: Option<String>,
    /// Max rows.
    #[serde(default = "page::default_limit")]
    #[schemars(range(min = 1, max = 500))]
    limit: u16,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    networks: Vec<Row>,
    /// How many match on the hosts that answered.
    total: usize,
    /// Give it as cursor to read on.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// Hosts that did not answer, with cause and age.
    errors: Vec<HostFailure>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    host: String,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    driver: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subnets: Vec<String>,
    /// Names, running or not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    containers: Vec<String>,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "network_list",
        title: "List networks",
        description: "List networks on hosts with driver, subnets and attached containers.",
        toolset: Toolset::Networks,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let glob = parameters.pattern.as_deref().map(page::glob).transpose()?;
    let window = page::Window::parse(parameters.limit, parameters.cursor.as_deref())?;
    let hosts = select(&context.directory, parameters.hosts.as_deref())?;
    // The list of networks does not tell who is attached; the list of containers does.
    let (answers, errors) = gather(&context, &hosts, async |operation| {
        let engine = operation.engine();
        Ok(tokio::try_join!(engine.networks(), engine.containers())?)
    })
    .await?;
    let mut rows = Vec::new();
    for (host, (networks, containers)) in answers {
        let id = host.spec().id.to_string();
        for network in networks
            .into_iter()
            .filter(|network| glob.as_ref().is_none_or(|glob| glob.is_match(&network.name)))
        {
            let key = vec![id.clone(), network.name.clone(), network.id.clone()];
            rows.push((key, row(id.clone(), &network, &containers)));
        }
    }
    let page = window.cut(rows);
    Ok(Answer { networks: page.rows, total: page.total, next_cursor: page.next_cursor, errors })
}

fn row(host: String, network: &Network, containers: &[Container]) -> Row {
    let attached = containers.iter().filter(|container| is_attached(container, network));
    let containers = attached.map(|container| clean(&container.name)).collect();
    Row {
        host,
        name: clean(&network.name),
        driver: clean(&network.driver),
        subnets: network.subnets.iter().map(|subnet| clean(subnet)).collect(),
        containers,
    }
}

fn is_attached(container: &Container, network: &Network) -> bool {
    // Podman lists its usual network under Docker's name, and its containers under its own.
    let podman = (network.name == "bridge").then_some("podman");
    container.networks.iter().any(|name| *name == network.name || Some(name.as_str()) == podman)
}
