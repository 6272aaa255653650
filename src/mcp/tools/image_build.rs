//! `image_build`

use crate::domain::build::{ArgName, BuildSpec, without_login};
use crate::domain::change::Change;
use crate::domain::redact;
use crate::domain::toolset::Toolset;
use crate::mcp::error::{ErrorKind, ToolError};
use crate::mcp::job;
use crate::mcp::tool::{About, Effect, Gate, Object, Tool};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Directory on the host, or Git URL.
    context: String,
    /// Path within it (default Dockerfile).
    dockerfile: Option<String>,
    /// Its names.
    tags: Vec<String>,
    /// Build arguments.
    #[serde(default)]
    args: BTreeMap<String, String>,
    /// Stage (default: the last).
    target: Option<String>,
    /// Take nothing from builds before.
    #[serde(default)]
    no_cache: bool,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "image_build",
        title: "Build an image",
        description: "Build an image on a host by its docker build, from a directory there or a Git URL.",
        toolset: Toolset::Images,
        effect: Effect { read_only: false, destructive: false, idempotent: false, open_world: true },
    };
    Tool::job(about, Gate::Asks, read).audited_by(audited)
}

/// The context is the only argument where a token may stand that nothing gives away.
fn audited(arguments: &Object) -> Value {
    let mut shown = arguments.clone();
    if let Some(Value::String(context)) = shown.get_mut("context") {
        *context = without_login(context);
    }
    redact::json(&Value::Object(shown))
}

fn read(parameters: Parameters) -> Result<Change, ToolError> {
    let Parameters { context, dockerfile, tags, args, target, no_cache } = parameters;
    let tags = job::names(&tags)?;
    if tags.is_empty() {
        return Err(ToolError::new(ErrorKind::InvalidArguments, "tags: name at least one"));
    }
    let args: Result<BTreeMap<ArgName, String>, ToolError> =
        args.into_iter().map(|(name, value)| Ok((name.parse()?, value))).collect();
    let dockerfile = dockerfile.as_deref().map(str::parse).transpose()?;
    let target = target.as_deref().map(str::parse).transpose()?;
    let (context, args) = (context.parse()?, args?.try_into()?);
    Ok(Change::ImageBuild(Box::new(BuildSpec { context, dockerfile, tags, args, target, no_cache })))
}
