//! `rollout`

use crate::domain::rollout::{Pace, RolloutAction};
use crate::domain::toolset::Toolset;
use crate::mcp::error::{ErrorKind, ToolError};
use crate::mcp::job::{self, Job};
use crate::mcp::rollout::{Wanted, roll_out};
use crate::mcp::tool::{About, Effect, Tool, ToolContext, ToolOutput};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// Longer between two batches nobody is there to look.
const LONGEST_PAUSE: u64 = 3600;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// What is done to each.
    operation: Operation,
    /// Name glob, label=key[=value], image=glob or stack=name.
    selector: String,
    /// Host name, comma list, @tag or *.
    hosts: String,
    /// Containers at once.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 50))]
    batch: usize,
    /// Seconds between batches.
    #[serde(default)]
    pause: u64,
    /// Stop when so many have failed.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    max_failures: usize,
    /// Seconds each gets to become healthy.
    #[serde(default = "job::usual_patience")]
    wait_healthy: u32,
    /// Only tell what would be done (default true, without confirm).
    dry_run: Option<bool>,
    /// confirm of the plan that a person agreed to.
    confirm: Option<String>,
    /// Seconds to wait for the end (default 45).
    wait: Option<u64>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Operation {
    Restart,
    Recreate,
    Pull,
    Start,
    Stop,
}

fn one() -> usize {
    1
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "rollout",
        title: "Roll out over hosts",
        description: "Restart, recreate, pull, start or stop selected containers of many hosts, in batches with a health gate; stops on failure.",
        toolset: Toolset::System,
        effect: Effect { read_only: false, destructive: true, idempotent: false, open_world: true },
    };
    Tool::planned::<Parameters, Job, _>(about, run).on_host()
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<ToolOutput, ToolError> {
    let Parameters { operation, selector, hosts, batch, pause, max_failures, .. } = parameters;
    let Parameters { wait_healthy, dry_run, confirm, wait, .. } = parameters;
    let invalid = |words: &str| Err(ToolError::new(ErrorKind::InvalidArguments, words));
    if !(1..=50).contains(&batch) || max_failures == 0 || pause > LONGEST_PAUSE {
        return invalid("batch: 1 to 50; max_failures: at least 1; pause: at most 3600 s");
    }
    let action = match operation {
        Operation::Restart => RolloutAction::Restart,
        Operation::Recreate => RolloutAction::Recreate,
        Operation::Pull => RolloutAction::Pull,
        Operation::Start => RolloutAction::Start,
        Operation::Stop => RolloutAction::Stop,
    };
    let Some(patience) = job::patience(wait_healthy)? else {
        return invalid("wait_healthy: at least 1 s");
    };
    let pace = Pace { batch, pause: Duration::from_secs(pause), max_failures };
    let selection = selector.parse()?;
    let wanted = Wanted { action, selector, selection, hosts, pace, patience };
    let plans_only = dry_run.unwrap_or(confirm.is_none());
    roll_out(&context, wanted, plans_only, confirm.as_deref(), wait).await
}
