//! Documents that describe code are held to it: the protocol tables of `actors.md` and the message
//! enums, the example configuration, the README's tools.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test speaks by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The variants of `enum name` in a source file.
fn variants(path: &str, name: &str) -> BTreeSet<String> {
    let text = read(path);
    let body =
        text.split_once(&format!("enum {name} {{")).unwrap_or_else(|| panic!("no enum {name} in {path}")).1;
    let body = body.split_once("\n}").unwrap().0;
    body.lines()
        .filter(|line| line.starts_with("    ") && !line.starts_with("     "))
        .filter_map(|line| {
            let word: String = line.trim().chars().take_while(|c| c.is_alphanumeric()).collect();
            word.chars().next().is_some_and(char::is_uppercase).then_some(word)
        })
        .collect()
}

/// The first column of the table in `actors.md` whose heading starts with `name`.
fn table(name: &str) -> BTreeSet<String> {
    let text = read("actors.md");
    let table = text.split_once(&format!("| {name} |")).unwrap_or_else(|| panic!("no table {name}")).1;
    table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_start_matches('|').split('|').next().unwrap().trim().to_owned())
        .collect()
}

#[test]
fn the_protocol_tables_name_every_message_and_no_other() {
    for (path, name) in [
        ("src/actors/supervision/shell.rs", "SupervisorMessage"),
        ("src/actors/host/messages.rs", "HostMessage"),
        ("src/actors/config.rs", "ConfigMessage"),
        ("src/actors/mcp.rs", "McpMessage"),
        ("src/actors/socket.rs", "SocketMessage"),
        ("src/actors/reaper/handle.rs", "ReaperMessage"),
        ("src/actors/journal/handle.rs", "JournalMessage"),
    ] {
        assert_eq!(table(name), variants(path, name), "{name}: actors.md against {path}");
    }
}

#[test]
fn the_policy_table_names_every_cause() {
    let text = read("actors.md");
    for kind in dockmaster::domain::fault::FaultKind::ALL {
        assert!(
            text.contains(kind.word()),
            "actors.md does not tell what {} means for retrying",
            kind.word()
        );
    }
}

#[test]
fn the_example_configuration_loads_without_a_warning() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/hosts.example.yml");
    let sources = dockmaster::config::Sources { config: Some(config), ..Default::default() };
    let settings = dockmaster::config::load(&sources).unwrap();
    assert_eq!(settings.warnings, []);
    assert_eq!(settings.hosts.len(), 4);
}

#[test]
fn the_readme_names_every_tool() {
    let readme = read("README.md");
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/mcp/tools")).unwrap() {
        let path = entry.unwrap().path();
        let tool = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(readme.contains(&format!("`{tool}`")), "the README does not name {tool}");
    }
}
