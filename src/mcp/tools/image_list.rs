//! `image_list`

use crate::domain::image::is_like;
use crate::domain::text::clean;
use crate::domain::toolset::Toolset;
use crate::engine::containers::Container;
use crate::engine::inventory::{Image, Inventory, Section};
use crate::mcp::error::ToolError;
use crate::mcp::list::{Dated, Keyed, List, Rest};
use crate::mcp::page;
use crate::mcp::shape::{rfc3339, short_id};
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
    /// Reference glob.
    #[serde(rename = "match")]
    pattern: Option<String>,
    /// Only those of no container.
    #[serde(default)]
    unused: bool,
    /// Max rows.
    #[serde(default = "page::default_limit")]
    #[schemars(range(min = 1, max = 500))]
    limit: u16,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    images: Vec<Dated<Row>>,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    host: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    id: String,
    /// Bytes, layers shared with other images included.
    size: u64,
    /// RFC 3339.
    #[serde(skip_serializing_if = "String::is_empty")]
    created: String,
    /// Names of containers, running or not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    used_by: Vec<String>,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "image_list",
        title: "List images",
        description: "List images on hosts with tags, size, age and the containers that use them; rows with stale_since are the last known of hosts that do not answer.",
        toolset: Toolset::Images,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let glob = parameters.pattern.as_deref().map(page::glob).transpose()?;
    let list =
        List::of(&context, parameters.hosts.as_deref(), parameters.limit, parameters.cursor.as_deref())?;
    let rows_of = |host: &str, inventory: Arc<Inventory>| {
        let mut rows = rows_of(host, &inventory.images, &inventory.containers);
        rows.retain(|(_, row)| {
            let is_named = glob.as_ref().is_none_or(|glob| row.tags.iter().any(|tag| is_like(glob, tag)));
            is_named && (!parameters.unused || row.used_by.is_empty())
        });
        rows
    };
    let (images, rest) = list.inventory_rows(&[Section::Images, Section::Containers], rows_of).await?;
    Ok(Answer { images, rest })
}

/// The rows of a host with their keys: by name, those without one at the end.
fn rows_of(host: &str, images: &[Image], containers: &[Container]) -> Vec<Keyed<Row>> {
    let mut users: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for container in containers {
        users.entry(bare(&container.image_id)).or_default().push(clean(&container.name));
    }
    images
        .iter()
        .map(|image| {
            let mut tags: Vec<String> = image.tags.iter().map(|tag| clean(tag)).collect();
            tags.sort();
            let place = if tags.is_empty() { "unnamed" } else { "named" };
            let first = tags.first().cloned().unwrap_or_default();
            let row = Row {
                host: host.to_owned(),
                tags,
                id: short_id(&image.id),
                size: image.size,
                created: Timestamp::from_second(image.created).map(rfc3339).unwrap_or_default(),
                used_by: users.get(bare(&image.id)).cloned().unwrap_or_default(),
            };
            (vec![host.to_owned(), place.to_owned(), first, image.id.clone()], row)
        })
        .collect()
}

fn bare(id: &str) -> &str {
    id.trim_start_matches("sha256:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_come_by_name_and_those_without_one_last() {
        let image = |id: &str, tags: &[&str]| Image {
            id: format!("sha256:{id}"),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            size: 1,
            created: 0,
            labels: BTreeMap::new(),
        };
        let container = |name: &str, image: &str| Container {
            name: name.into(),
            image_id: image.into(),
            ..Container::default()
        };
        let images = vec![image("1", &[]), image("2", &["web:2", "app:2"]), image("3", &["db:1"])];
        let rows = rows_of(
            "h",
            &images,
            &[container("b", "sha256:2"), container("c", "2"), container("d", "sha256:1")],
        );
        let rows = page::Window::parse(10, None).unwrap().cut(rows).rows;
        let told: Vec<(&str, usize)> = rows.iter().map(|row| (&*row.id, row.used_by.len())).collect();
        assert_eq!(told, [("2", 2), ("3", 0), ("1", 1)]);
        assert_eq!(rows[0].tags, ["app:2", "web:2"]);
    }
}
