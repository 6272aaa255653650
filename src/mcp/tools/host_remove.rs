//! `host_remove`

use crate::domain::toolset::Toolset;
use crate::mcp::error::ToolError;
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name.
    host: String,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    host: String,
    removed: bool,
    /// The file it stood in.
    file: String,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "host_remove",
        title: "Forget a host",
        description: "Remove a host from the configuration; nothing on the host changes. What it was held to is remembered, should it be added again.",
        toolset: Toolset::HostsAdmin,
        effect: Effect { read_only: false, destructive: true, idempotent: true, open_world: false },
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let removed = context.admin.remove(parameters.host.parse()?).await?;
    Ok(Answer { host: parameters.host, removed: removed.changed, file: removed.path.display().to_string() })
}
