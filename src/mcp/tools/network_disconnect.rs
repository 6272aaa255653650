//! `network_disconnect`

use crate::domain::change::Change;
use crate::domain::toolset::Toolset;
use crate::mcp::error::ToolError;
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
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "network_disconnect",
        title: "Disconnect a container from a network",
        description: "Detach a container from a network: who reaches it there no longer does.",
        toolset: Toolset::Networks,
        effect: Effect { read_only: false, destructive: true, idempotent: true, open_world: false },
    };
    Tool::job(about, Gate::Open, read)
}

fn read(Parameters { container, network }: Parameters) -> Result<Change, ToolError> {
    Ok(Change::NetworkDisconnect { container: container.parse()?, network: network.parse()? })
}
