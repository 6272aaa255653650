//! `container_update`

use super::container_run::{Restart, bytes, milli_cpus};
use crate::domain::change::Change;
use crate::domain::run::LimitSpec;
use crate::domain::toolset::Toolset;
use crate::mcp::error::{ErrorKind, ToolError};
use crate::mcp::tool::{About, Effect, Gate, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Name or id.
    container: String,
    /// Memory limit, such as 512m.
    memory: Option<String>,
    /// Processors.
    cpus: Option<f64>,
    /// When the engine starts it again.
    restart: Option<Restart>,
    /// New name.
    rename: Option<String>,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "container_update",
        title: "Update a container",
        description: "Change limits, restart policy or name of a container without remaking it.",
        toolset: Toolset::Containers,
        effect: Effect { read_only: false, destructive: true, idempotent: true, open_world: false },
    };
    Tool::job(about, Gate::Open, read)
}

fn read(parameters: Parameters) -> Result<Change, ToolError> {
    let wrong = |words: String| ToolError::new(ErrorKind::InvalidArguments, words);
    let limits = LimitSpec {
        memory: parameters.memory.as_deref().map(bytes).transpose().map_err(wrong)?,
        milli_cpus: parameters.cpus.map(milli_cpus).transpose().map_err(wrong)?,
        restart: parameters.restart.map(Into::into),
    };
    let rename = parameters.rename.map(|name| name.parse()).transpose()?;
    Ok(Change::ContainerUpdate { container: parameters.container.parse()?, limits, rename })
}
