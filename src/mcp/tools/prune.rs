//! `prune`

use crate::domain::change::{Change, PruneKind};
use crate::domain::toolset::Toolset;
use crate::mcp::error::ToolError;
use crate::mcp::fleet::{Patience, on_host};
use crate::mcp::job::{self, Job, JobParameters};
use crate::mcp::registry::{About, Effect, Tool, ToolContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name.
    host: String,
    /// Of which kinds.
    what: Vec<Kind>,
    /// Only tell what would go (default true).
    dry_run: Option<bool>,
    /// A word of yours: the same call with it within a day is the same job.
    idempotency_key: Option<String>,
    /// Seconds to wait for the end (default 45).
    wait: Option<u64>,
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

#[derive(Serialize, JsonSchema)]
struct Answer {
    /// What would go.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Vec<Planned>>,
    /// The job that removes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<Job>,
}

#[derive(Serialize, JsonSchema)]
struct Planned {
    kind: &'static str,
    name: String,
    /// Bytes, where the engine tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<i64>,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "prune",
        title: "Remove what is unused",
        description: "Remove unused Docker data on one host. By default it only lists what would go; dry_run false removes it.",
        toolset: Toolset::System,
        effect: Effect { read_only: false, destructive: true, idempotent: true, open_world: false },
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let Parameters { host, what, dry_run, idempotency_key, wait } = parameters;
    let what: Vec<PruneKind> = what.into_iter().map(PruneKind::from).collect();
    if dry_run == Some(false) {
        let change = Change::Prune { what };
        let job = job::begin(&context, &host, change, JobParameters { idempotency_key, wait }).await?;
        return Ok(Answer { plan: None, job: Some(job) });
    }
    let handle = context.directory.host(&host)?;
    let looked = on_host(Patience::Quick, &context, &handle, move |operation| {
        let what = what.clone();
        async move {
            let mut plan = vec![];
            for kind in what {
                let things = operation.engine().unused(kind).await?;
                let planned = |thing: crate::domain::change::Thing| Planned {
                    kind: kind.word(),
                    name: thing.name,
                    size: thing.bytes,
                };
                plan.extend(things.into_iter().map(planned));
            }
            Ok(plan)
        }
    });
    Ok(Answer { plan: Some(looked.await?), job: None })
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
