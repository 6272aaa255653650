//! `container_start`

use crate::domain::change::Change;
use crate::domain::toolset::Toolset;
use crate::mcp::error::ToolError;
use crate::mcp::job::{self, Job, JobParameters};
use crate::mcp::registry::{About, Effect, Tool, ToolContext};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name.
    host: String,
    /// Names or ids.
    containers: Vec<String>,
    /// A word of yours: the same call with it within a day is the same job.
    idempotency_key: Option<String>,
    /// Seconds to wait for the end (default 45).
    wait: Option<u64>,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "container_start",
        title: "Start containers",
        description: "Start or unpause containers.",
        toolset: Toolset::Containers,
        effect: Effect { read_only: false, destructive: false, idempotent: true, open_world: false },
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Job, ToolError> {
    let Parameters { host, containers, idempotency_key, wait } = parameters;
    let containers = job::containers(&containers)?;
    let change = Change::ContainerStart { containers };
    job::begin(&context, &host, change, JobParameters { idempotency_key, wait }).await
}
