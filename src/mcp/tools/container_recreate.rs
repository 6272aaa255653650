//! `container_recreate`

use crate::domain::change::Change;
use crate::domain::toolset::Toolset;
use crate::mcp::error::{ErrorKind, ToolError};
use crate::mcp::job;
use crate::mcp::tool::{About, Effect, Gate, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Name or id.
    container: String,
    /// Another image or tag (default: its own, pulled anew).
    image: Option<String>,
    /// Seconds to become healthy.
    #[serde(default = "job::usual_patience")]
    #[schemars(range(min = 1, max = 3600))]
    wait_healthy: u32,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "container_recreate",
        title: "Recreate a container",
        description: "Pull the image and make the container anew with the same settings; goes back to the old one when the new one does not become healthy.",
        toolset: Toolset::Containers,
        effect: Effect { read_only: false, destructive: true, idempotent: false, open_world: true },
    };
    Tool::job(about, Gate::Asks, read)
}

fn read(Parameters { container, image, wait_healthy }: Parameters) -> Result<Change, ToolError> {
    let patience = job::patience(wait_healthy)?
        .ok_or_else(|| ToolError::new(ErrorKind::InvalidArguments, "wait_healthy: at least 1 s"))?;
    let image = image.as_deref().map(str::parse).transpose()?;
    Ok(Change::ContainerRecreate { container: container.parse()?, image, patience })
}
