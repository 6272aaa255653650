//! `host_remove`

use crate::domain::toolset::Toolset;
use crate::mcp::consent::{Question, Wants};
use crate::mcp::error::ToolError;
use crate::mcp::shape::told;
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Deserialize, JsonSchema)]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// The same call with this as its confirm removes it, once and within ten minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm: Option<String>,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "host_remove",
        title: "Forget a host",
        description: "Remove a host from the configuration; nothing on the host changes. What it was held to is remembered, should it be added again.",
        toolset: Toolset::HostsAdmin,
        effect: Effect { read_only: false, destructive: true, idempotent: true, open_world: false },
    };
    let plan = |Parameters { host }, token| Answer { host, removed: false, file: None, confirm: Some(token) };
    Tool::agreed(about, ask, plan, run)
}

async fn ask(context: ToolContext, Parameters { host }: Parameters) -> Result<Question, ToolError> {
    context.admin.may_remove(&host.parse()?).await?;
    let endpoint = context.directory.host(&host)?.spec().endpoint.url();
    let text = told(&format!("Remove the host {host} ({endpoint}) from the configuration. Do it?"));
    Ok(Question { text, wants: Wants::Yes })
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let removed = context.admin.remove(parameters.host.parse()?).await?;
    let file = Some(removed.path.display().to_string());
    Ok(Answer { host: parameters.host, removed: removed.changed, file, confirm: None })
}
