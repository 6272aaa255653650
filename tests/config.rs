//! Configuration files as their owners meet them: what faults look like, what editors are told, and that
//! the predecessor's files work unchanged.
//!
//! `tests/golden/config/*.yml` is read, and what is said about it must stand in the `.out` beside it.
//! `UPDATE=1 cargo test --test config` writes those anew, and the schema; read the difference.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test speaks by panicking")]

use dockmaster::config::{Environment, Sources, json_schema, load, show};
use std::fs;
use std::path::{Path, PathBuf};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What is said about a hosts file: its faults, or its values and warnings.
fn said(file: &Path) -> String {
    let environment =
        Environment::of([("HOME", "/home/me"), ("USER", "me"), ("COMPOSE_PATH", "/opt/stacks")]);
    let sources = Sources { config: Some(file.to_owned()), environment, ..Sources::default() };
    let text = match load(&sources) {
        Err(error) => error.to_string(),
        Ok(settings) => {
            let warnings = settings.warnings.iter().map(|warning| format!("warning: {warning}\n"));
            warnings.collect::<Vec<_>>().concat() + &show::values(&settings)
        }
    };
    let directory = format!("{}/", file.parent().unwrap().display());
    text.replace(&directory, "").trim_end().to_owned() + "\n"
}

/// Compares with what is checked in, or writes it.
fn check(golden: &Path, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(golden, text).unwrap();
    }
    let wanted = fs::read_to_string(golden).unwrap_or_default();
    assert!(text == wanted, "{}:\n{text}\n--- should be\n{wanted}", golden.display());
}

#[test]
fn s12_faults_are_shown_as_an_editor_would_all_of_them_at_once() {
    let mut files: Vec<PathBuf> =
        fs::read_dir(root("tests/golden/config")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "yml"));
    assert!(files.len() >= 14, "{files:?}");
    for file in files {
        check(&file.with_extension("out"), &said(&file));
    }
}

#[test]
fn what_is_no_hosts_file_at_all_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("directory.yml")).unwrap();
    fs::write(path("large.yml"), vec![b'#'; 10 << 20]).unwrap();
    fs::write(path("latin1.yml"), b"hosts: {}\n# gr\xfc\xdfe\n").unwrap();
    fs::write(path("nul.yml"), b"hosts:\0\n").unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| format!("{name}: &{name} "));
    let row = |of: &str| vec![of; 100].join(",");
    let bomb = format!("{a}[{}]\n{b}[{}]\n{c}[{}]\nd: [{}]\n", row("x"), row("*a"), row("*b"), row("*c"));
    fs::write(path("bomb.yml"), bomb).unwrap();
    let deep = format!("hosts: {}", "[".repeat(100_000));
    fs::write(path("deep.yml"), deep).unwrap();
    for (name, told) in [
        ("directory.yml", "it is no file"),
        ("large.yml", "it has 10485760 bytes; a hosts file has at most 8388608"),
        ("latin1.yml", "line 2 is not UTF-8 text"),
        ("nul.yml", "nul.yml:1:"),
        ("bomb.yml", "more than 1000000 values"),
        ("deep.yml", "nested too deeply"),
        ("none.yml", "--config names none.yml, which does not exist"),
    ] {
        let said = said(&path(name));
        assert!(said.contains(told), "{name}: {said}");
    }
}

#[test]
fn s2_every_variable_of_ours_is_read_and_beats_the_predecessors() {
    let environment = Environment::of([
        ("DOCKMASTER_PORT", "9001"),
        ("FASTMCP_PORT", "9002"),
        ("FASTMCP_HOST", "::1"),
        ("DOCKMASTER_LOG_LEVEL", "ERROR"),
        ("DOCKMASTER_ALLOWED_HOSTS", "a.lan, b.lan"),
        ("DOCKMASTER_WATCH", "poll"),
        ("DOCKMASTER_PROT", "1"),
    ]);
    let settings = load(&Sources { environment, ..Sources::default() }).unwrap();
    let values = show::values(&settings);
    for line in [
        "server.host = ::1  (environment variable FASTMCP_HOST)",
        "server.port = 9001  (environment variable DOCKMASTER_PORT)",
        "server.log_level = ERROR  (environment variable DOCKMASTER_LOG_LEVEL)",
        "server.allowed_hosts = [a.lan, b.lan]  (environment variable DOCKMASTER_ALLOWED_HOSTS)",
        "server.watch = poll  (environment variable DOCKMASTER_WATCH)",
    ] {
        assert!(values.contains(line), "{line}\n{values}");
    }
    let warnings: Vec<String> = settings.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "the variable DOCKMASTER_PROT is unknown and ignored. Did you mean \"DOCKMASTER_PORT\" or \"DOCKMASTER_HOST\" or \"DOCKMASTER_TOOLS\"?",
            "FASTMCP_PORT is set, but DOCKMASTER_PORT has the last word",
        ]
    );
}

#[test]
fn all_faults_of_all_files_variables_and_flags_are_told_at_once() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".config/dockmaster/hosts.yml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "hosts:\n  nas: {hostname: n, port: 0}\n").unwrap();
    let environment = Environment::of([("HOME", home.path().to_str().unwrap()), ("LOG_LEVEL", "LOUD")]);
    let config = Some(home.path().join("none.yml"));
    let sources = Sources { config, port: Some("x".into()), environment, ..Sources::default() };
    let said = load(&sources).unwrap_err();
    assert_eq!(said.faults().len(), 4, "{said}");
}

#[test]
fn the_schema_that_is_checked_in_is_that_of_the_types_and_the_example_fits_it() {
    check(&root("config/hosts.schema.json"), &format!("{:#}\n", json_schema()));
    let validator = jsonschema::validator_for(&json_schema()).unwrap();
    let read = |path: &str| -> serde_json::Value {
        serde_yaml::from_str(&fs::read_to_string(root(path)).unwrap()).unwrap()
    };
    let example = read("config/hosts.example.yml");
    assert!(
        validator.is_valid(&example),
        "{:?}",
        validator.iter_errors(&example).map(|e| e.to_string()).collect::<Vec<_>>()
    );
    assert!(validator.is_valid(&read("tests/golden/config/predecessor.yml")));
    for wrong in [
        "{hosts: {nas: {hostnme: x}}}",
        "{hosts: {nas: {port: 70000}}}",
        "{hosts: {'a b': {}}}",
        "{server: {log_level: LOUD}}",
        "{sever: {}}",
    ] {
        let wrong: serde_json::Value = serde_yaml::from_str(wrong).unwrap();
        assert!(!validator.is_valid(&wrong), "{wrong}");
    }
    let first = fs::read_to_string(root("config/hosts.example.yml")).unwrap();
    assert!(
        first.starts_with("# yaml-language-server: $schema=hosts.schema.json\n"),
        "editors are not told of the schema"
    );
}
