//! `container_restart`

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
    /// Seconds each gets before it is killed (default: its own, else 10).
    timeout: Option<u32>,
    /// Seconds each gets to become healthy; 0 does not wait.
    #[serde(default = "job::usual_patience")]
    wait_healthy: u32,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "container_restart",
        title: "Restart containers",
        description: "Stop and start containers and wait until they are healthy: what they serve is interrupted.",
        toolset: Toolset::Containers,
        effect: Effect { read_only: false, destructive: true, idempotent: false, open_world: false },
    };
    Tool::job(about, Gate::Open, read)
}

fn read(Parameters { containers, timeout, wait_healthy }: Parameters) -> Result<Change, ToolError> {
    let patience = job::patience(wait_healthy)?;
    Ok(Change::ContainerRestart {
        containers: job::names(&containers)?,
        grace: job::grace(timeout)?,
        patience,
    })
}
