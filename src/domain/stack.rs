//! Compose stacks: their names, the labels compose leaves on containers, and where a stack's file
//! may lie. Pure rules; `compose/` asks the host.

use super::host::InvalidName;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Compose's label for the project's name.
pub const LABEL_PROJECT: &str = "com.docker.compose.project";
/// Compose's label for the service's name.
pub const LABEL_SERVICE: &str = "com.docker.compose.service";
/// Compose's label for the files the project was made from, comma separated, in their order.
pub const LABEL_FILES: &str = "com.docker.compose.project.config_files";
/// Compose's label for the directory it was started in.
pub const LABEL_WORKING_DIR: &str = "com.docker.compose.project.working_dir";

/// File names compose looks for, in this project's order of preference.
pub const FILE_NAMES: [&str; 4] =
    ["docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml"];

/// Directories where people keep one folder per stack, looked into when nothing else is known.
/// `~` is the login user's home on the host.
pub const COMMON_DIRECTORIES: [&str; 9] = [
    "/opt/stacks",
    "/opt/compose",
    "/srv",
    "/opt",
    "~/compose",
    "~/docker",
    "~/stacks",
    "/mnt/user/appdata",
    "/mnt/docker",
];

/// A compose project's name: what compose itself accepts, so it can never leave its folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackName(String);

impl StackName {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StackName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let start = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let rest = |c: char| start(c) || c == '_' || c == '-';
        if text.len() <= 255 && text.starts_with(start) && text.chars().all(rest) {
            return Ok(Self(text.to_owned()));
        }
        let rule = "compose project names are lower-case letters, digits, '_' and '-', starting with a letter or digit";
        Err(InvalidName::new("stack name", text, rule))
    }
}

impl fmt::Display for StackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a stack's path is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathSource {
    /// `compose_path` of the host's configuration.
    Configured,
    /// The labels compose left on the stack's containers.
    Labels,
    /// One of [`COMMON_DIRECTORIES`].
    CommonDirectory,
}

impl PathSource {
    /// The stable word for output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Configured => "compose_path",
            Self::Labels => "container_labels",
            Self::CommonDirectory => "common_directory",
        }
    }
}

/// What one container says about its stack, after labels inherited from its image were dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StackLabels {
    /// The project.
    pub project: Option<String>,
    /// The service.
    pub service: Option<String>,
    /// The project's files in compose's order; empty when the label is missing or inherited.
    pub files: Vec<String>,
    /// The directory compose was started in.
    pub working_dir: Option<String>,
}

impl StackLabels {
    /// Reads a container's labels against those of its image: a value that the image carries too
    /// was inherited, and an image may claim any path, so it counts as absent.
    pub fn read(container: &BTreeMap<String, String>, image: &BTreeMap<String, String>) -> Self {
        let own = |key: &str| {
            let value = container.get(key)?;
            (image.get(key) != Some(value)).then(|| value.clone())
        };
        let files = own(LABEL_FILES).map(|list| split_files(&list)).unwrap_or_default();
        Self {
            project: own(LABEL_PROJECT),
            service: own(LABEL_SERVICE),
            files,
            working_dir: own(LABEL_WORKING_DIR),
        }
    }
}

fn split_files(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|file| !file.is_empty()).map(ToOwned::to_owned).collect()
}

/// Whether `path` may name a compose file: absolute, `.yml` or `.yaml`, and nothing that climbs.
pub fn is_compose_file_path(path: &str) -> bool {
    let yaml = std::path::Path::new(path)
        .extension()
        .is_some_and(|ext| ext.eq_ignore_ascii_case("yml") || ext.eq_ignore_ascii_case("yaml"));
    yaml && path.starts_with('/')
        && !path.split('/').any(|part| part == "..")
        && !path.chars().any(char::is_control)
}

/// The four paths a stack's file may have inside `directory`, in order.
pub fn files_in(directory: &str, stack: &StackName) -> Vec<String> {
    let directory = directory.trim_end_matches('/');
    FILE_NAMES.iter().map(|name| format!("{directory}/{stack}/{name}")).collect()
}

/// The directories to look into when neither configuration nor labels name the file: first the
/// parents of the other stacks' working directories, the most frequent first (by name where equal),
/// then [`COMMON_DIRECTORIES`].
pub fn search_directories<'a>(working_dirs: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for dir in working_dirs {
        if let Some((parent, _)) = dir.trim_end_matches('/').rsplit_once('/')
            && !parent.is_empty()
            && is_plain_directory(parent)
        {
            *counts.entry(parent).or_default() += 1;
        }
    }
    let mut seen: Vec<(&str, usize)> = counts.into_iter().collect();
    seen.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    let mut directories: Vec<String> = seen.into_iter().map(|(dir, _)| dir.to_owned()).collect();
    for common in COMMON_DIRECTORIES {
        if !directories.iter().any(|dir| dir == common) {
            directories.push(common.to_owned());
        }
    }
    directories
}

fn is_plain_directory(path: &str) -> bool {
    path.starts_with('/') && !path.split('/').any(|part| part == "..") && !path.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn s9_a_label_inherited_from_the_image_counts_as_absent() {
        let image = labels(&[(LABEL_PROJECT, "web"), (LABEL_FILES, "/etc/shadow")]);
        let container = labels(&[(LABEL_PROJECT, "web"), (LABEL_FILES, "/etc/shadow")]);
        assert_eq!(StackLabels::read(&container, &image), StackLabels::default());

        let own = labels(&[(LABEL_PROJECT, "blog"), (LABEL_FILES, "/srv/blog/a.yml, /srv/blog/b.yml")]);
        let read = StackLabels::read(&own, &image);
        assert_eq!(read.project.as_deref(), Some("blog"));
        assert_eq!(read.files, ["/srv/blog/a.yml", "/srv/blog/b.yml"]);
    }

    #[test]
    fn s9_only_yaml_files_with_an_absolute_plain_path_qualify() {
        for good in ["/srv/web/docker-compose.yml", "/x/My Stack/compose.YAML"] {
            assert!(is_compose_file_path(good), "{good}");
        }
        for bad in ["/etc/shadow", "compose.yml", "/a/../etc/x.yml", "/a/x.yml\n/etc/shadow", ""] {
            assert!(!is_compose_file_path(bad), "{bad}");
        }
    }

    #[test]
    fn s9_the_most_frequent_directory_is_looked_into_first() {
        let dirs = search_directories(["/data/a", "/srv/b", "/data/c/", "/", "/x/../y/z"]);
        assert_eq!(dirs[..3], ["/data", "/srv", "/opt/stacks"]);
        assert_eq!(dirs.iter().filter(|dir| *dir == "/srv").count(), 1);
    }

    proptest! {
        #[test]
        fn s9_no_stack_name_leaves_its_folder(name in ".{0,40}") {
            if let Ok(stack) = name.parse::<StackName>() {
                for path in files_in("/opt/stacks/", &stack) {
                    prop_assert_eq!(path.matches('/').count(), 4);
                    prop_assert!(!path.contains(".."));
                }
            }
        }
    }
}
