//! Paths inside containers.

use super::error::{ErrorKind, ToolError};
use crate::actors::host::HostError;
use crate::actors::operation::Operation;
use crate::domain::container::ContainerName;
use crate::engine::EngineError;
use crate::engine::archive::Archived;
use std::ops::Range;

/// As many links as Linux follows of one path are a circle here too.
const MOST_LINKS: usize = 8;

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

/// What was found at the end of the links.
pub(super) struct Found {
    pub(super) path: String,
    pub(super) archived: Archived,
}

/// Reads what is at a path.
pub(super) async fn follow(
    operation: Operation,
    container: ContainerName,
    path: String,
    wanted: Range<u64>,
) -> Result<Found, HostError> {
    let (path, archived) = look(&operation, &container, path, wanted).await?;
    Ok(Found { path, archived: archived? })
}

/// As [`follow`], where there may be nothing: tells at which path that is.
pub(super) async fn look(
    operation: &Operation,
    container: &ContainerName,
    mut path: String,
    wanted: Range<u64>,
) -> Result<(String, Result<Archived, EngineError>), HostError> {
    let mut links = 0;
    loop {
        let archived = match operation.engine().archive(container, &path, wanted.clone()).await {
            Err(missing @ EngineError::NotFound(_)) => return Ok((path, Err(missing))),
            archived => archived?,
        };
        let target = archived.node.as_ref().and_then(|node| node.target.as_ref());
        match target.filter(|_| links < MOST_LINKS) {
            Some(target) => {
                // The last part of a path is the only one that the engine does not follow by itself.
                let (directory, _) = parts(&path);
                path = if target.starts_with('/') {
                    tidy(target)
                } else {
                    tidy(&format!("{directory}/{target}"))
                };
                links += 1;
            }
            None => return Ok((path, Ok(archived))),
        }
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
}
