//! `container_stop`

use crate::domain::change::{Change, StopMode};
use crate::domain::toolset::Toolset;
use crate::mcp::error::ToolError;
use crate::mcp::job;
use crate::mcp::tool::{About, Effect, Gate, Tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Names or ids.
    containers: Vec<String>,
    /// Stop, freeze, or end at once.
    #[serde(default)]
    mode: Mode,
    /// Seconds each gets before it is killed (default: its own, else 10).
    timeout: Option<u32>,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Stop,
    Pause,
    Kill,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "container_stop",
        title: "Stop containers",
        description: "Stop, pause or kill containers: what they serve is interrupted until they are started.",
        toolset: Toolset::Containers,
        effect: Effect { read_only: false, destructive: true, idempotent: true, open_world: false },
    };
    Tool::job(about, Gate::Open, read)
}

fn read(Parameters { containers, timeout, mode }: Parameters) -> Result<Change, ToolError> {
    let mode = match mode {
        Mode::Stop => StopMode::Stop,
        Mode::Pause => StopMode::Pause,
        Mode::Kill => StopMode::Kill,
    };
    Ok(Change::ContainerStop { containers: job::names(&containers)?, grace: job::grace(timeout)?, mode })
}
