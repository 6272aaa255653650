//! Where configuration files lie.

use super::{Environment, Sources};
use std::path::{Path, PathBuf};

/// The user's own files, the weaker first: the predecessor's place and ours.
pub(super) fn user_files(env: &Environment) -> Vec<PathBuf> {
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
    files.extend(user_files(&environment));
    let named = named_file(sources, &environment).map(|(path, _)| path);
    files.extend(named.or_else(|| sources.project.as_deref().map(project_file)));
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
