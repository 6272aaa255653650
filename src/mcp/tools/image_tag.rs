//! `image_tag`

use crate::domain::change::Change;
use crate::domain::toolset::Toolset;
use crate::mcp::error::ToolError;
use crate::mcp::tool::{About, Effect, Gate, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Image.
    image: String,
    /// Its new name with tag.
    tag: String,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "image_tag",
        title: "Tag an image",
        description: "Give an image another name. An image that had the name keeps its others.",
        toolset: Toolset::Images,
        effect: Effect { read_only: false, destructive: false, idempotent: true, open_world: false },
    };
    Tool::job(about, Gate::Open, read)
}

fn read(Parameters { image, tag }: Parameters) -> Result<Change, ToolError> {
    Ok(Change::ImageTag { image: image.parse()?, name: tag.parse()? })
}
