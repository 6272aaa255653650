//! One job on each of several hosts.

use super::{Job, Terms, begin_unasked};
use crate::domain::change::Change;
use crate::mcp::error::{HostFailure, ToolError};
use crate::mcp::tool::ToolContext;
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Serialize;

/// What became of a call that begins jobs on several hosts.
#[derive(Serialize, JsonSchema)]
pub(in crate::mcp) struct Jobs {
    /// One for each.
    jobs: Vec<Job>,
    /// Hosts on which nothing was begun.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<HostFailure>,
}

/// Begins `change`, about which nobody is asked, on each of the hosts of these names.
pub(in crate::mcp) async fn begin_on_each(
    context: &ToolContext,
    hosts: &[String],
    change: &Change,
    idempotency_key: Option<&str>,
    wait: Option<u64>,
) -> Result<Jobs, ToolError> {
    let begun = hosts.iter().map(async |host| {
        // One key begins a job on each host, and finds each again.
        let key = idempotency_key.map(|key| format!("{key} {host}"));
        let terms = Terms::plain(host.clone(), key, wait);
        let begun = begin_unasked(context, change.clone(), terms).await;
        begun.map_err(|error| HostFailure::plain(host, error))
    });
    let (mut jobs, mut errors) = (vec![], vec![]);
    for begun in join_all(begun).await {
        match begun {
            Ok(job) => jobs.push(job),
            Err(failure) => errors.push(failure),
        }
    }
    match errors.as_slice() {
        [first, ..] if jobs.is_empty() => Err(first.clone().into()),
        _ => Ok(Jobs { jobs, errors }),
    }
}
