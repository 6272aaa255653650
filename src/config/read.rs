//! One file, from its bytes to typed sections.

use super::document::{Id, Node};
use super::error::{ConfigFault, Spot};
use super::fields::FromNode as _;
use super::findings::Findings;
use super::load::Warning;
use super::schema::File;
use super::{Environment, Sources, expand, places};
use crate::domain::host::HostId;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A configuration file larger than this is something else.
const LARGEST_FILE: u64 = 8 << 20;

/// A file that can be used.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) file: File,
    pub(super) warnings: Vec<Warning>,
}

/// Reads the file at `path`; `None` when there is none.
pub(super) fn read_file(path: &Path, environment: &Environment) -> Result<Option<Reading>, Vec<ConfigFault>> {
    match read_text(path) {
        Ok(Some(text)) => parse(path, &text, environment).map(Some),
        Ok(None) => Ok(None),
        Err(fault) => Err(vec![fault]),
    }
}

/// The files that define the host `id`, the weakest first.
pub(super) fn definitions(sources: &Sources, id: &HostId) -> Vec<PathBuf> {
    let mut environment = sources.environment.clone();
    if let Some(project) = &sources.project {
        // What is wrong with it is told when it is loaded.
        let _ = environment.read_dot_env(&project.join(".env"));
    }
    let defines = |path: &PathBuf| {
        let reading = read_file(path, &environment).ok().flatten();
        reading.is_some_and(|reading| reading.file.hosts.is_some_and(|hosts| hosts.0.contains_key(id)))
    };
    places::layers(sources, &environment).into_iter().map(|place| place.path).filter(defines).collect()
}

/// The text of the file at `path`; `None` when there is none.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, ConfigFault> {
    let unreadable = |why: String| ConfigFault::Unreadable { path: path.to_owned(), why };
    let bytes = match read_bytes(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
        unreadable(format!("line {line} is not UTF-8 text. Save the file as UTF-8."))
    })?;
    Ok(Some(text))
}

/// What a configuration file holds. Whatever stands in its place (a pipe, a device, a file without end)
/// neither blocks nor fills the memory.
pub(super) fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no file. Name the hosts.yml itself."));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        let words = format!("it has {} bytes; a hosts file has at most {LARGEST_FILE}", found.len());
        return Err(io::Error::other(words));
    }
    Ok(bytes)
}

/// Reads `text`, the content of the file at `path`. A fault of the syntax ends the reading; all others
/// are told at once.
pub(super) fn parse(path: &Path, text: &str, environment: &Environment) -> Result<Reading, Vec<ConfigFault>> {
    let mut root = Node::parse(text)
        .map_err(|error| vec![ConfigFault::Invalid(Box::new(Spot::of_syntax(path, text, &error)))])?;
    let mut findings = Findings::default();
    for id in root.merge() {
        findings.fault(id, "`<<` takes in the entries of a mapping; here is none");
    }
    root.change_texts(&mut |id: Id, text: &mut String| {
        let expanded = expand::variables(text, environment);
        for name in expanded.left {
            findings.warn(
                id,
                format!("${{{name}}} stays as it is: it is not set, or none of those that are replaced"),
            );
        }
        *text = expanded.text;
    });
    let file = File::from_node(&root, &mut findings);
    let (warnings, faults) = findings.placed(path, text);
    match file {
        Some(file) if faults.is_empty() => Ok(Reading { file, warnings }),
        _ => Err(faults),
    }
}
