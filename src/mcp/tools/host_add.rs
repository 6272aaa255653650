//! `host_add`

use crate::config::{FieldValue, Fields, HostKey};
use crate::domain::redact;
use crate::domain::target::without_password;
use crate::domain::toolset::Toolset;
use crate::mcp::error::ToolError;
use crate::mcp::policy::PolicyWord;
use crate::mcp::tool::{About, Effect, Object, Tool, ToolContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// New name.
    name: String,
    /// user@address[:port], ssh alias, or a socket's path.
    target: String,
    /// Words to select it by, as @tag.
    tags: Option<Vec<String>>,
    /// Words about it.
    description: Option<String>,
    /// Never looser than what its engine is held to; default `no_destructive`.
    policy: Option<PolicyWord>,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    host: String,
    endpoint: String,
    policy: &'static str,
    /// Its engine, when it was connected to.
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    /// False when it was there already.
    added: bool,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "host_add",
        title: "Add a host",
        description: "Add a Docker host from user@address or an ssh alias; connects first and saves it only when its engine answers. Nothing on the host changes.",
        toolset: Toolset::HostsAdmin,
        effect: Effect { read_only: false, destructive: false, idempotent: true, open_world: false },
    };
    Tool::structured(about, run).audited_by(audited)
}

/// The place is the only argument where a password may stand that nothing else gives away.
pub(super) fn audited(arguments: &Object) -> Value {
    let mut shown = arguments.clone();
    if let Some(Value::String(target)) = shown.get_mut("target") {
        *target = without_password(target);
    }
    redact::json(&Value::Object(shown))
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let Parameters { name, target, tags, description, policy } = parameters;
    let mut fields = Fields::new();
    fields.extend(tags.map(|tags| (HostKey::TAGS, Some(FieldValue::List(tags)))));
    fields.extend(description.map(|text| (HostKey::DESCRIPTION, Some(FieldValue::Text(text)))));
    fields.extend(policy.map(PolicyWord::field));
    let saved = context.admin.add(name.parse()?, &target.parse()?, fields).await?;
    let policy = context.directory.policy(&saved.spec.id).max(saved.spec.policy);
    Ok(Answer {
        host: saved.spec.id.to_string(),
        endpoint: saved.spec.endpoint.url(),
        policy: policy.word(),
        engine: saved.engine.map(|engine| format!("{} {}", engine.product, engine.version)),
        added: saved.edited.changed,
    })
}
