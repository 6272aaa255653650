//! `volume_list`

use crate::actors::host::HostHandle;
use crate::domain::pattern::Pattern;
use crate::domain::text::clean;
use crate::domain::toolset::Toolset;
use crate::engine::containers::Container;
use crate::engine::inventory::{Inventory, Section, Volume};
use crate::mcp::error::ToolError;
use crate::mcp::fleet::{Patience, gather};
use crate::mcp::list::{Dated, Keyed, List, Rest};
use crate::mcp::page;
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Without sizes the answer is worth much the same, so they are not waited for any longer.
const SIZES_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name, comma list, @tag or * (default).
    hosts: Option<String>,
    /// Name glob or label=key[=value].
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
    volumes: Vec<Dated<Row>>,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    host: String,
    name: String,
    driver: String,
    /// Bytes, where the engine tells in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// Names of containers, running or not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    used_by: Vec<String>,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "volume_list",
        title: "List volumes",
        description: "List volumes on hosts with driver, size and the containers that use them; rows with stale_since are the last known of hosts that do not answer.",
        toolset: Toolset::Storage,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let pattern = parameters.pattern.as_deref().map(str::parse::<Pattern>).transpose()?;
    let list =
        List::of(&context, parameters.hosts.as_deref(), parameters.limit, parameters.cursor.as_deref())?;
    let is_meant = |volume: &Volume| {
        pattern.as_ref().is_none_or(|pattern| pattern.admits(&volume.name, |key| volume.labels.get(key)))
    };
    let rows_of = |host: &str, inventory: Arc<Inventory>| {
        let users = users(&inventory.containers);
        let meant = inventory.volumes.iter().filter(|volume| is_meant(volume));
        let mut rows: Vec<_> = meant.map(|volume| row(host, volume, &users)).collect();
        rows.retain(|(_, row)| !parameters.unused || row.used_by.is_empty());
        rows
    };
    let (mut volumes, rest) = list.inventory_rows(&[Section::Volumes, Section::Containers], rows_of).await?;
    add_sizes(&context, &list.hosts, &mut volumes).await;
    Ok(Answer { volumes, rest })
}

/// The engine tells a size only after a walk through all the files of all its volumes, which may take
/// minutes. So only the hosts of this page are asked, after the page is cut, those alone that answered and have a volume
/// of the driver whose sizes are told, and with a short patience; rows stay without a size otherwise.
async fn add_sizes(context: &ToolContext, hosts: &[HostHandle], rows: &mut [Dated<Row>]) {
    let is_asked = |host: &HostHandle| {
        let is_its = |Dated { row, stale_since }: &Dated<Row>| {
            stale_since.is_none() && row.driver == "local" && row.host == host.spec().id.as_ref()
        };
        rows.iter().any(is_its)
    };
    let asked: Vec<HostHandle> = hosts.iter().filter(|host| is_asked(host)).cloned().collect();
    let told = gather(Patience::Within(SIZES_PATIENCE), context, &asked, async |operation| {
        Ok(operation.engine().volume_sizes().await?)
    });
    let Ok((told, _)) = told.await else { return };
    for (host, sizes) in told {
        for Dated { row, .. } in rows.iter_mut().filter(|dated| dated.row.host == host.spec().id.as_ref()) {
            row.size = sizes.get(&row.name).copied();
        }
    }
}

fn users(containers: &[Container]) -> BTreeMap<&str, Vec<String>> {
    let mut users: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for container in containers {
        for volume in &container.volumes {
            users.entry(volume).or_default().push(clean(&container.name));
        }
    }
    // A container may have mounted a volume twice.
    users.values_mut().for_each(Vec::dedup);
    users
}

fn row(host: &str, volume: &Volume, users: &BTreeMap<&str, Vec<String>>) -> Keyed<Row> {
    let row = Row {
        host: host.to_owned(),
        name: clean(&volume.name),
        driver: clean(&volume.driver),
        size: None,
        used_by: users.get(volume.name.as_str()).cloned().unwrap_or_default(),
    };
    (vec![row.host.clone(), volume.name.clone()], row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_mounted_twice_has_one_user() {
        let container = |name: &str, volumes: &[&str]| Container {
            name: name.into(),
            volumes: volumes.iter().map(|volume| (*volume).to_owned()).collect(),
            ..Container::default()
        };
        let containers = [container("a", &["data", "logs", "data"]), container("b", &["data"])];
        let users = users(&containers);
        assert_eq!(users["data"], ["a", "b"]);
        assert_eq!(users["logs"], ["a"]);
    }
}
