//! The house keeps its floors: a module imports lower floors only, and a dependency is named only in
//! its room. Read from the sources, so that a slip fails with file and line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test speaks by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// Every module of the crate with its floor. Siblings do not see each other, with the listed exceptions.
const FLOORS: [(&str, u8); 15] = [
    ("domain", 0),
    ("runtime", 1),
    ("transport", 2),
    ("engine", 3),
    ("compose", 3),
    ("changes", 3),
    ("journal", 3),
    ("config", 3),
    ("contexts", 3),
    ("actors", 4),
    ("mcp", 5),
    ("http", 5),
    ("control", 5),
    ("app", 6),
    ("cli", 6),
];

/// Modules that may use a sibling: who, whom.
const SIBLINGS: [(&str, &str); 5] =
    [("control", "mcp"), ("compose", "engine"), ("changes", "engine"), ("http", "mcp"), ("cli", "app")];

/// Dependencies and the rooms they may be named in (a path below `src/`, without its ending).
const ROOMS: [(&str, &[&str]); 14] = [
    ("ractor", &["actors", "app"]),
    ("backoff", &["runtime/backoff"]),
    ("serde_yaml", &["config"]),
    ("yaml_edit", &["config"]),
    ("notify", &["config"]),
    ("rmcp", &["mcp"]),
    ("bollard", &["engine"]),
    ("tar", &["engine/archive", "engine/fingerprint", "transport/fake"]),
    ("sqlx", &["journal"]),
    ("openssh", &["transport/ssh"]),
    ("rustls", &["transport/tcp"]),
    ("tokio_rustls", &["transport/tcp"]),
    ("axum", &["http"]),
    ("clap", &["cli", "main"]),
];

/// Words that start a process; they stand in one file.
const SPAWNING: [&str; 2] = ["process::Command::new", "std::process::Command"];

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// File (below `src/`, without ending), line number and text of every line of code.
fn lines() -> Vec<(String, usize, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut lines = Vec::new();
    for path in sources(&root) {
        let name = path.strip_prefix(&root).unwrap().with_extension("").to_str().unwrap().to_owned();
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !code.trim().is_empty() {
                lines.push((name.clone(), number + 1, code.to_owned()));
            }
        }
    }
    lines
}

fn floor_of(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// The top modules that a line names as `crate::module`.
fn imported(code: &str) -> Vec<&str> {
    code.match_indices("crate::")
        .map(|(at, word)| {
            let rest = &code[at + word.len()..];
            &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())]
        })
        .collect()
}

#[test]
fn every_module_has_a_floor() {
    let unknown: Vec<String> = lines()
        .into_iter()
        .map(|(file, ..)| file.split('/').next().unwrap().to_owned())
        .filter(|module| !["lib", "main"].contains(&module.as_str()) && floor_of(module).is_none())
        .collect();
    assert!(unknown.is_empty(), "modules without a floor: {unknown:?}");
}

#[test]
fn modules_import_lower_floors_only() {
    let mut slips = Vec::new();
    for (file, number, code) in lines() {
        let module = file.split('/').next().unwrap();
        let Some(floor) = floor_of(module) else { continue };
        for other in imported(&code) {
            let Some(below) = floor_of(other) else { continue };
            let allowed = other == module || below < floor || SIBLINGS.contains(&(module, other));
            if !allowed {
                slips.push(format!(
                    "src/{file}.rs:{number}: {module} (floor {floor}) uses {other} (floor {below})"
                ));
            }
        }
    }
    assert!(slips.is_empty(), "{}", slips.join("\n"));
}

#[test]
fn dependencies_are_named_in_their_rooms_only() {
    let mut slips = Vec::new();
    for (file, number, code) in lines() {
        for (dependency, rooms) in ROOMS {
            let in_room = rooms.iter().any(|room| file == *room || file.starts_with(&format!("{room}/")));
            let named = [format!("{dependency}::"), format!("use {dependency};")]
                .iter()
                .any(|word| code.match_indices(word.as_str()).any(|(at, _)| is_word_start(&code, at)));
            if named && !in_room {
                slips.push(format!("src/{file}.rs:{number}: {dependency} belongs to {rooms:?}"));
            }
        }
        let spawns = SPAWNING.iter().any(|word| code.contains(word));
        if spawns && file != "transport/process" {
            slips.push(format!("src/{file}.rs:{number}: processes are started in transport/process.rs only"));
        }
    }
    assert!(slips.is_empty(), "{}", slips.join("\n"));
}

/// Whether the word at `at` is the name of a crate and neither the end of another word nor a module
/// of ours behind `crate::` or `super::`.
fn is_word_start(code: &str, at: usize) -> bool {
    let before = &code[..at];
    !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
        && (!before.ends_with("::") || before.ends_with(" ::") || before.ends_with("(::"))
}

#[test]
fn files_stay_small_enough_to_be_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in sources(&root) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().lines().count();
        assert!(code <= 600, "{} has {code} lines without its tests", path.display());
    }
}

#[test]
fn a_panic_unwinds_because_supervision_depends_on_it() {
    assert!(std::panic::catch_unwind(|| panic!("on purpose")).is_err());
}
