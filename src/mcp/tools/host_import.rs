//! `host_import`

use crate::domain::toolset::Toolset;
use crate::mcp::error::{ErrorKind, ToolError};
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use globset::Glob;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Glob on the alias.
    #[serde(default = "everything")]
    pattern: String,
    /// Only tell what would be tried.
    #[serde(default)]
    dry_run: bool,
}

fn everything() -> String {
    "*".to_owned()
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    /// Hosts that were added; with `dry_run` those that would be tried.
    added: Vec<Added>,
    skipped: Vec<Skipped>,
}

#[derive(Serialize, JsonSchema)]
struct Added {
    host: String,
    endpoint: String,
}

#[derive(Serialize, JsonSchema)]
struct Skipped {
    alias: String,
    reason: String,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "host_import",
        title: "Import hosts",
        description: "Add the hosts of the user's ssh configuration that answer as Docker hosts; tells for each alias that is not added why.",
        toolset: Toolset::HostsAdmin,
        effect: Effect { read_only: false, destructive: false, idempotent: true, open_world: false },
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let pattern = Glob::new(&parameters.pattern).map_err(|error| {
        ToolError::new(ErrorKind::InvalidArguments, format!("host_import: pattern: {error}"))
    })?;
    let imported = context.admin.import(&pattern.compile_matcher(), parameters.dry_run).await?;
    let added = imported.added.into_iter();
    let skipped = imported.skipped.into_iter();
    Ok(Answer {
        added: added.map(|spec| Added { host: spec.id.to_string(), endpoint: spec.endpoint.url() }).collect(),
        skipped: skipped.map(|skip| Skipped { alias: skip.alias, reason: skip.reason }).collect(),
    })
}
