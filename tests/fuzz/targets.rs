//! What must hold for any input, however it came about: shared by `tests/fuzz.rs`, which tries seeds and
//! their mutations, and by the libFuzzer programs beside this file.

use dockmaster::config::{Authority, FieldValue, Fields, HostEdit, HostKey, Sources, edit_host, load};
use dockmaster::transport::ssh::aliases::aliases;
use std::path::Path;

/// A text that has to be quoted.
const CHANGED: &str = "changed: by # the test";

/// A hosts file of any content: it loads, or its faults are told in words that fit a terminal; and an edit
/// of one of its hosts changes that field of that host, or nothing.
pub(crate) fn hosts_file(directory: &Path, bytes: &[u8]) {
    let file = directory.join("hosts.yml");
    std::fs::write(&file, bytes).unwrap();
    let sources = Sources { config: Some(file.clone()), ..Sources::default() };
    let before = match load(&sources) {
        Ok(settings) => settings,
        Err(error) => {
            let told = error.to_string();
            assert!(told.contains("hosts.yml"), "{told}");
            assert!(!told.chars().any(|c| c.is_control() && c != '\n'), "{told:?}");
            return;
        }
    };
    let Some((id, _)) = before.hosts.iter().find(|(_, host)| host.origin.to_string().ends_with("hosts.yml"))
    else {
        return;
    };
    let value = FieldValue::Text(CHANGED.to_owned());
    let fields = Fields::from([(HostKey::DESCRIPTION, Some(value))]);
    let edit = HostEdit::Update { id: id.clone(), fields };
    if edit_host(&sources, &edit, Authority::Person).is_err() {
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "a refused edit changes nothing");
        return;
    }
    let after = load(&sources).unwrap();
    let mut wanted = before.hosts.clone();
    CHANGED.clone_into(&mut wanted.get_mut(id).unwrap().value.description);
    let same = after.hosts == wanted && after.port == before.port;
    assert!(same, "more changed than the description of {id}");
}

/// An ssh configuration of any content: names are told that can go into an argument vector, each once.
pub(crate) fn ssh_config(directory: &Path, bytes: &[u8]) {
    let file = directory.join("config");
    std::fs::write(&file, bytes).unwrap();
    let listed = aliases(&file, directory);
    for (at, alias) in listed.iter().enumerate() {
        let name = alias.name.as_str();
        assert!(!name.starts_with('-') && !name.contains(['*', '?', '!', ' ']), "{name:?}");
        assert!(listed[..at].iter().all(|other| other.name != alias.name), "{name:?} stands there twice");
    }
}
