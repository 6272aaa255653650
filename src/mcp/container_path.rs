//! Paths inside containers.

use super::error::{ErrorKind, ToolError};
use crate::actors::host::HostError;
use crate::actors::operation::Operation;
use crate::domain::container::ContainerName;
use crate::engine::EngineError;
use crate::engine::archive::Archived;
use std::ops::Range;

/// The kernel shows these in a container and keeps nothing there; the engine sees what lies beneath.
const OF_THE_KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];

/// As many links as Linux follows of one path; more are a circle here too.
const MOST_LINKS: usize = 40;

/// An absolute path, tidied.
pub(super) fn absolute(path: &str) -> Result<String, ToolError> {
    if path.starts_with('/') && path.len() <= 4096 && !path.chars().any(char::is_control) {
        return Ok(tidy(path));
    }
    let message = format!("path: {path:?} is no absolute path");
    Err(ToolError::new(ErrorKind::InvalidArguments, message).with_hint("write one such as /etc/os-release"))
}

/// The path without `.`, `..` and doubled slashes; it cannot lead out of the container, whose engine resolves it.
fn tidy(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The directory of a path, and its name there.
pub(super) fn parts(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some(parts) => parts,
        None => ("/", path),
    }
}

pub(super) fn refuse_kernel(path: &str) -> Result<(), ToolError> {
    match OF_THE_KERNEL.into_iter().find(|place| lies_in(path, place)) {
        Some(place) => {
            let message = format!("path: {place} is the kernel's, and no file is kept there");
            Err(ToolError::new(ErrorKind::InvalidArguments, message))
        }
        None => Ok(()),
    }
}

/// The engine reads and writes beneath what lies in the container's memory.
pub(super) fn refuse_memory(path: &str, memory: &[String]) -> Result<(), ToolError> {
    match memory.iter().find(|place| lies_in(path, place)) {
        Some(place) => {
            let message =
                format!("path: {place} is in the container's memory (tmpfs), which the engine cannot reach");
            Err(ToolError::new(ErrorKind::Conflict, message)
                .with_hint("container_exec can look and write there."))
        }
        None => Ok(()),
    }
}

/// Refuses a path that leads to where no file can be kept, or through it: what the engine sees there is not what the
/// container does. Memory that is said to lie at a link lies where that leads.
pub(super) async fn refuse_unkept(
    operation: &Operation,
    container: &ContainerName,
    Resolved { path, passed }: &Resolved,
    memory: Vec<String>,
) -> Result<Result<(), ToolError>, HostError> {
    let mut places = memory;
    for at in 0..places.len() {
        let place = resolve(operation, container, &places[at]).await?.path;
        places.push(place);
    }
    let mut all = passed.iter().chain([path]);
    Ok(all.try_for_each(|path| refuse_kernel(path).and_then(|()| refuse_memory(path, &places))))
}

