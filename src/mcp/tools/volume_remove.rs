//! `volume_remove`

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
    /// Names.
    volumes: Vec<String>,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "volume_remove",
        title: "Remove volumes",
        description: "Remove volumes that no container uses, and their data for good. A person types the name first.",
        toolset: Toolset::Storage,
        effect: Effect { read_only: false, destructive: true, idempotent: true, open_world: false },
    };
    Tool::job(about, Gate::Asks, read)
}

fn read(Parameters { volumes }: Parameters) -> Result<Change, ToolError> {
    Ok(Change::VolumeRemove { volumes: job::names(&volumes)? })
}
