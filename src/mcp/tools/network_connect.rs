//! `network_connect`

use crate::domain::change::Change;
use crate::domain::container::ContainerName;
use crate::domain::toolset::Toolset;
use crate::mcp::error::ToolError;
use crate::mcp::job;
use crate::mcp::tool::{About, Effect, Gate, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Name or id.
    container: String,
    /// Name or id.
    network: String,
    /// Names it answers to there beside its own.
    #[serde(default)]
    aliases: Vec<String>,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "network_connect",
        title: "Connect a container to a network",
        description: "Attach a container to a network; its address there is told.",
        toolset: Toolset::Networks,
        effect: Effect { read_only: false, destructive: false, idempotent: true, open_world: false },
    };
    Tool::job(about, Gate::Open, read)
}

fn read(Parameters { container, network, aliases }: Parameters) -> Result<Change, ToolError> {
    let aliases: Vec<ContainerName> = job::names(&aliases)?;
    let aliases = aliases.iter().map(ToString::to_string).collect();
    Ok(Change::NetworkConnect { container: container.parse()?, network: network.parse()?, aliases })
}
