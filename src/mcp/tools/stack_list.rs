//! `stack_list`

use crate::actors::host::HostHandle;
use crate::actors::operation::Operation;
use crate::compose::{Member, Stack, members, stacks};
use crate::domain::host::HostSpec;
use crate::domain::stack::StackName;
use crate::domain::suggest::did_you_mean;
use crate::domain::toolset::Toolset;
use crate::engine::inventory::{Inventory, Section};
use crate::engine::{Engine, EngineError};
use crate::mcp::error::{ErrorKind, ToolError};
use crate::mcp::fleet::{Patience, on_host};
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

/// The containers of a stack on a host, and the names of all stacks there: two requests.
pub(super) async fn members_of(
    context: &ToolContext,
    host: &HostHandle,
    name: &StackName,
) -> Result<(Vec<Member>, Vec<String>), ToolError> {
    on_host(Patience::Quick, context, host, |operation| {
        let name = name.clone();
        async move {
            let engine = operation.engine();
            let (containers, images) = tokio::try_join!(engine.containers(), engine.image_labels())?;
            let names = stacks(&containers, &images).into_iter().map(|stack| stack.name).collect();
            Ok((members(containers, &images, name.as_str()), names))
        }
    })
    .await
}

/// That no container is of this stack.
pub(super) fn no_stack(spec: &HostSpec, name: &StackName, others: &[String]) -> ToolError {
    let near = did_you_mean(name.as_str(), others.iter().map(String::as_str));
    ToolError::new(ErrorKind::NotFound, format!("{}: no stack {name} was found.{near}", spec.id))
        .with_hint("stack_list shows them.")
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
