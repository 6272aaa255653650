//! `docker_compose`

use super::container::followed;
use super::{Action, EFFECT, OldTool, as_it_is, check};
use crate::domain::toolset::Toolset;
use crate::mcp::schema::schema;
use crate::mcp::tool::About;
use schemars::JsonSchema;
use schemars::generate::Contract;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "declared and checked here, read by the tools")]
struct Parameters {
    /// Host name.
    host_id: Option<String>,
    /// Stack name.
    stack_name: Option<String>,
    /// Lines of a log.
    #[schemars(range(min = 1, max = 5000))]
    lines: Option<u16>,
    /// Wait 30 s for new lines.
    follow: Option<bool>,
    /// `next_cursor`, or the cursor of a log's footer.
    cursor: Option<String>,
}

const ACTIONS: &[Action] = &[
    Action {
        word: "list",
        tool: "stack_list",
        takes: &[("host_id", "hosts"), ("stack_name", "match"), ("cursor", "cursor")],
        needs: &[],
        then: as_it_is,
    },
    Action {
        word: "discover",
        tool: "stack_list",
        takes: &[("host_id", "hosts"), ("cursor", "cursor")],
        needs: &[],
        then: as_it_is,
    },
    Action {
        word: "view",
        tool: "stack_file_read",
        takes: &[("host_id", "host"), ("stack_name", "stack")],
        needs: &["host_id", "stack_name"],
        then: as_it_is,
    },
    Action {
        word: "ps",
        tool: "stack_inspect",
        takes: &[("host_id", "host"), ("stack_name", "stack")],
        needs: &["host_id", "stack_name"],
        then: |arguments| {
            arguments.insert("sections".to_owned(), json!(["services"]));
            Ok(())
        },
    },
    Action {
        word: "logs",
        tool: "stack_logs",
        takes: &[
            ("host_id", "host"),
            ("stack_name", "stack"),
            ("lines", "tail"),
            ("follow", "follow"),
            ("cursor", "cursor"),
        ],
        needs: &["host_id", "stack_name"],
        then: followed,
    },
];

pub(super) fn tool() -> OldTool {
    OldTool {
        about: About {
            name: "docker_compose",
            title: "Stacks (old name)",
            description: "Deprecated: use stack_list, stack_inspect, stack_file_read, stack_logs. Each action is a call of one of them.",
            toolset: Toolset::Compat,
            effect: EFFECT,
        },
        input: Arc::new(schema::<Parameters>(Contract::Deserialize)),
        actions: ACTIONS,
        usual: None,
        later: &["deploy", "up", "down", "restart", "build", "pull", "migrate"],
        gone: &[
            "compose_content",
            "environment",
            "pull_images",
            "recreate",
            "dry_run",
            "options",
            "target_host_id",
            "remove_source",
            "skip_stop_source",
            "start_target",
        ],
        check: check::<Parameters>,
    }
}
