//! `container_recreate`

use crate::domain::change::Change;
use crate::domain::toolset::Toolset;
use crate::mcp::error::{ErrorKind, ToolError};
use crate::mcp::tool::{About, Effect, Gate, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

/// The longest that a container may take to become healthy.
const LONGEST_PATIENCE: u32 = 3600;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Name or id.
    container: String,
    /// Another image or tag (default: its own, pulled anew).
    image: Option<String>,
    /// Seconds to become healthy.
    #[serde(default = "usual_patience")]
    #[schemars(range(min = 1, max = 3600))]
    wait_healthy: u32,
}

fn usual_patience() -> u32 {
    60
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
    if !(1..=LONGEST_PATIENCE).contains(&wait_healthy) {
        let message = format!("wait_healthy: between 1 and {LONGEST_PATIENCE} s");
        return Err(ToolError::new(ErrorKind::InvalidArguments, message));
    }
    let image = image.as_deref().map(str::parse).transpose()?;
    Ok(Change::ContainerRecreate { container: container.parse()?, image, patience: wait_healthy })
}
