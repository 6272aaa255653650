//! `host_list`

use crate::actors::host::HostHandle;
use crate::actors::operation::Operation;
use crate::domain::phase::Phase;
use crate::domain::toolset::Toolset;
use crate::engine::inventory::Section;
use crate::mcp::error::{HostFailure, ToolError};
use crate::mcp::fleet::{Patience, gather, select};
use crate::mcp::shape::{rfc3339, told};
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name, comma list, @tag or * (default).
    hosts: Option<String>,
    /// Ask every engine now, instead of telling what is known of it.
    #[serde(default)]
    probe: bool,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    hosts: Vec<Host>,
    errors: Vec<HostFailure>,
    /// What is wrong with the hosts files; the hosts are those of the last good reading.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    configuration: Vec<String>,
}

/// A host and the state of its line.
#[derive(Serialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "`host` is the column's name in every tool")]
struct Host {
    host: String,
    /// ready, connecting, backoff, held, disconnected, disabled or quarantined.
    phase: &'static str,
    /// Since when it is in this state, or in its trouble (RFC 3339).
    since: String,
    /// Where its engine is reached.
    endpoint: String,
    /// What may be done to it: rw, `no_destructive` or ro.
    policy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<Engine>,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    /// When the engine answered last (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<String>,
    /// Why it is not ready: a stable word.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    /// The same in the words of whoever reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// What a person can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// When Dockmaster tries again by itself (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    next_try: Option<String>,
    /// Containers by state, as far as they were ever seen.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    containers: BTreeMap<String, usize>,
    /// When that was so (RFC 3339); absent where it is so now.
    #[serde(skip_serializing_if = "Option::is_none")]
    containers_as_of: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Engine {
    product: &'static str,
    version: String,
    /// The API version spoken with it.
    api: String,
    platform: String,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "host_list",
        title: "List hosts",
        description: "List configured Docker hosts: state of the line, engine version, tags; for a host in trouble the cause, since when and what is tried next. Start here.",
        toolset: Toolset::Hosts,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let hosts = match parameters.hosts.as_deref() {
        // Who asks for all sees the disabled ones too, which other tools leave alone.
        None | Some("*") => context.directory.all(),
        some => select(&context.directory, some)?,
    };
    let (mut counts, mut errors) = (BTreeMap::new(), Vec::new());
    if parameters.probe {
        let ask = async |operation: Operation| {
            Ok(operation.engine().inventory(&[Section::Containers]).await?.states())
        };
        // Where every host failed, their rows say so.
        let (answers, failures) = gather(Patience::Quick, &context, &hosts, ask).await.unwrap_or_default();
        counts = answers.into_iter().map(|(host, states)| (host.spec().id.clone(), states)).collect();
        errors = failures;
    }
    let hosts = hosts.iter().map(|host| {
        let row = row(&context, host);
        match counts.remove(&host.spec().id) {
            Some(containers) => Host { containers, containers_as_of: None, ..row },
            None => row,
        }
    });
    Ok(Answer { hosts: hosts.collect(), errors, configuration: context.admin.config.faults() })
}

fn row(context: &ToolContext, host: &HostHandle) -> Host {
    let (spec, status) = (host.spec(), host.status());
    let engine = match &status.phase {
        Phase::Ready(engine) => Some(Engine {
            product: engine.product,
            version: engine.version.clone(),
            api: engine.api.clone(),
            platform: engine.platform.clone(),
        }),
        _ => None,
    };
    let cause = status.phase.cause();
    let known = host.known();
    let seen = known.as_ref().and_then(|known| Some((known, known.seen(&[Section::Containers])?)));
    Host {
        host: spec.id.to_string(),
        phase: status.phase.word(),
        since: rfc3339(status.since),
        endpoint: spec.endpoint.url(),
        policy: context.directory.policy(&spec.id).word(),
        engine,
        description: told(&spec.description),
        tags: spec.tags.clone(),
        last_seen: status.last_seen.map(rfc3339),
        cause: cause.map(|fault| fault.kind.word()),
        message: cause.map(ToString::to_string),
        hint: cause.map(|fault| fault.fix(spec)),
        next_try: status.phase.next_try().map(rfc3339),
        containers: seen.map(|(known, _)| known.inventory.states()).unwrap_or_default(),
        containers_as_of: seen
            .filter(|(known, _)| !known.is_current(Section::Containers))
            .map(|(_, as_of)| rfc3339(as_of)),
    }
}
