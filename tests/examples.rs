//! Every example runs and prints what it should: examples are references, and a reference that does
//! not run misleads.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test speaks by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test starts the program it tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn stems(directory: &Path, extension: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|found| found == extension));
    files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

/// `cargo test` builds the examples, beside the folder of the tests (`cargo test --test examples` alone
/// does not: it runs those of the last build).
fn program(name: &str) -> PathBuf {
    let mut directory = std::env::current_exe().unwrap();
    directory.pop();
    if directory.ends_with("deps") {
        directory.pop();
    }
    directory.join("examples").join(name)
}

#[test]
fn every_example_prints_its_golden_output() {
    let (examples, golden) = (folder("examples"), folder("tests/golden"));
    assert_eq!(stems(&examples, "rs"), stems(&golden, "out"), "each example has a golden output");
    for name in stems(&examples, "rs") {
        let ran = Command::new(program(&name)).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success(), "{name}: {}\n{err}", ran.status);
        let expected = std::fs::read_to_string(golden.join(format!("{name}.out"))).unwrap();
        assert_eq!(out, expected, "{name}");
    }
}
