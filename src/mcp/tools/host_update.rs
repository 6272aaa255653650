//! `host_update`

use crate::config::{FieldValue, Fields, HostKey};
use crate::domain::host::HostSpec;
use crate::domain::policy::Policy;
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
    #[serde(flatten)]
    now: Settings,
    /// False when it said so already.
    changed: bool,
    /// What it was, where that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Settings>,
}

#[derive(PartialEq, Eq, Serialize, JsonSchema)]
struct Settings {
    endpoint: String,
    policy: &'static str,
    enabled: bool,
    tags: Vec<String>,
    description: String,
}

impl Settings {
    fn of(spec: &HostSpec, policy: Policy) -> Self {
        Self {
            endpoint: spec.endpoint.url(),
            policy: policy.word(),
            enabled: spec.enabled,
            tags: spec.tags.clone(),
            description: told(&spec.description),
        }
    }
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
    let settings = |spec: &HostSpec| Settings::of(spec, context.directory.policy(&spec.id));
    let before = context.directory.host(&host).ok().map(|host| settings(host.spec()));
    let saved = context.admin.update(host.parse()?, target.as_ref(), fields).await?;
    let now = settings(&saved.spec);
    let before = before.filter(|before| *before != now);
    Ok(Answer { host: saved.spec.id.to_string(), now, changed: saved.edited.changed, before })
}
