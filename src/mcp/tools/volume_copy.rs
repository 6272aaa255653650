//! `volume_copy`

use crate::domain::change::Change;
use crate::domain::host::HostId;
use crate::domain::thing::VolumeName;
use crate::domain::toolset::Toolset;
use crate::mcp::error::{ErrorKind, ToolError};
use crate::mcp::job::Terms;
use crate::mcp::tool::{About, Effect, Gate, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Volume of the host.
    volume: String,
    /// Host that is to have it.
    to_host: String,
    /// Its name there (default: the same).
    to_volume: Option<String>,
    /// In place of what a volume of that name has in it.
    #[serde(default)]
    overwrite: bool,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "volume_copy",
        title: "Copy a volume",
        description: "Copy what is in a volume to a volume on the same or another host, compared by checksum. Stop what writes to it first.",
        toolset: Toolset::Storage,
        effect: Effect { read_only: false, destructive: true, idempotent: false, open_world: false },
    };
    Tool::job_from(about, Gate::Asks, read)
}

fn read(parameters: Parameters, terms: Terms) -> Result<(Change, Terms), ToolError> {
    let Parameters { volume, to_host, to_volume, overwrite } = parameters;
    let (source, from): (VolumeName, HostId) = (volume.parse()?, terms.host().parse()?);
    let volume = to_volume.as_deref().map_or_else(|| Ok(source.clone()), str::parse)?;
    if to_host == terms.host() && volume == source {
        let words = "to_volume: a volume is not copied to itself";
        return Err(ToolError::new(ErrorKind::InvalidArguments, words));
    }
    Ok((Change::VolumeCopy { source, from, volume, overwrite }, terms.on(to_host)))
}
