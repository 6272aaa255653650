//! `image_pull`

use crate::domain::change::Change;
use crate::domain::toolset::Toolset;
use crate::mcp::error::ToolError;
use crate::mcp::fleet::select;
use crate::mcp::job::{self, Jobs};
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use schemars::JsonSchema;
use serde::Deserialize;

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

async fn run(context: ToolContext, parameters: Parameters) -> Result<Jobs, ToolError> {
    let Parameters { hosts, image, platform, idempotency_key, wait } = parameters;
    let platform = platform.map(|platform| platform.parse()).transpose()?;
    let change = Change::ImagePull { image: image.parse()?, platform };
    let hosts = select(&context.directory, Some(&hosts))?;
    let names: Vec<String> = hosts.iter().map(|host| host.spec().id.to_string()).collect();
    job::begin_on_each(&context, &names, &change, idempotency_key.as_deref(), wait).await
}
