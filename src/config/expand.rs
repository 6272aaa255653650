//! `${VAR}` and `$VAR` in values: those of a list, after parsing, so that no value can become YAML.

use super::Environment;
use regex::{Captures, Regex};
use std::sync::LazyLock;

/// The variables that are replaced: the predecessor's list. Others may hold secrets, and stay.
const REPLACED: [&str; 14] = [
    "HOME",
    "USER",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "DOCKER_HOSTS_CONFIG",
    "DOCKER_MCP_CONFIG_DIR",
    "DOCKER_MCP_TRANSFER_METHOD",
    "DOCKER_MCP_RSYNC_IMAGE",
    "FASTMCP_HOST",
    "FASTMCP_PORT",
    "LOG_LEVEL",
    "SSH_CONFIG_PATH",
    "COMPOSE_PATH",
    "APPDATA_PATH",
];

#[expect(clippy::expect_used, reason = "a constant that a test compiles")]
static VARIABLE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$([A-Za-z_][A-Za-z0-9_]*)").expect("a constant pattern")
});

/// A text after replacement.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The text.
    pub(super) text: String,
    /// Names in `${…}` that stayed as they are.
    pub(super) left: Vec<String>,
}

/// Replaces variables in `text`.
pub(super) fn variables(text: &str, environment: &Environment) -> Expanded {
    let mut left = Vec::new();
    let replaced = VARIABLE.replace_all(text, |found: &Captures<'_>| {
        let name = found.get(1).or_else(|| found.get(2)).map_or("", |name| name.as_str());
        if let Some(value) = environment.get(name).filter(|_| REPLACED.contains(&name)) {
            return value.to_owned();
        }
        // A `$` that only looks like a name, as in `DOMAIN\user$x`, is nothing to warn of.
        if found.get(1).is_some() {
            left.push(name.to_owned());
        }
        found[0].to_owned()
    });
    Expanded { text: replaced.into_owned(), left }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_variables_that_are_set_are_replaced() {
        let environment = Environment::of([("HOME", "/home/me"), ("USER", "a: b"), ("API_TOKEN", "hunter2")]);
        let text = variables("${HOME}/x $USER ${API_TOKEN} ${LOG_LEVEL} $$ $5 ${HOME", &environment);
        assert_eq!(text.text, "/home/me/x a: b ${API_TOKEN} ${LOG_LEVEL} $$ $5 ${HOME");
        assert_eq!(text.left, ["API_TOKEN", "LOG_LEVEL"]);
    }
}
