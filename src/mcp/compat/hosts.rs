//! `docker_hosts`

use super::{Action, CONFIRM, DRY_RUN, EFFECT, KEY, OldTool, WAIT, as_it_is, check};
use crate::domain::toolset::Toolset;
use crate::mcp::error::{ErrorKind, ToolError};
use crate::mcp::schema::schema;
use crate::mcp::tool::{About, Object};
use schemars::JsonSchema;
use schemars::generate::Contract;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "declared and checked here, read by the tools")]
struct Parameters {
    /// Host name.
    host_id: Option<String>,
    /// Address or ssh alias.
    ssh_host: Option<String>,
    /// Login.
    ssh_user: Option<String>,
    /// Port.
    #[schemars(range(min = 1, max = 65535))]
    ssh_port: Option<u16>,
    /// Words about it.
    description: Option<String>,
    /// Words to select it by.
    tags: Option<Vec<String>>,
    /// Whether a line is kept to it.
    enabled: Option<bool>,
    /// Aliases to import, with commas between (default all).
    selected_hosts: Option<String>,
    /// Of what is unused; safe: containers, networks, build cache; moderate: images without a name too; aggressive:
    /// anonymous volumes too; check only tells.
    cleanup_type: Option<Cleanup>,
    /// Only this port.
    #[schemars(range(min = 0, max = 65535))]
    port: Option<u16>,
    /// `next_cursor`.
    cursor: Option<String>,
    /// A word of yours: the same call with it within a day is made once.
    idempotency_key: Option<String>,
    /// Seconds to wait for the end.
    wait: Option<u64>,
    /// Only tell what would be done.
    dry_run: Option<bool>,
    /// Confirm of the plan that a person agreed to.
    confirm: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Cleanup {
    Check,
    Safe,
    Moderate,
    Aggressive,
}

const ACTIONS: &[Action] = &[
    Action { word: "list", tool: "host_list", takes: &[("host_id", "hosts")], needs: &[], then: everywhere },
    Action {
        word: "discover",
        tool: "stack_list",
        takes: &[("host_id", "hosts"), ("cursor", "cursor")],
        needs: &[],
        then: everywhere,
    },
    Action {
        word: "test_connection",
        tool: "host_test",
        takes: &[("host_id", "host")],
        needs: &["host_id"],
        then: as_it_is,
    },
    Action {
        word: "ports",
        tool: "port_list",
        takes: &[("host_id", "hosts"), ("port", "check"), ("cursor", "cursor")],
        needs: &[],
        then: |arguments| {
            if arguments.get("check").is_some_and(|port| *port == 0) {
                arguments.remove("check");
            }
            everywhere(arguments)
        },
    },
    Action {
        word: "disk_usage",
        tool: "disk_usage",
        takes: &[("host_id", "hosts"), ("cursor", "cursor")],
        needs: &[],
        then: everywhere,
    },
    Action {
        word: "add",
        tool: "host_add",
        takes: &[
            ("host_id", "name"),
            ("ssh_host", "ssh_host"),
            ("ssh_user", "ssh_user"),
            ("ssh_port", "ssh_port"),
            ("description", "description"),
            ("tags", "tags"),
            KEY,
        ],
        needs: &["host_id", "ssh_host"],
        then: target,
    },
    Action {
        word: "import_ssh",
        tool: "host_import",
        takes: &[("selected_hosts", "pattern"), KEY, DRY_RUN],
        needs: &[],
        then: chosen,
    },
    Action {
        word: "edit",
        tool: "host_update",
        takes: &[
            ("host_id", "host"),
            ("ssh_host", "ssh_host"),
            ("ssh_user", "ssh_user"),
            ("ssh_port", "ssh_port"),
            ("description", "description"),
            ("tags", "tags"),
            ("enabled", "enabled"),
            KEY,
        ],
        needs: &["host_id"],
        then: target,
    },
    Action {
        word: "remove",
        tool: "host_remove",
        takes: &[("host_id", "host"), KEY, CONFIRM],
        needs: &["host_id"],
        then: as_it_is,
    },
    Action {
        word: "cleanup",
        tool: "prune",
        takes: &[("host_id", "host"), ("cleanup_type", "what"), KEY, WAIT, DRY_RUN, CONFIRM],
        needs: &["host_id", "cleanup_type"],
        then: unused,
    },
];

pub(super) fn tool() -> OldTool {
    OldTool {
        about: About {
            name: "docker_hosts",
            title: "Hosts (old name)",
            description: "Deprecated: use host_list, host_test, host_add, host_update, host_remove, host_import, port_list, disk_usage, stack_list, prune. Each action is a call of one of them.",
            toolset: Toolset::Compat,
            effect: EFFECT,
        },
        input: Arc::new(schema::<Parameters>(Contract::Deserialize)),
        actions: ACTIONS,
        usual: Some("list"),
        later: &[],
        gone: &["ssh_key_path", "ssh_config_path", "compose_path", "appdata_path"],
        check: check::<Parameters>,
    }
}

/// `all` was the word for every host.
#[expect(clippy::unnecessary_wraps, reason = "one of several of this kind")]
fn everywhere(arguments: &mut Object) -> Result<(), ToolError> {
    if arguments.get("hosts").is_some_and(|hosts| hosts == "all") {
        arguments.remove("hosts");
    }
    Ok(())
}

/// Where a host is, which was told in three parts.
fn target(arguments: &mut Object) -> Result<(), ToolError> {
    let mut take = |name| arguments.remove(name);
    let (host, user, port) = (take("ssh_host"), take("ssh_user"), take("ssh_port"));
    let Some(Value::String(host)) = host else {
        // A port that is the usual one may come with every call.
        if user.is_none() && port.is_none_or(|port| super::asks_for_nothing("ssh_port", &port)) {
            return Ok(());
        }
        let words =
            "docker_hosts: ssh_user and ssh_port come with ssh_host: together they say where the host is";
        return Err(ToolError::new(ErrorKind::InvalidArguments, words));
    };
    let user = user.as_ref().and_then(Value::as_str).map(|user| format!("{user}@")).unwrap_or_default();
    // It was always one that is logged in to.
    let target = match port {
        Some(port) if host.contains(':') => format!("ssh://{user}[{host}]:{port}"),
        Some(port) => format!("ssh://{user}{host}:{port}"),
        None => format!("ssh://{user}{host}"),
    };
    arguments.insert("target".to_owned(), target.into());
    Ok(())
}

/// Aliases by their names, as one pattern.
#[expect(clippy::unnecessary_wraps, reason = "one of several of this kind")]
fn chosen(arguments: &mut Object) -> Result<(), ToolError> {
    let Some(Value::String(aliases)) = arguments.remove("pattern") else { return Ok(()) };
    let aliases: Vec<String> =
        aliases.split(',').map(str::trim).filter(|alias| !alias.is_empty()).map(globset::escape).collect();
    let pattern = match aliases.as_slice() {
        [] => return Ok(()),
        [all] if all == "all" => return Ok(()),
        [one] => one.clone(),
        several => format!("{{{}}}", several.join(",")),
    };
    arguments.insert("pattern".to_owned(), pattern.into());
    Ok(())
}

/// What was removed by the levels of cleaning up.
fn unused(arguments: &mut Object) -> Result<(), ToolError> {
    let level = arguments.get("what").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut what = vec!["containers", "networks", "build_cache"];
    if level != "safe" {
        what.push("images");
    }
    if level == "aggressive" || level == "check" {
        what.push("volumes");
    }
    arguments.insert("what".to_owned(), json!(what));
    if level == "check" {
        if arguments.contains_key("confirm") {
            let words =
                "docker_hosts: check removes nothing; a plan is confirmed with the cleanup_type that does it";
            return Err(ToolError::new(ErrorKind::InvalidArguments, words));
        }
        arguments.insert("dry_run".to_owned(), true.into());
    }
    Ok(())
}
