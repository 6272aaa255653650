//! `job_cancel`

use crate::domain::toolset::Toolset;
use crate::mcp::error::ToolError;
use crate::mcp::job::{self, Job};
use crate::mcp::rollout;
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// A step that can be broken off is within this time.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Job id.
    job: String,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "job_cancel",
        title: "Cancel a job",
        description: "End a job before its next step and undo what can be undone; a step that the engine is at is not broken off.",
        toolset: Toolset::System,
        effect: Effect { read_only: false, destructive: true, idempotent: true, open_world: false },
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Job, ToolError> {
    let id = job::id(&parameters.job)?;
    if let Some(rollout) = rollout::cancel(&context, id, PATIENCE).await? {
        return Ok(rollout);
    }
    // One that is over stays as it is.
    context.directory.changes().cancel(id, &context.asker).await?;
    Ok(Job::of(&job::get(&context, id, PATIENCE).await?, false))
}
