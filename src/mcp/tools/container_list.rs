//! `container_list`

use crate::domain::pattern::Pattern;
use crate::domain::redact;
use crate::domain::stack::LABEL_PROJECT;
use crate::domain::toolset::Toolset;
use crate::engine::containers::Container;
use crate::engine::inventory::{Inventory, Section};
use crate::mcp::error::ToolError;
use crate::mcp::list::{Dated, Keyed, List, Rest};
use crate::mcp::page;
use crate::mcp::shape::{ports, rfc3339, short_id};
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name, comma list, @tag or * (default).
    hosts: Option<String>,
    /// Only containers in this state.
    #[serde(default)]
    state: State,
    /// Only this stack.
    stack: Option<String>,
    /// Name glob or label=key[=value].
    #[serde(rename = "match")]
    pattern: Option<String>,
    /// Row detail.
    #[serde(default)]
    detail: Detail,
    /// Max rows.
    #[serde(default = "page::default_limit")]
    #[schemars(range(min = 1, max = 500))]
    limit: u16,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Running,
    Exited,
    Unhealthy,
    #[default]
    All,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Detail {
    #[default]
    Concise,
    Full,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    containers: Vec<Dated<Row>>,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    host: String,
    name: String,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<&'static str>,
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<String>,
    /// ip:published->inside/protocol; only inside/protocol when not published.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<String>,
    /// The engine's words, such as "Up 3 hours".
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    full: Option<Full>,
}

/// What `detail=full` adds.
#[derive(Serialize, JsonSchema)]
struct Full {
    /// The short identifier.
    id: String,
    /// RFC 3339.
    created: String,
    networks: Vec<String>,
    labels: BTreeMap<String, String>,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "container_list",
        title: "List containers",
        description: "List containers on hosts with state, health, image, stack, ports and uptime. Hosts that do not answer are named under errors; rows with stale_since are their last known.",
        toolset: Toolset::Containers,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let filter = Filter::parse(&parameters)?;
    let list =
        List::of(&context, parameters.hosts.as_deref(), parameters.limit, parameters.cursor.as_deref())?;
    let rows_of = |host: &str, inventory: Arc<Inventory>| {
        let meant = inventory.containers.iter().filter(|container| filter.admits(container));
        meant.map(|container| row(host, container, parameters.detail)).collect()
    };
    let (containers, rest) = list.inventory_rows(&[Section::Containers], rows_of).await?;
    Ok(Answer { containers, rest })
}

struct Filter {
    state: State,
    stack: Option<String>,
    pattern: Option<Pattern>,
}

impl Filter {
    fn parse(parameters: &Parameters) -> Result<Self, ToolError> {
        let pattern = parameters.pattern.as_deref().map(str::parse::<Pattern>).transpose()?;
        Ok(Self { state: parameters.state, stack: parameters.stack.clone(), pattern })
    }

    fn admits(&self, container: &Container) -> bool {
        let state = match self.state {
            State::All => true,
            State::Running => container.state == "running",
            State::Exited => matches!(container.state.as_str(), "exited" | "dead" | "created"),
            State::Unhealthy => container.health() == Some("unhealthy"),
        };
        let stack =
            self.stack.as_ref().is_none_or(|stack| container.labels.get(LABEL_PROJECT) == Some(stack));
        let pattern = self
            .pattern
            .as_ref()
            .is_none_or(|pattern| pattern.admits(&container.name, |key| container.labels.get(key)));
        state && stack && pattern
    }
}

fn row(host: &str, container: &Container, detail: Detail) -> Keyed<Row> {
    let key = vec![host.to_owned(), container.name.clone(), container.id.clone()];
    let health = container.health();
    let full = (detail == Detail::Full).then(|| Full {
        id: short_id(&container.id),
        created: Timestamp::from_second(container.created).map(rfc3339).unwrap_or_default(),
        networks: container.networks.clone(),
        labels: container
            .labels
            .iter()
            .map(|(key, value)| (key.clone(), redact::value(key, value)))
            .collect(),
    });
    let row = Row {
        host: host.to_owned(),
        state: container.state.clone(),
        health,
        image: container.image.clone(),
        stack: container.labels.get(LABEL_PROJECT).cloned(),
        ports: ports(&container.ports),
        status: container.status.clone(),
        name: container.name.clone(),
        full,
    };
    (key, row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::containers::Port;

    /// What the Python program tells about twenty containers, in bytes.
    const PREDECESSOR: usize = 14_100;

    #[test]
    fn twenty_containers_take_a_quarter_of_what_they_took() {
        let published = |private, ip: &str| Port {
            ip: Some(ip.to_owned()),
            public: Some(8000 + private),
            private,
            protocol: "tcp".to_owned(),
        };
        let container = |number: usize| Container {
            id: format!("{number:064}"),
            name: format!("shop-web-{number}"),
            image: "nginx:1.27".to_owned(),
            state: "running".to_owned(),
            status: "Up 3 weeks (healthy)".to_owned(),
            labels: BTreeMap::from([(LABEL_PROJECT.to_owned(), "shop".to_owned())]),
            ports: ["0.0.0.0", "::"].map(|ip| published(80, ip)).to_vec(),
            networks: vec!["shop_default".to_owned()],
            ..Container::default()
        };
        let rows: Vec<Row> =
            (0..20).map(|number| row("nas", &container(number), Detail::Concise).1).collect();
        let answer = serde_json::json!({"containers": rows, "total": 20, "errors": []}).to_string();
        assert!(answer.len() <= PREDECESSOR / 4, "{} bytes: {answer}", answer.len());
    }
}
