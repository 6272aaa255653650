//! `disk_usage`

use crate::actors::operation::Operation;
use crate::domain::text::cut;
use crate::domain::toolset::Toolset;
use crate::engine::usage::{DiskUsage, Item, Kind, Share};
use crate::mcp::error::{HostFailure, ToolError};
use crate::mcp::fleet::Patience;
use crate::mcp::list::{Keyed, List, Rest};
use crate::mcp::page;
use crate::mcp::shape::{is_zero, short_id, told};
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The engine walks through all the files of all volumes; half of what clients wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A piece of build cache is called by the command that made it.
const LONGEST_NAME: usize = 200;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name, comma list, @tag or * (default).
    hosts: Option<String>,
    /// Totals per host, or each item.
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
enum Detail {
    #[default]
    Concise,
    Full,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    /// The totals; not with detail=full.
    #[serde(skip_serializing_if = "Option::is_none")]
    hosts: Option<Vec<HostRow>>,
    /// With detail=full: the items of all hosts, largest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<ItemRow>>,
    /// How many rows there are on the hosts that answered.
    total: usize,
    /// Give it as cursor to read on.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// Hosts that did not answer, with cause and age.
    errors: Vec<HostFailure>,
}

#[derive(Serialize, JsonSchema)]
struct HostRow {
    host: String,
    images: Total,
    /// What containers have written beside their volumes.
    containers: Total,
    volumes: Total,
    build_cache: Total,
}

#[derive(Serialize, JsonSchema)]
struct Total {
    count: usize,
    /// Bytes.
    size: u64,
    /// Bytes of what is not in use.
    reclaimable: u64,
}

#[derive(Serialize, JsonSchema)]
struct ItemRow {
    host: String,
    /// image, container, volume or `build_cache`.
    kind: &'static str,
    /// The short identifier where there is no name.
    name: String,
    /// Bytes; of an image, layers shared with other images included.
    size: u64,
    /// Bytes that its removal frees; left out while it is in use.
    #[serde(skip_serializing_if = "is_zero")]
    reclaimable: u64,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "disk_usage",
        title: "Show disk use",
        description: "Disk use of images, containers, volumes and build cache per host, and what of it is reclaimable; detail=full lists items, largest first.",
        toolset: Toolset::Fleet,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let list =
        List::of(&context, parameters.hosts.as_deref(), parameters.limit, parameters.cursor.as_deref())?;
    let patience = Patience::Within(PATIENCE);
    let call = async |operation: Operation| Ok(operation.engine().disk_usage().await?);
    let (hosts, items, rest) = match parameters.detail {
        Detail::Concise => {
            let (hosts, rest) = list.rows(patience, call, |host, usage| vec![totals(host, &usage)]).await?;
            (Some(hosts), None, rest)
        }
        Detail::Full => {
            let rows_of =
                |host: &str, usage: DiskUsage| usage.items.iter().map(|item| row(host, item)).collect();
            let (items, rest) = list.rows(patience, call, rows_of).await?;
            (None, Some(items), rest)
        }
    };
    let Rest { total, next_cursor, errors } = rest;
    Ok(Answer { hosts, items, total, next_cursor, errors })
}

fn totals(host: &str, usage: &DiskUsage) -> Keyed<HostRow> {
    let total = |share: Share| Total { count: share.count, size: share.size, reclaimable: share.reclaimable };
    let row = HostRow {
        host: host.to_owned(),
        images: total(usage.images),
        containers: total(usage.containers),
        volumes: total(usage.volumes),
        build_cache: total(usage.build_cache),
    };
    (vec![row.host.clone()], row)
}

/// The row with its key, in whose order the largest comes first. Keys are compared as text, so the size in them
/// counts down from the largest there can be and has all its digits.
fn row(host: &str, item: &Item) -> Keyed<ItemRow> {
    let kind = word(item.kind);
    let name = if item.name.is_empty() { short_id(&item.id) } else { told(&item.name) };
    let name = cut(&name, LONGEST_NAME).0.to_owned();
    let key =
        vec![format!("{:020}", u64::MAX - item.size), host.to_owned(), kind.to_owned(), item.id.clone()];
    let (size, reclaimable) = (item.size, item.reclaimable);
    (key, ItemRow { host: host.to_owned(), kind, name, size, reclaimable })
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Image => "image",
        Kind::Container => "container",
        Kind::Volume => "volume",
        Kind::BuildCache => "build_cache",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: Kind, id: &str, name: &str, size: u64) -> Item {
        Item { kind, id: id.into(), name: name.into(), size, reclaimable: 0 }
    }

    #[test]
    fn items_come_largest_first_over_all_hosts() {
        let a = vec![item(Kind::Volume, "v", "v", 9), item(Kind::Image, "sha256:1", "", 100)];
        let b = vec![
            item(Kind::Volume, "w", "w", 10),
            item(Kind::Container, "c", "c", 100),
            item(Kind::Volume, "none", "none", 0),
        ];
        let rows = [("a", a), ("b", b)]
            .into_iter()
            .flat_map(|(host, items)| items.iter().map(|item| row(host, item)).collect::<Vec<_>>());
        let page = page::Window::parse(10, None).unwrap().cut(rows.collect());
        let told: Vec<(&str, &str, u64)> =
            page.rows.iter().map(|row| (&*row.host, &*row.name, row.size)).collect();
        assert_eq!(told, [("a", "1", 100), ("b", "c", 100), ("b", "w", 10), ("a", "v", 9), ("b", "none", 0)]);
    }

    #[test]
    fn a_piece_of_build_cache_does_not_tell_secrets() {
        let item = item(
            Kind::BuildCache,
            "x",
            &format!("RUN \u{1b}[1mmake API_TOKEN=hunter2 {}", "x".repeat(900)),
            1,
        );
        let name = row("h", &item).1.name;
        assert!(name.starts_with("RUN make API_TOKEN=***") && name.len() <= LONGEST_NAME, "{name}");
    }
}
