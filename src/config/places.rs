//! Where configuration files lie.

use super::Environment;
use std::path::{Path, PathBuf};

/// The user's own files, the weaker first: the predecessor's place and ours.
pub(super) fn user_files(env: &Environment) -> Vec<PathBuf> {
    let Some(config) = config_home(env) else { return vec![] };
    vec![config.join("docker-mcp/hosts.yml"), config.join("dockmaster/hosts.yml")]
}

/// The file `dockmaster init` writes.
pub(super) fn own_user_file(env: &Environment) -> Option<PathBuf> {
    config_home(env).map(|config| config.join("dockmaster/hosts.yml"))
}

/// The project's file in `directory`.
pub(super) fn project_file(directory: &Path) -> PathBuf {
    directory.join("config/hosts.yml")
}

fn config_home(env: &Environment) -> Option<PathBuf> {
    env.get("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| env.get("HOME").map(|home| Path::new(home).join(".config")))
}
