//! `network_list`

use crate::domain::text::clean;
use crate::domain::toolset::Toolset;
use crate::engine::containers::Container;
use crate::engine::inventory::{Inventory, Network, Section};
use crate::mcp::error::ToolError;
use crate::mcp::list::{Dated, Keyed, List, Rest};
use crate::mcp::page;
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
    networks: Vec<Dated<Row>>,
    #[serde(flatten)]
    rest: Rest,
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
        description: "List networks on hosts with driver, subnets and attached containers; rows with stale_since are the last known of hosts that do not answer.",
        toolset: Toolset::Networks,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let glob = parameters.pattern.as_deref().map(page::glob).transpose()?;
    let list =
        List::of(&context, parameters.hosts.as_deref(), parameters.limit, parameters.cursor.as_deref())?;
    let rows_of = |host: &str, inventory: Arc<Inventory>| {
        let is_meant = |network: &&Network| glob.as_ref().is_none_or(|glob| glob.is_match(&network.name));
        inventory
            .networks
            .iter()
            .filter(is_meant)
            .map(|network| row(host, network, &inventory.containers))
            .collect()
    };
    // The list of networks does not tell who is attached; the list of containers does.
    let (networks, rest) = list.inventory_rows(&[Section::Networks, Section::Containers], rows_of).await?;
    Ok(Answer { networks, rest })
}

fn row(host: &str, network: &Network, containers: &[Container]) -> Keyed<Row> {
    let attached = containers.iter().filter(|container| is_attached(container, network));
    let containers = attached.map(|container| clean(&container.name)).collect();
    let row = Row {
        host: host.to_owned(),
        name: clean(&network.name),
        driver: clean(&network.driver),
        subnets: network.subnets.iter().map(|subnet| clean(subnet)).collect(),
        containers,
    };
    (vec![row.host.clone(), network.name.clone(), network.id.clone()], row)
}

fn is_attached(container: &Container, network: &Network) -> bool {
    // Podman lists its usual network under Docker's name, and its containers under its own.
    let podman = (network.name == "bridge").then_some("podman");
    container.networks.iter().any(|name| *name == network.name || Some(name.as_str()) == podman)
}
