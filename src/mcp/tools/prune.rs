//! `prune`

use crate::domain::change::{Change, PruneKind};
use crate::domain::toolset::Toolset;
use crate::mcp::error::ToolError;
use crate::mcp::tool::{About, Effect, Gate, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Of which kinds.
    what: Vec<Kind>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Ended ones.
    Containers,
    /// Without containers.
    Networks,
    /// Without a name and unused.
    Images,
    /// Anonymous and unused.
    Volumes,
    BuildCache,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "prune",
        title: "Remove what is unused",
        description: "Remove unused Docker data on one host. By default it only lists what would go; dry_run false removes it.",
        toolset: Toolset::System,
        effect: Effect { read_only: false, destructive: true, idempotent: true, open_world: false },
    };
    Tool::job(about, Gate::PlansFirst, read)
}

fn read(Parameters { what }: Parameters) -> Result<Change, ToolError> {
    Ok(Change::Prune { what: what.into_iter().map(PruneKind::from).collect() })
}

impl From<Kind> for PruneKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Containers => Self::Containers,
            Kind::Networks => Self::Networks,
            Kind::Images => Self::Images,
            Kind::Volumes => Self::Volumes,
            Kind::BuildCache => Self::BuildCache,
        }
    }
}
