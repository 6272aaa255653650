//! `host_update`

use crate::config::{FieldValue, Fields, HostKey};
use crate::domain::toolset::Toolset;
use crate::mcp::error::{ErrorKind, ToolError};
use crate::mcp::policy::PolicyWord;
use crate::mcp::shape::told;
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name.
    host: String,
    /// New place: user@address[:port], ssh alias, or a socket's path.
    target: Option<String>,
    /// All tags it is to have.
    tags: Option<Vec<String>>,
    /// Words about it.
    description: Option<String>,
    /// Whether a line is kept to it.
    enabled: Option<bool>,
    /// Stricter than before; only a person can loosen it.
    policy: Option<PolicyWord>,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    host: String,
    endpoint: String,
    policy: &'static str,
    enabled: bool,
    tags: Vec<String>,
    description: String,
    /// False when it said so already.
    changed: bool,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "host_update",
        title: "Change a host",
        description: "Change tags, description, place, enabled or policy of a configured host; other fields and comments of the file stay. A policy can only be tightened.",
        toolset: Toolset::HostsAdmin,
        effect: Effect { read_only: false, destructive: true, idempotent: true, open_world: false },
    };
    Tool::structured(about, run).audited_by(super::host_add::audited)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let Parameters { host, target, tags, description, enabled, policy } = parameters;
    let mut fields = Fields::new();
    fields.extend(tags.map(|tags| (HostKey::TAGS, Some(FieldValue::List(tags)))));
    fields.extend(description.map(|text| (HostKey::DESCRIPTION, Some(FieldValue::Text(text)))));
    fields.extend(enabled.map(|flag| (HostKey::ENABLED, Some(FieldValue::Flag(flag)))));
    fields.extend(policy.map(PolicyWord::field));
    if fields.is_empty() && target.is_none() {
        return Err(ToolError::new(ErrorKind::InvalidArguments, "host_update: nothing to change is named"));
    }
    let target = target.map(|target| target.parse()).transpose()?;
    let saved = context.admin.update(host.parse()?, target.as_ref(), fields).await?;
    let policy = context.directory.policy(&saved.spec.id);
    Ok(Answer {
        host: saved.spec.id.to_string(),
        endpoint: saved.spec.endpoint.url(),
        policy: policy.word(),
        enabled: saved.spec.enabled,
        tags: saved.spec.tags,
        description: told(&saved.spec.description),
        changed: saved.edited.changed,
    })
}
