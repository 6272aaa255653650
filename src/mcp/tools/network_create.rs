//! `network_create`

use crate::domain::change::Change;
use crate::domain::thing::NetworkSpec;
use crate::domain::toolset::Toolset;
use crate::mcp::error::ToolError;
use crate::mcp::tool::{About, Effect, Gate, Tool};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Name.
    name: String,
    /// Driver (default bridge).
    driver: Option<String>,
    /// Such as 10.20.0.0/24.
    subnet: Option<String>,
    /// Without a way out of the host.
    #[serde(default)]
    internal: bool,
    /// Labels.
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "network_create",
        title: "Create a network",
        description: "Create a network; one of the name that is there is left as it is.",
        toolset: Toolset::Networks,
        effect: Effect { read_only: false, destructive: false, idempotent: true, open_world: false },
    };
    Tool::job(about, Gate::Open, read)
}

fn read(parameters: Parameters) -> Result<Change, ToolError> {
    let Parameters { name, driver, subnet, internal, labels } = parameters;
    let driver = driver.map(|driver| driver.parse()).transpose()?;
    let subnet = subnet.map(|subnet| subnet.parse()).transpose()?;
    Ok(Change::NetworkCreate(NetworkSpec { name: name.parse()?, driver, subnet, internal, labels }))
}
