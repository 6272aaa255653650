//! `container_start`

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
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "container_start",
        title: "Start containers",
        description: "Start or unpause containers.",
        toolset: Toolset::Containers,
        effect: Effect { read_only: false, destructive: false, idempotent: true, open_world: false },
    };
    Tool::job(about, Gate::Open, read)
}

fn read(Parameters { containers }: Parameters) -> Result<Change, ToolError> {
    Ok(Change::ContainerStart { containers: job::names(&containers)?, patience: None })
}
