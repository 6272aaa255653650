//! `job_list`

use crate::domain::toolset::Toolset;
use crate::journal::Page;
use crate::mcp::error::ToolError;
use crate::mcp::job::{self, Job};
use crate::mcp::page::{self, Window};
use crate::mcp::rollout;
use crate::mcp::shape::is_zero;
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Which (default active).
    state: Option<Which>,
    /// Rows.
    #[serde(default = "page::default_limit")]
    #[schemars(range(min = 1, max = 500))]
    limit: u16,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Which {
    /// Not over.
    #[default]
    Active,
    /// Over.
    Done,
    All,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    /// The newest first; rollouts before all others.
    jobs: Vec<Job>,
    /// Rollouts left out, the oldest.
    #[serde(skip_serializing_if = "is_zero")]
    more: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "job_list",
        title: "List jobs",
        description: "Jobs that change hosts, with their steps: those at work and in doubt, or those that are over.",
        toolset: Toolset::System,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let Parameters { state, limit, cursor } = parameters;
    // By the rule of all lists.
    Window::parse(limit, None)?;
    let limit = u32::from(limit);
    let ended = match state.unwrap_or_default() {
        Which::Active => Some(false),
        Which::Done => Some(true),
        Which::All => None,
    };
    let before = cursor.as_deref().map(job::id).transpose()?;
    // They are not on record.
    let mut jobs = if before.is_none() { rollout::list(&context, ended) } else { vec![] };
    let half = page::PAGE_CHARACTERS / 2;
    let more = page::cap(&mut jobs, half);
    let desk = context.directory.changes();
    let records = desk.list(&Page { ended, limit, before }).await?;
    let mut recorded: Vec<Job> = records.iter().map(|record| Job::of(record, false)).collect();
    let left_out = page::cap(&mut recorded, if jobs.is_empty() { page::PAGE_CHARACTERS } else { half });
    let full = left_out > 0 || u32::try_from(records.len()).is_ok_and(|count| count == limit);
    let next_cursor = recorded.last().filter(|_| full).and_then(|job| job.job.clone());
    jobs.append(&mut recorded);
    Ok(Answer { jobs, more, next_cursor })
}
