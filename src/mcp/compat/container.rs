//! `docker_container`

use super::{Action, CONFIRM, DRY_RUN, EFFECT, KEY, OldTool, WAIT, as_it_is, check};
use crate::domain::toolset::Toolset;
use crate::mcp::error::ToolError;
use crate::mcp::schema::schema;
use crate::mcp::tool::{About, Object};
use schemars::JsonSchema;
use schemars::generate::Contract;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Who wanted to follow a log has its new entries for so long, in seconds.
const FOLLOWED: u16 = 30;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "declared and checked here, read by the tools")]
struct Parameters {
    /// Host name.
    host_id: Option<String>,
    /// Name or id.
    container_id: Option<String>,
    /// For pull.
    image_name: Option<String>,
    /// Ended ones too.
    all_containers: Option<bool>,
    /// Max rows.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u16>,
    /// `next_cursor`, or the cursor of a log's footer.
    cursor: Option<String>,
    /// Lines of a log.
    #[schemars(range(min = 1, max = 5000))]
    lines: Option<u16>,
    /// Wait 30 s for new lines.
    follow: Option<bool>,
    /// Kill instead of stop; remove while it runs.
    force: Option<bool>,
    /// Seconds before it is killed.
    timeout: Option<u32>,
    /// A word of yours: the same call with it within a day is the same job.
    idempotency_key: Option<String>,
    /// Seconds to wait for the end.
    wait: Option<u64>,
    /// Only tell what would be done.
    dry_run: Option<bool>,
    /// Confirm of the plan that a person agreed to.
    confirm: Option<String>,
}

const ACTIONS: &[Action] = &[
    Action {
        word: "list",
        tool: "container_list",
        takes: &[("host_id", "hosts"), ("all_containers", "state"), ("limit", "limit"), ("cursor", "cursor")],
        needs: &[],
        then: |arguments| {
            let all = arguments.get("state") == Some(&Value::Bool(true));
            arguments.insert("state".to_owned(), if all { "all" } else { "running" }.into());
            arguments.entry("limit").or_insert(20.into());
            Ok(())
        },
    },
    Action {
        word: "info",
        tool: "container_inspect",
        takes: &[("host_id", "host"), ("container_id", "container")],
        needs: &["host_id", "container_id"],
        then: as_it_is,
    },
    Action {
        word: "logs",
        tool: "container_logs",
        takes: &[
            ("host_id", "host"),
            ("container_id", "container"),
            ("lines", "tail"),
            ("follow", "follow"),
            ("cursor", "cursor"),
        ],
        needs: &["host_id", "container_id"],
        then: |arguments| {
            arguments.entry("tail").or_insert(100.into());
            followed(arguments)
        },
    },
    Action {
        word: "start",
        tool: "container_start",
        takes: &[("host_id", "host"), ("container_id", "containers"), KEY, WAIT],
        needs: &["host_id", "container_id"],
        then: one,
    },
    Action {
        word: "stop",
        tool: "container_stop",
        takes: &[
            ("host_id", "host"),
            ("container_id", "containers"),
            ("timeout", "timeout"),
            ("force", "mode"),
            KEY,
            WAIT,
        ],
        needs: &["host_id", "container_id"],
        then: |arguments| {
            if let Some(force) = arguments.get_mut("mode") {
                *force = if *force == true { "kill" } else { "stop" }.into();
            }
            one(arguments)
        },
    },
    Action {
        word: "restart",
        tool: "container_restart",
        takes: &[("host_id", "host"), ("container_id", "containers"), ("timeout", "timeout"), KEY, WAIT],
        needs: &["host_id", "container_id"],
        then: one,
    },
    Action {
        word: "remove",
        tool: "container_remove",
        takes: &[
            ("host_id", "host"),
            ("container_id", "containers"),
            ("force", "force"),
            KEY,
            WAIT,
            DRY_RUN,
            CONFIRM,
        ],
        needs: &["host_id", "container_id"],
        then: one,
    },
    Action {
        word: "pull",
        tool: "image_pull",
        takes: &[("host_id", "hosts"), ("image_name", "image"), ("container_id", "container"), KEY, WAIT],
        needs: &["host_id"],
        then: |arguments| {
            // The image's name was taken from either.
            let other = arguments.remove("container");
            if let Some(other) = other {
                arguments.entry("image").or_insert(other);
            }
            Ok(())
        },
    },
];

pub(super) fn tool() -> OldTool {
    OldTool {
        about: About {
            name: "docker_container",
            title: "Containers (old name)",
            description: "Deprecated: use container_list, container_inspect, container_logs, container_start, container_stop, container_restart, container_remove, image_pull. Each action is a call of one of them.",
            toolset: Toolset::Compat,
            effect: EFFECT,
        },
        input: Arc::new(schema::<Parameters>(Contract::Deserialize)),
        actions: ACTIONS,
        usual: None,
        later: &[],
        gone: &["offset"],
        check: check::<Parameters>,
    }
}

/// A container by its name or identifier, as one of several.
#[expect(clippy::unnecessary_wraps, reason = "one of several of this kind")]
fn one(arguments: &mut Object) -> Result<(), ToolError> {
    if let Some(container) = arguments.get_mut("containers") {
        *container = json!([container]);
    }
    Ok(())
}

/// Following, which was a yes or a no.
#[expect(clippy::unnecessary_wraps, reason = "one of several of this kind")]
pub(super) fn followed(arguments: &mut Object) -> Result<(), ToolError> {
    if arguments.remove("follow") == Some(Value::Bool(true)) {
        arguments.insert("follow".to_owned(), FOLLOWED.into());
    }
    Ok(())
}
