//! The environment: the process's variables over those of a `.env` file.

use super::read::read_bytes;
use crate::domain::suggest::did_you_mean;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// Every variable of ours, wherever it is read.
const KNOWN: [&str; 15] = [
    "DOCKMASTER_ALLOWED_HOSTS",
    "DOCKMASTER_CONFIG",
    "DOCKMASTER_CONFIRM_FALLBACK",
    "DOCKMASTER_DATA_DIR",
    "DOCKMASTER_EXCLUDE_TOOLS",
    "DOCKMASTER_HOST",
    "DOCKMASTER_LOG_LEVEL",
    "DOCKMASTER_NO_DESTRUCTIVE",
    "DOCKMASTER_PORT",
    "DOCKMASTER_READ_ONLY",
    "DOCKMASTER_RUNTIME_DIR",
    "DOCKMASTER_SSH_CONFIG",
    "DOCKMASTER_TOOLS",
    "DOCKMASTER_TOOLSETS",
    "DOCKMASTER_WATCH",
];

/// A snapshot of the environment, taken once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    process: BTreeMap<String, String>,
    dot_env: BTreeMap<String, String>,
}

impl Environment {
    /// The process's own variables; those that are no UTF-8 are left out.
    pub fn of_process() -> Self {
        let process = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self { process: process.collect(), dot_env: BTreeMap::new() }
    }

    /// These variables, for tests and for embedding.
    pub fn of<K: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (K, V)>) -> Self {
        let process = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { process, dot_env: BTreeMap::new() }
    }

    /// Adds the variables of the `.env` file at `path`, below the process's own. A missing file
    /// adds nothing; a broken one is told by the returned sentence.
    pub fn read_dot_env(&mut self, path: &Path) -> Option<String> {
        let bytes = match read_bytes(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => return Some(format!("{} was not read: {error}", path.display())),
        };
        for entry in dotenvy::from_read_iter(bytes.as_slice()) {
            match entry {
                Ok((name, value)) => {
                    self.dot_env.insert(name, value);
                }
                // The error may quote the line, and with it a secret.
                Err(_) => {
                    return Some(format!("{} was read up to a line that is no KEY=VALUE", path.display()));
                }
            }
        }
        None
    }

    /// Whether a variable is set by the `.env` file alone.
    pub(super) fn is_from_dot_env(&self, name: &str) -> bool {
        !self.process.contains_key(name) && self.dot_env.contains_key(name)
    }

    /// A sentence for each variable that looks like one of ours and is read by nobody.
    pub(super) fn unknown_variables(&self) -> Vec<String> {
        let names = self.process.keys().chain(self.dot_env.keys());
        let ours = names.filter(|name| name.starts_with("DOCKMASTER_") && !KNOWN.contains(&name.as_str()));
        ours.map(|name| format!("the variable {name} is unknown and ignored.{}", did_you_mean(name, KNOWN)))
            .collect()
    }

    /// The value of a variable, when it is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let set = self.process.get(name).or_else(|| self.dot_env.get(name));
        set.map(String::as_str).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_the_process_beats_the_dot_env_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        std::fs::write(&path, "FASTMCP_PORT=9000\nLOG_LEVEL=DEBUG\n").unwrap();
        let mut env = Environment::of([("FASTMCP_PORT", "8100"), ("FASTMCP_HOST", "")]);
        assert_eq!(env.read_dot_env(&path), None);
        assert_eq!(env.get("FASTMCP_PORT"), Some("8100"));
        assert_eq!(env.get("LOG_LEVEL"), Some("DEBUG"));
        assert_eq!(env.get("FASTMCP_HOST"), None);
        assert_eq!(env.read_dot_env(&dir.path().join("none")), None);
    }

    #[test]
    fn a_broken_dot_env_is_told_without_its_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        std::fs::write(&path, "PASSWORD=\"hunter2\n").unwrap();
        let told = Environment::default().read_dot_env(&path).unwrap();
        assert!(told.contains(".env") && !told.contains("hunter2"), "{told}");
    }
}
