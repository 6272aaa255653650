//! `prune`

use crate::domain::change::{Change, PruneKind, Sieve};
use crate::domain::toolset::Toolset;
use crate::mcp::error::{ErrorKind, ToolError};
use crate::mcp::tool::{About, Effect, Gate, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Of which kinds.
    what: Vec<Kind>,
    /// Such as 7d or 12h.
    older_than: Option<String>,
    /// Name glob or label=key[=value] of what stays.
    keep: Option<String>,
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

fn read(Parameters { what, older_than, keep }: Parameters) -> Result<Change, ToolError> {
    let older_than = older_than.as_deref().map(seconds).transpose()?;
    let keep = keep.as_deref().map(str::parse).transpose()?;
    let what: Vec<PruneKind> = what.into_iter().map(PruneKind::from).collect();
    if keep.is_some() && what.contains(&PruneKind::BuildCache) {
        let message = "keep: the build cache has no names to keep; leave it out of what";
        return Err(ToolError::new(ErrorKind::InvalidArguments, message));
    }
    Ok(Change::Prune { what, sieve: Sieve { older_than, keep } })
}

/// A time such as `7d`, in seconds.
fn seconds(text: &str) -> Result<u64, ToolError> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        "d" => Some(86_400),
        "w" => Some(604_800),
        _ => None,
    };
    let seconds =
        number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    seconds.ok_or_else(|| {
        let message = format!("older_than: {text:?} is no time: write 7d, 12h or 30m");
        ToolError::new(ErrorKind::InvalidArguments, message)
    })
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
