//! `image_push`

use crate::domain::change::Change;
use crate::domain::toolset::Toolset;
use crate::mcp::error::ToolError;
use crate::mcp::tool::{About, Effect, Gate, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// With the registry and the tag.
    image: String,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "image_push",
        title: "Push an image",
        description: "Push a tag to its registry, over what is there. The registry is asked without a login.",
        toolset: Toolset::Images,
        effect: Effect { read_only: false, destructive: true, idempotent: true, open_world: true },
    };
    Tool::job(about, Gate::Open, read)
}

fn read(Parameters { image }: Parameters) -> Result<Change, ToolError> {
    Ok(Change::ImagePush { image: image.parse()? })
}
