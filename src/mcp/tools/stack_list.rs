//! `stack_list`

use crate::actors::operation::Operation;
use crate::compose::{Stack, stacks};
use crate::domain::toolset::Toolset;
use crate::engine::inventory::{Inventory, Section};
use crate::engine::{Engine, EngineError};
use crate::mcp::error::ToolError;
use crate::mcp::list::{Dated, Keyed, List, Rest};
use crate::mcp::page;
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name, comma list, @tag or * (default).
    hosts: Option<String>,
    /// Name glob.
    #[serde(rename = "match")]
    pattern: Option<String>,
    /// Max rows.
    #[serde(default = "page::default_limit")]
    #[schemars(range(min = 1, max = 500))]
    limit: u16,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    stacks: Vec<Dated<Row>>,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    host: String,
    name: String,
    /// running, partial or stopped.
    status: &'static str,
    services: Vec<String>,
    /// Containers that run.
    running: usize,
    /// Containers there are.
    containers: usize,
    /// The files the containers were made from, as their labels tell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
    /// The containers were made from different lists of files; `stack_file_read` then needs `compose_path`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ambiguous: bool,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "stack_list",
        title: "List compose stacks",
        description: "List compose stacks on hosts: status, services, containers, files. Hosts that do not answer are named under errors; rows with stale_since are their last known.",
        toolset: Toolset::Stacks,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

/// The stacks of an engine: two requests.
pub(super) async fn stacks_of(engine: &Engine) -> Result<Vec<Stack>, EngineError> {
    let (containers, images) = tokio::try_join!(engine.containers(), engine.image_labels())?;
    Ok(stacks(&containers, &images))
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let glob = parameters.pattern.as_deref().map(page::glob).transpose()?;
    let list =
        List::of(&context, parameters.hosts.as_deref(), parameters.limit, parameters.cursor.as_deref())?;
    let call = async |operation: Operation| Ok(stacks_of(operation.engine()).await?);
    let recall = |inventory: &Arc<Inventory>| stacks(&inventory.containers, &inventory.image_labels());
    let rows_of = |host: &str, stacks: Vec<Stack>| {
        let is_meant = |stack: &Stack| glob.as_ref().is_none_or(|glob| glob.is_match(&stack.name));
        stacks.into_iter().filter(is_meant).map(|stack| row(host, stack)).collect()
    };
    let (stacks, rest) =
        list.rows_or_known(&[Section::Containers, Section::Images], call, recall, rows_of).await?;
    Ok(Answer { stacks, rest })
}

fn row(host: &str, stack: Stack) -> Keyed<Row> {
    let ambiguous = stack.files.len() > 1;
    let key = vec![host.to_owned(), stack.name.clone()];
    let row = Row {
        host: host.to_owned(),
        status: stack.status(),
        services: stack.services.into_iter().collect(),
        running: stack.running,
        containers: stack.containers,
        files: if ambiguous { vec![] } else { stack.files.into_iter().flatten().collect() },
        ambiguous,
        name: stack.name,
    };
    (key, row)
}
