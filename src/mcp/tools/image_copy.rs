//! `image_copy`

use crate::domain::change::Change;
use crate::domain::toolset::Toolset;
use crate::mcp::error::{ErrorKind, ToolError};
use crate::mcp::job::{self, Jobs};
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host that has it.
    host: String,
    /// Image.
    image: String,
    /// Hosts that are to have it.
    to: Vec<String>,
    /// A word of yours: the same call with it within a day is the same job.
    idempotency_key: Option<String>,
    /// Seconds to wait for the end (default 45).
    wait: Option<u64>,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "image_copy",
        title: "Copy an image",
        description: "Copy an image from one host to others over their lines, without a registry; one job for each.",
        toolset: Toolset::Images,
        effect: Effect { read_only: false, destructive: false, idempotent: true, open_world: false },
    };
    Tool::jobs(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Jobs, ToolError> {
    let Parameters { host, image, mut to, idempotency_key, wait } = parameters;
    let from = context.directory.host(&host)?.spec().id.clone();
    to.sort_unstable();
    to.dedup();
    if to.is_empty() || to.iter().any(|to| to == from.as_str()) {
        let words = format!("to: name at least one host, and not {from} itself");
        return Err(ToolError::new(ErrorKind::InvalidArguments, words));
    }
    let change = Change::ImageCopy { image: image.parse()?, from };
    job::begin_on_each(&context, &to, &change, idempotency_key.as_deref(), wait).await
}
