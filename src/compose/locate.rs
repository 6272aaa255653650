//! Where a stack's files lie: the configured directory, else the containers' labels, else the
//! usual directories. Several answers of equal standing are reported, never chosen from.

use super::Stack;
use crate::domain::fault::Fault;
use crate::domain::host::HostSpec;
use crate::domain::stack::{PathSource, StackName, files_in, is_compose_file_path, search_directories};
use crate::transport::Link;
use crate::transport::files::{FoundFile, find_files};
use std::collections::BTreeMap;

/// A compose file is a page or two; anything larger is something else.
pub const LARGEST_FILE: u64 = 1 << 20;

/// The files of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackFiles {
    /// The files with links resolved, in compose's order.
    pub paths: Vec<String>,
    /// The directory compose works in.
    pub directory: String,
    /// What the place is known from.
    pub source: PathSource,
    /// What else its reader should know, such as that the running containers came from elsewhere.
    pub note: Option<String>,
}

/// Why a stack's files cannot be named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    /// The host did not answer.
    #[error(transparent)]
    Link(#[from] Fault),
    /// More than one place qualifies.
    #[error("the file of stack {stack} is ambiguous: {}. Set compose_path for this host to say which directory counts.", candidates.join(" or "))]
    Ambiguous {
        /// The stack.
        stack: StackName,
        /// The places, each as a list of files.
        candidates: Vec<String>,
    },
    /// A label or the configuration names something that is no compose file.
    #[error("{path} is not read as a compose file: {why}")]
    Unusable {
        /// The path.
        path: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// Nothing was found.
    #[error(
        "no compose file of stack {stack} was found. Looked at {looked}. Set compose_path for this host to the directory that holds one folder per stack."
    )]
    NotFound {
        /// The stack.
        stack: StackName,
        /// Where it was looked for.
        looked: String,
    },
}

/// Finds the files of the stack `name` on the host `spec`, whose stacks in containers are `stacks`.
pub async fn locate(
    link: &dyn Link,
    spec: &HostSpec,
    stacks: &[Stack],
    name: &StackName,
) -> Result<StackFiles, LocateError> {
    let stack = stacks.iter().find(|stack| stack.name == name.as_str());
    let mut looked = Vec::new();

    if let Some(directory) = &spec.compose_path {
        let candidates = files_in(directory, name);
        let found = find_files(link, &candidates).await?;
        if let Some(file) = found.into_iter().flatten().next() {
            let note = stack.and_then(|stack| elsewhere(stack, &file.resolved));
            return Ok(StackFiles { note, ..one_file(&file, PathSource::Configured)? });
        }
        looked.push(format!("compose_path {directory}/{name}"));
    }

    if let Some(stack) = stack {
        match stack.files.iter().collect::<Vec<_>>().as_slice() {
            [] => looked.push("the containers' labels, which name no file".to_owned()),
            [files] => match from_labels(link, stack, files).await? {
                Some(found) => return Ok(found),
                None => looked.push(format!("{}, which the labels name", files.join(", "))),
            },
            several => {
                let candidates = several.iter().map(|files| files.join(", ")).collect();
                return Err(LocateError::Ambiguous { stack: name.clone(), candidates });
            }
        }
    }

    let working_dirs = stacks.iter().flat_map(|stack| stack.working_dirs.iter().map(String::as_str));
    let directories = search_directories(working_dirs);
    let found = in_common_directories(link, &directories, name).await?;
    match found.as_slice() {
        [] => {
            looked.push(directories.iter().map(|dir| format!("{dir}/{name}")).collect::<Vec<_>>().join(", "));
            Err(LocateError::NotFound { stack: name.clone(), looked: looked.join("; ") })
        }
        [file] => one_file(file, PathSource::CommonDirectory),
        several => Err(LocateError::Ambiguous {
            stack: name.clone(),
            candidates: several.iter().map(|file| file.resolved.clone()).collect(),
        }),
    }
}

