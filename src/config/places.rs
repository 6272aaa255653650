//! Where configuration files lie.

use super::{Environment, Sources};
use std::path::{Path, PathBuf};

/// A file that is read where it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Where it lies, or would.
    pub(super) path: PathBuf,
    /// The flag or variable that names it; it must then exist.
    pub(super) named_by: Option<&'static str>,
    /// Whether it comes with a project, and not from the person who runs Dockmaster.
    pub(super) of_project: bool,
}

/// The hosts files of `sources`, the weakest first; `environment` is theirs with `.env`.
pub(super) fn layers(sources: &Sources, environment: &Environment) -> Vec<Place> {
    let own = |path| Place { path, named_by: None, of_project: false };
    let mut layers: Vec<Place> = user_files(environment).into_iter().map(own).collect();
    let project = || {
        let path = project_file(sources.project.as_deref()?);
        Some(Place { path, named_by: None, of_project: true })
    };
    layers.extend(named_file(sources, environment).or_else(project));
    layers
}

/// The user's own files, the weaker first: the predecessor's place and ours.
fn user_files(env: &Environment) -> Vec<PathBuf> {
    let Some(config) = config_home(env) else { return vec![] };
    vec![config.join("docker-mcp/hosts.yml"), config.join("dockmaster/hosts.yml")]
}

/// Every file that is read for `sources` where it exists, the weakest first.
pub(super) fn candidates(sources: &Sources) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut environment = sources.environment.clone();
    if let Some(project) = &sources.project {
        let dot_env = project.join(".env");
        // It may name the file; what is wrong with it is told when it is loaded.
        let _ = environment.read_dot_env(&dot_env);
        files.push(dot_env);
    }
    files.extend(layers(sources, &environment).into_iter().map(|place| place.path));
    files
}

/// The file that stands in the project's place: `--config`, else `DOCKMASTER_CONFIG`, else
/// `DOCKER_HOSTS_CONFIG`.
fn named_file(sources: &Sources, environment: &Environment) -> Option<Place> {
    if let Some(path) = sources.config.clone() {
        return Some(Place { path, named_by: Some("--config"), of_project: false });
    }
    ["DOCKMASTER_CONFIG", "DOCKER_HOSTS_CONFIG"].into_iter().find_map(|name| {
        let path = environment.get(name)?.into();
        Some(Place { path, named_by: Some(name), of_project: environment.is_from_dot_env(name) })
    })
}

/// The file a new host is written to: the one that `--config` names, else the user's own, which is the
/// predecessor's while there is only that one.
pub(super) fn file_for_new_hosts(sources: &Sources) -> Option<PathBuf> {
    let own = || {
        let files = user_files(&sources.environment);
        files.iter().rev().find(|path| path.exists()).or(files.last()).cloned()
    };
    sources.config.clone().or_else(own)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_a_file_that_dot_env_names_is_among_those_that_are_read() {
        let project = tempfile::tempdir().unwrap();
        std::fs::write(project.path().join(".env"), "DOCKER_HOSTS_CONFIG=/srv/hosts.yml\n").unwrap();
        let environment = Environment::of([("HOME", "/nonexistent")]);
        let sources = Sources { project: Some(project.path().to_owned()), environment, ..Sources::default() };
        let files = candidates(&sources);
        assert_eq!(files.last(), Some(&PathBuf::from("/srv/hosts.yml")));
        assert!(!files.contains(&project_file(project.path())), "{files:?}");
    }
}