fn lies_in(path: &str, place: &str) -> bool {
    path.strip_prefix(place.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What was found at the end of the links.
pub(super) struct Found {
    pub(super) path: String,
    pub(super) archived: Archived,
}

/// Reads what is at a path; refuses one that leads to where the engine sees something else than the container does.
pub(super) async fn follow(
    operation: Operation,
    container: ContainerName,
    path: String,
    wanted: Range<u64>,
) -> Result<Result<Found, ToolError>, HostError> {
    let resolved = resolve(&operation, &container, &path).await?;
    let memory = operation.engine().container(&container).await?.tmpfs;
    if let Err(error) = refuse_unkept(&operation, &container, &resolved, memory).await? {
        return Ok(Err(error));
    }
    let path = resolved.path;
    let archived = operation.engine().archive(&container, &path, wanted).await?;
    Ok(Ok(Found { path, archived }))
}

/// Where the links of a path lead.
pub(super) struct Resolved {
    pub(super) path: String,
    /// All that was looked at on the way.
    pub(super) passed: Vec<String>,
}

/// Follows the links of a path part by part. From where there is nothing on it stays as it is.
pub(super) async fn resolve(
    operation: &Operation,
    container: &ContainerName,
    path: &str,
) -> Result<Resolved, HostError> {
    let (engine, mut walk, mut passed) = (operation.engine(), Walk::of(path), vec![]);
    while let Some(place) = walk.next() {
        let target = match engine.target(container, &place).await {
            Err(EngineError::NotFound(_)) => break,
            // The answer to this question has no words in it, the one to a reading has.
            Err(refused @ EngineError::Refused { .. }) => {
                engine.node(container, &place).await?;
                return Err(refused.into());
            }
            target => target?,
        };
        if !walk.goes_on(target.as_deref()) {
            return Err(EngineError::Unfit(format!("{path}: too many links")).into());
        }
        passed.push(place);
    }
    Ok(Resolved { path: walk.end(), passed })
}

/// The way along a path: the parts that were looked at, and those that are left, the next one last.
struct Walk {
    done: Vec<String>,
    left: Vec<String>,
    links: usize,
}

impl Walk {
    fn of(path: &str) -> Self {
        let mut walk = Self { done: vec![], left: vec![], links: 0 };
        walk.lead(path);
        walk
    }

    fn lead(&mut self, path: &str) {
        self.left.extend(path.split('/').rev().map(ToOwned::to_owned));
    }

    /// The next place to look at; nothing on the way there is a link.
    fn next(&mut self) -> Option<String> {
        while let Some(part) = self.left.pop() {
            match &*part {
                "" | "." => {}
                ".." => drop(self.done.pop()),
                _ => {
                    self.done.push(part);
                    return Some(format!("/{}", self.done.join("/")));
                }
            }
        }
        None
    }

    /// Takes in what the last place is: a link that leads there, or none. Tells whether to go on.
    fn goes_on(&mut self, target: Option<&str>) -> bool {
        let Some(target) = target else { return true };
        self.links += 1;
        self.done.pop();
        if target.starts_with('/') {
            self.done.clear();
        }
        self.lead(target);
        self.links <= MOST_LINKS
    }

    /// Where it has come, with what is left.
    fn end(self) -> String {
        let parts = self.done.into_iter().chain(self.left.into_iter().rev());
        tidy(&parts.collect::<Vec<_>>().join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute_and_tidy() {
        for (given, tidied) in [("/", "/"), ("/a//b/./c/../d/", "/a/b/d"), ("/../../etc", "/etc")] {
            assert_eq!(absolute(given).unwrap(), tidied);
        }
        for bad in ["", "etc/passwd", "~/x", "/a\nb"] {
            assert!(absolute(bad).is_err(), "{bad}");
        }
        assert_eq!((parts("/a/b"), parts("/a")), (("/a", "b"), ("/", "a")));
    }

    /// Where a path leads in a container with these links.
    fn led(path: &str, links: &[(&str, &str)], missing: &[&str]) -> Option<String> {
        let mut walk = Walk::of(path);
        while let Some(place) = walk.next() {
            assert!(!links.iter().any(|(link, _)| place.starts_with(&format!("{link}/"))), "{place}");
            if missing.contains(&&*place) {
                break;
            }
            let target = links.iter().find(|(link, _)| *link == place).map(|(_, target)| *target);
            if !walk.goes_on(target) {
                return None;
            }
        }
        Some(walk.end())
    }

    #[test]
    fn a_link_leads_from_where_it_lies() {
        let links = [
            ("/var/run", "/run"),
            ("/run/up", "../etc/x"),
            ("/srv/now", "v2"),
            ("/srv/v2/conf", "./../../var/run//deep/"),
            ("/out", "../../../etc/../tmp"),
            ("/top", "/"),
        ];
        for (path, end) in [
            ("/var/run/x", "/run/x"),
            ("/var/run/up", "/etc/x"),
            ("/var/run", "/run"),
            ("/srv/now/conf/file", "/run/deep/file"),
            ("/out/a", "/tmp/a"),
            ("/top/var/run/up", "/etc/x"),
            ("/", "/"),
            ("/plain/a", "/plain/a"),
        ] {
            assert_eq!(led(path, &links, &[]).as_deref(), Some(end), "{path}");
        }
    }

    #[test]
    fn what_is_not_there_stays_as_it_is_and_circles_end() {
        let links =
            [("/var/run", "/run"), ("/dangling", "/run/none/a"), ("/loop", "loop2"), ("/loop2", "/loop/x")];
        let missing = ["/run/new", "/run/none"];
        assert_eq!(led("/var/run/new", &links, &missing).unwrap(), "/run/new");
        assert_eq!(led("/var/run/new/a/../b", &links, &missing).unwrap(), "/run/new/b");
        assert_eq!(led("/dangling", &links, &missing).unwrap(), "/run/none/a");
        assert_eq!(led("/loop", &links, &missing), None);
        let names: Vec<String> = (0..=MOST_LINKS + 1).map(|number| format!("/{number}")).collect();
        let chain: Vec<_> =
            names.iter().zip(&names[1..]).map(|(from, to)| (from.as_str(), to.as_str())).collect();
        assert_eq!(led("/1", &chain, &[]), Some(names[MOST_LINKS + 1].clone()));
        assert_eq!(led("/0", &chain, &[]), None);
    }
}
