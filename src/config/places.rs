//! Where configuration files lie.

use super::{Environment, Sources};
use std::path::{Path, PathBuf};

/// The user's own files, the weaker first: the predecessor's place and ours.
pub(super) fn user_files(env: &Environment) -> Vec<PathBuf> {
    let Some(config) = config_home(env) else { return vec![] };
    vec![config.join("docker-mcp/hosts.yml"), config.join("dockmaster/hosts.yml")]
}

/// Every file that may be read for `sources`, whether it exists or not.
pub(super) fn candidates(sources: &Sources) -> Vec<PathBuf> {
    let mut files = user_files(&sources.environment);
    files.extend(named_file(sources, &sources.environment).map(|(path, _)| path));
    if let Some(project) = &sources.project {
        files.extend([project_file(project), project.join(".env")]);
    }
    files
}

/// The file that stands in the project's place: `--config`, else `DOCKER_HOSTS_CONFIG`; with what
/// named it.
pub(super) fn named_file(sources: &Sources, environment: &Environment) -> Option<(PathBuf, &'static str)> {
    let flag = sources.config.clone().map(|path| (path, "--config"));
    let variable = || environment.get("DOCKER_HOSTS_CONFIG").map(|path| (path.into(), "DOCKER_HOSTS_CONFIG"));
    flag.or_else(variable)
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