/// The files that a stack's labels name; `None` when they are not on the host (compose may have
/// run in a container of its own, as Portainer's does).
async fn from_labels(
    link: &dyn Link,
    stack: &Stack,
    files: &[String],
) -> Result<Option<StackFiles>, LocateError> {
    for path in files {
        check_path(path)?;
    }
    let found = find_files(link, files).await?;
    let Some(found) = found.into_iter().collect::<Option<Vec<FoundFile>>>() else { return Ok(None) };
    for file in &found {
        check_file(file)?;
    }
    let paths: Vec<String> = found.into_iter().map(|file| file.resolved).collect();
    let started_in = stack.working_dirs.first().filter(|_| stack.working_dirs.len() == 1).cloned();
    let directory = started_in.unwrap_or_else(|| parent(paths.first().map_or("", String::as_str)));
    Ok(Some(StackFiles { paths, directory, source: PathSource::Labels, note: None }))
}

/// The stack's file in each directory that has one: the first of the four names, each real file once.
async fn in_common_directories(
    link: &dyn Link,
    directories: &[String],
    name: &StackName,
) -> Result<Vec<FoundFile>, LocateError> {
    let candidates: Vec<Vec<String>> = directories.iter().map(|dir| files_in(dir, name)).collect();
    let found = find_files(link, &candidates.concat()).await?;
    let mut first_of_each: BTreeMap<String, FoundFile> = BTreeMap::new();
    for in_directory in found.chunks(candidates.first().map_or(1, Vec::len)) {
        if let Some(file) = in_directory.iter().flatten().next() {
            first_of_each.insert(file.resolved.clone(), file.clone());
        }
    }
    Ok(first_of_each.into_values().collect())
}

fn one_file(file: &FoundFile, source: PathSource) -> Result<StackFiles, LocateError> {
    check_file(file)?;
    let directory = parent(&file.resolved);
    Ok(StackFiles { paths: vec![file.resolved.clone()], directory, source, note: None })
}

