//! `job_get`

use crate::domain::toolset::Toolset;
use crate::mcp::error::ToolError;
use crate::mcp::job::{self, Job};
use crate::mcp::rollout;
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Job id.
    job: String,
    /// Seconds to wait for its end (default 0, at most 45).
    wait: Option<u64>,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "job_get",
        title: "Look at a job",
        description: "State and steps of a job, and what came of them; waits up to wait seconds for its end.",
        toolset: Toolset::System,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Job, ToolError> {
    let wait = Duration::from_secs(parameters.wait.unwrap_or(0).min(job::DEFAULT_WAIT));
    let id = job::id(&parameters.job)?;
    match rollout::get(&context, id, wait).await {
        Some(rollout) => Ok(rollout),
        None => Ok(Job::of(&job::get(&context, id, wait).await?, false)),
    }
}
