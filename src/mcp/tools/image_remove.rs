//! `image_remove`

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
    images: Vec<String>,
    /// Of several names, or of stopped containers, too.
    #[serde(default)]
    force: bool,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "image_remove",
        title: "Remove images",
        description: "Remove images by name; one with other names only loses this one.",
        toolset: Toolset::Images,
        effect: Effect { read_only: false, destructive: true, idempotent: true, open_world: false },
    };
    Tool::job(about, Gate::Asks, read)
}

fn read(Parameters { images, force }: Parameters) -> Result<Change, ToolError> {
    Ok(Change::ImageRemove { images: job::names(&images)?, force })
}