fn check_file(file: &FoundFile) -> Result<(), LocateError> {
    check_path(&file.resolved)?;
    if file.size > LARGEST_FILE {
        return Err(LocateError::Unusable { path: file.resolved.clone(), why: "it is larger than 1 MiB" });
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), LocateError> {
    if is_compose_file_path(path) {
        return Ok(());
    }
    let why = "it must be an absolute path to a .yml or .yaml file, also after links are resolved";
    Err(LocateError::Unusable { path: path.chars().take(200).collect(), why })
}

/// A word of warning when the stack's containers were made from other files than `chosen`.
fn elsewhere(stack: &Stack, chosen: &str) -> Option<String> {
    let other: Vec<String> = stack
        .files
        .iter()
        .filter(|files| files.as_slice() != [chosen.to_owned()])
        .map(|files| files.join(", "))
        .collect();
    (!other.is_empty()).then(|| format!("the running containers were made from {}", other.join(" and ")))
}

fn parent(path: &str) -> String {
    path.rsplit_once('/')
        .map_or("/", |(directory, _)| if directory.is_empty() { "/" } else { directory })
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::host::Endpoint;
    use crate::transport::{ByteStream, Carrier, Command, Route, Sink, Source};
    use futures_util::future::BoxFuture;
    use std::collections::BTreeSet;

    /// A host that has exactly the given files (asked path, resolved path, size).
    struct Files {
        files: Vec<(&'static str, &'static str, u64)>,
        route: Route,
    }

    impl Link for Files {
        fn open_engine(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
            unreachable!("finding files needs no engine")
        }
        fn stream<'a>(
            &'a self,
            command: &'a Command,
            sink: Sink<'a>,
        ) -> BoxFuture<'a, Result<Option<i32>, Fault>> {
            let pair = |path: &String| {
                let found = self.files.iter().find(|(asked, ..)| asked == path);
                found.map_or("\n\n".to_owned(), |(_, resolved, size)| format!("{size}\n{resolved}\n"))
            };
            // After the shell, its option, the script and the script's name come the paths.
            let stdout = command.argv.iter().skip(4).map(pair).collect::<String>();
            sink(Source::Stdout, stdout.as_bytes());
            Box::pin(async { Ok(Some(0)) })
        }
        fn suspect(&self) {}
        fn route(&self) -> &Route {
            &self.route
        }
    }

    struct Case {
        compose_path: Option<&'static str>,
        files: Vec<(&'static str, &'static str, u64)>,
        labels: Vec<Vec<&'static str>>,
    }

    async fn run(case: Case) -> Result<(Vec<String>, PathSource), String> {
        let spec = HostSpec {
            compose_path: case.compose_path.map(ToOwned::to_owned),
            ..HostSpec::new("nas".parse().unwrap(), Endpoint::Unix("/x".into()))
        };
        let own = |list: &Vec<&str>| list.iter().map(|file| (*file).to_owned()).collect::<Vec<_>>();
        let stack = Stack {
            name: "web".into(),
            services: BTreeSet::new(),
            containers: 1,
            running: 1,
            files: case.labels.iter().map(own).collect(),
            working_dirs: BTreeSet::new(),
        };
        let stacks = if case.labels.is_empty() { vec![] } else { vec![stack] };
        let route = Route { socket: String::new(), carrier: Carrier::Local, steps: vec![], host_key: None };
        let link = Files { files: case.files, route };
        let found = locate(&link, &spec, &stacks, &"web".parse().unwrap()).await;
        found.map(|files| (files.paths, files.source)).map_err(|error| error.to_string())
    }

    const A: (&str, &str, u64) = ("/opt/stacks/web/compose.yaml", "/opt/stacks/web/compose.yaml", 10);
    const B: (&str, &str, u64) = ("/srv/web/docker-compose.yml", "/srv/web/docker-compose.yml", 10);

    #[tokio::test]
    async fn s9_the_configured_directory_beats_labels_and_the_first_name_beats_the_others() {
        let first = ("/data/web/docker-compose.yaml", "/data/web/docker-compose.yaml", 10);
        let second = ("/data/web/compose.yml", "/data/web/compose.yml", 10);
        let files = vec![second, first, B];
        let found = run(Case { compose_path: Some("/data/"), files, labels: vec![vec![B.0]] }).await;
        assert_eq!(found, Ok((vec![first.1.to_owned()], PathSource::Configured)));
    }

    #[tokio::test]
    async fn s9_labels_keep_the_order_of_several_files() {
        let over = ("/srv/web/over.yml", "/srv/web/over.yml", 1);
        let found =
            run(Case { compose_path: None, files: vec![A, over, B], labels: vec![vec![over.0, B.0]] }).await;
        assert_eq!(found, Ok((vec![over.1.to_owned(), B.1.to_owned()], PathSource::Labels)));
    }

    #[tokio::test]
    async fn s9_labels_whose_file_is_not_on_the_host_lead_to_the_common_directories() {
        let found =
            run(Case { compose_path: None, files: vec![A], labels: vec![vec!["/data/compose/3/x.yml"]] })
                .await;
        assert_eq!(found, Ok((vec![A.1.to_owned()], PathSource::CommonDirectory)));
    }

    #[tokio::test]
    async fn s9_two_places_are_reported_and_none_is_chosen() {
        let found = run(Case { compose_path: None, files: vec![A, B], labels: vec![] }).await;
        assert!(found.as_ref().is_err_and(|error| error.contains(A.1) && error.contains(B.1)), "{found:?}");
        let found = run(Case { compose_path: None, files: vec![], labels: vec![vec![A.0], vec![B.0]] }).await;
        assert!(found.is_err_and(|error| error.contains("ambiguous")));
        // The same file by two ways is one place.
        let linked = ("/srv/web/compose.yml", A.1, 10);
        let found = run(Case { compose_path: None, files: vec![A, linked], labels: vec![] }).await;
        assert_eq!(found, Ok((vec![A.1.to_owned()], PathSource::CommonDirectory)));
    }

    #[tokio::test]
    async fn s9_what_is_no_compose_file_is_never_named() {
        for (asked, resolved, size) in [
            ("/etc/shadow", "/etc/shadow", 10),
            ("/srv/web/x.yml", "/etc/shadow", 10),
            ("/srv/web/x.yml", "/srv/web/x.yml", LARGEST_FILE + 1),
        ] {
            let files = vec![(asked, resolved, size)];
            let found = run(Case { compose_path: None, files, labels: vec![vec![asked]] }).await;
            assert!(
                found.as_ref().is_err_and(|error| error.contains("not read as a compose file")),
                "{found:?}"
            );
        }
    }

    #[tokio::test]
    async fn s9_nothing_found_says_where_it_was_looked_for() {
        let found = run(Case { compose_path: Some("/data"), files: vec![], labels: vec![] }).await;
        assert!(found.is_err_and(|error| error.contains("/data/web") && error.contains("/opt/stacks/web")));
    }
}
