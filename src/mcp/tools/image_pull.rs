//! `image_pull`

use crate::domain::change::Change;
use crate::domain::image::ImageName;
use crate::domain::toolset::Toolset;
use crate::mcp::error::{HostFailure, ToolError};
use crate::mcp::fleet::select;
use crate::mcp::job::{self, Job, Terms};
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name, comma list, @tag or *.
    hosts: String,
    /// Image.
    image: String,
    /// os/arch, where it is not the host's own.
    platform: Option<String>,
    /// A word of yours: the same call with it within a day is the same job.
    idempotency_key: Option<String>,
    /// Seconds to wait for the end (default 45).
    wait: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    /// One for each host.
    jobs: Vec<Job>,
    /// Hosts on which nothing was begun.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<HostFailure>,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "image_pull",
        title: "Pull an image",
        description: "Pull an image on hosts, all at once; one job for each.",
        toolset: Toolset::Images,
        effect: Effect { read_only: false, destructive: false, idempotent: true, open_world: true },
    };
    Tool::jobs(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let Parameters { hosts, image, platform, idempotency_key, wait } = parameters;
    let image: ImageName = image.parse()?;
    let hosts = select(&context.directory, Some(&hosts))?;
    let pulls = hosts.iter().map(|host| {
        let change = Change::ImagePull { image: image.clone(), platform: platform.clone() };
        // One key begins a job on each host, and finds each again.
        let id = host.spec().id.to_string();
        let key = idempotency_key.as_ref().map(|key| format!("{key} {id}"));
        let context = &context;
        async move {
            let terms = Terms::plain(id.clone(), key, wait);
            let begun = job::begin_unasked(context, change, terms).await;
            begun.map_err(|error| HostFailure::plain(&id, error))
        }
    });
    let (mut jobs, mut errors) = (vec![], vec![]);
    for pulled in join_all(pulls).await {
        match pulled {
            Ok(job) => jobs.push(job),
            Err(failure) => errors.push(failure),
        }
    }
    match errors.as_slice() {
        [first, ..] if jobs.is_empty() => Err(first.clone().into()),
        _ => Ok(Answer { jobs, errors }),
    }
}
