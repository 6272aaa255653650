//! `stack_list`

use crate::compose::{Stack, stacks};
use crate::domain::toolset::Toolset;
use crate::engine::{Engine, EngineError};
use crate::mcp::error::{HostFailure, ToolError};
use crate::mcp::fleet::{gather, select};
use crate::mcp::page;
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    stacks: Vec<Row>,
    /// How many match on the hosts that answered.
    total: usize,
    /// Give it as cursor to read on.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// Hosts that did not answer, with cause and age.
    errors: Vec<HostFailure>,
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
        description: "List compose stacks on hosts: status, services, containers, files. Hosts that do not answer are named under errors.",
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
    let name = parameters.pattern.as_deref().map(page::glob).transpose()?;
    let window = page::Window::parse(parameters.limit, parameters.cursor.as_deref())?;
    let hosts = select(&context.directory, parameters.hosts.as_deref())?;
    let (answers, errors) =
        gather(&context, &hosts, async |operation| Ok(stacks_of(operation.engine()).await?)).await?;
    let mut rows = Vec::new();
    for (host, stacks) in answers {
        let id = host.spec().id.to_string();
        for stack in
            stacks.into_iter().filter(|stack| name.as_ref().is_none_or(|name| name.is_match(&stack.name)))
        {
            rows.push((vec![id.clone(), stack.name.clone()], row(id.clone(), stack)));
        }
    }
    let page = window.cut(rows);
    Ok(Answer { stacks: page.rows, total: page.total, next_cursor: page.next_cursor, errors })
}

fn row(host: String, stack: Stack) -> Row {
    let ambiguous = stack.files.len() > 1;
    Row {
        host,
        status: stack.status(),
        services: stack.services.into_iter().collect(),
        running: stack.running,
        containers: stack.containers,
        files: if ambiguous { vec![] } else { stack.files.into_iter().flatten().collect() },
        ambiguous,
        name: stack.name,
    }
}
