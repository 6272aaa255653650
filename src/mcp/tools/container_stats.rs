//! `container_stats`

use crate::actors::operation::Operation;
use crate::domain::pattern::Pattern;
use crate::domain::toolset::Toolset;
use crate::engine::stats::Usage;
use crate::mcp::error::{HostFailure, ToolError};
use crate::mcp::fleet::Patience;
use crate::mcp::list::{Keyed, List, Rest};
use crate::mcp::page;
use crate::mcp::shape::is_zero;
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Two readings of every running container, a second apart.
const MEASURING: Duration = Duration::from_secs(5);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name, comma list, @tag or * (default).
    hosts: Option<String>,
    /// Name glob or label=key[=value].
    #[serde(rename = "match")]
    pattern: Option<String>,
    /// Most of it first.
    #[serde(default)]
    sort: Sort,
    /// Max rows.
    #[serde(default = "page::default_limit")]
    #[schemars(range(min = 1, max = 500))]
    limit: u16,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Sort {
    #[default]
    Cpu,
    Mem,
    Net,
    Io,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    stats: Vec<Row>,
    /// How many match and run on the hosts that answered.
    total: usize,
    /// Give it as cursor to read on; each page is measured anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// Hosts that did not answer, with cause and age.
    errors: Vec<HostFailure>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    host: String,
    name: String,
    /// 100 is one processor.
    cpu_pct: f64,
    /// Bytes, without cached files.
    mem: u64,
    /// The host's memory when it has no limit of its own.
    #[serde(skip_serializing_if = "is_zero")]
    mem_limit: u64,
    /// Bytes since it started, as the next three.
    net_rx: u64,
    net_tx: u64,
    io_r: u64,
    io_w: u64,
    pids: u64,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "container_stats",
        title: "Measure containers",
        description: "Measure running containers for a second: CPU, memory, network and block I/O, pids; largest first. Hosts that do not answer are named under errors.",
        toolset: Toolset::Containers,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let pattern = parameters.pattern.as_deref().map(str::parse::<Pattern>).transpose()?;
    let list =
        List::of(&context, parameters.hosts.as_deref(), parameters.limit, parameters.cursor.as_deref())?;
    let measure = |operation: Operation| {
        let pattern = pattern.clone();
        async move {
            let mut containers = operation.engine().containers().await?;
            containers.retain(|container| {
                let admits =
                    |pattern: &Pattern| pattern.admits(&container.name, |key| container.labels.get(key));
                container.state == "running" && pattern.as_ref().is_none_or(admits)
            });
            if containers.is_empty() {
                return Ok(vec![]);
            }
            let ids: Vec<String> = containers.iter().map(|container| container.id.clone()).collect();
            let usage = operation.engine().usage(&ids).await?;
            let both = containers.into_iter().zip(usage);
            Ok(both.filter_map(|(container, usage)| Some((container.name, usage?))).collect())
        }
    };
    let rows_of = |host: &str, measured: Vec<(String, Usage)>| {
        measured.into_iter().map(|(name, usage)| row(parameters.sort, host, name, &usage)).collect()
    };
    let (stats, rest) = list.rows(Patience::Longer(MEASURING), measure, rows_of).await?;
    let Rest { total, next_cursor, errors } = rest;
    Ok(Answer { stats, total, next_cursor, errors })
}

/// The row with its key, in whose order the largest comes first.
fn row(sort: Sort, host: &str, name: String, usage: &Usage) -> Keyed<Row> {
    let tenths = (usage.cpu_pct * 10.0).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share is small and positive"
    )]
    let size = match sort {
        Sort::Cpu => tenths as u64,
        Sort::Mem => usage.mem,
        Sort::Net => usage.net_rx.saturating_add(usage.net_tx),
        Sort::Io => usage.io_r.saturating_add(usage.io_w),
    };
    let key = vec![format!("{:020}", u64::MAX - size), host.to_owned(), name.clone()];
    let row = Row {
        host: host.to_owned(),
        name,
        cpu_pct: tenths / 10.0,
        mem: usage.mem,
        mem_limit: usage.mem_limit,
        net_rx: usage.net_rx,
        net_tx: usage.net_tx,
        io_r: usage.io_r,
        io_w: usage.io_w,
        pids: usage.pids,
    };
    (key, row)
}
