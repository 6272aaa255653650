//! `volume_create`

use crate::domain::change::Change;
use crate::domain::thing::VolumeSpec;
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
    /// Who keeps it (default local).
    driver: Option<String>,
    /// For the driver.
    #[serde(default)]
    options: BTreeMap<String, String>,
    /// Labels.
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "volume_create",
        title: "Create a volume",
        description: "Create a volume; one of the name that is there is left as it is. With options a person is asked: it may be a path of the host.",
        toolset: Toolset::Storage,
        effect: Effect { read_only: false, destructive: false, idempotent: true, open_world: false },
    };
    Tool::job(about, Gate::Asks, read)
}

fn read(Parameters { name, driver, options, labels }: Parameters) -> Result<Change, ToolError> {
    let driver = driver.map(|driver| driver.parse()).transpose()?;
    Ok(Change::VolumeCreate(VolumeSpec { name: name.parse()?, driver, options, labels }))
}
