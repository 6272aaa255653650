//! `container_remove`

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
    containers: Vec<String>,
    /// Running ones too.
    #[serde(default)]
    force: bool,
    /// Their anonymous volumes too.
    #[serde(default)]
    volumes: bool,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "container_remove",
        title: "Remove containers",
        description: "Remove containers; what was written inside them is lost, named volumes stay.",
        toolset: Toolset::Containers,
        effect: Effect { read_only: false, destructive: true, idempotent: true, open_world: false },
    };
    Tool::job(about, Gate::Asks, read)
}

fn read(Parameters { containers, force, volumes }: Parameters) -> Result<Change, ToolError> {
    Ok(Change::ContainerRemove { containers: job::names(&containers)?, force, volumes })
}
