//! `network_remove`

use crate::domain::change::Change;
use crate::domain::toolset::Toolset;
use crate::mcp::error::ToolError;
use crate::mcp::job;
use crate::mcp::tool::{About, Effect, Gate, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Names or ids.
    networks: Vec<String>,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "network_remove",
        title: "Remove networks",
        description: "Remove networks that no container is attached to.",
        toolset: Toolset::Networks,
        effect: Effect { read_only: false, destructive: true, idempotent: true, open_world: false },
    };
    Tool::job(about, Gate::Asks, read)
}

fn read(Parameters { networks }: Parameters) -> Result<Change, ToolError> {
    Ok(Change::NetworkRemove { networks: job::names(&networks)? })
}
