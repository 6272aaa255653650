//! Driving the service with an MCP client, as an assistant does.
//!
//! The client starts `dockmaster stdio` and speaks the Model Context Protocol with it over standard
//! input and output. It asks which tools there are, lists the hosts, and meets an error.
//!
//!     cargo build && cargo run --example mcp_client

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example shows itself and starts the program it drives"
)]

use rmcp::ServiceExt;
use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::transport::TokioChildProcess;
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A configuration of its own, so that this reaches none of your machines. The host is switched off,
    // so that it reaches none at all.
    let file = std::env::temp_dir().join(format!("mcp-client-{}.yml", std::process::id()));
    std::fs::write(
        &file,
        "hosts:\n  nas: {hostname: nas.lan, user: ops, tags: [home], description: the cellar, enabled: false}\n",
    )?;

    // The program beside this example: target/debug/dockmaster.
    let here = std::env::current_exe()?;
    let program = here.ancestors().nth(2).ok_or("no directory above the example's")?.join("dockmaster");
    let mut dockmaster = tokio::process::Command::new(program);
    dockmaster.args(["stdio", "--config"]).arg(&file);

    // The handshake: `()` is a client without wishes of its own.
    let client =
        ().serve(TokioChildProcess::builder(dockmaster).stderr(std::process::Stdio::null()).spawn()?.0)
            .await?;

    // Every tool says what it does to the world; a client decides by that what to ask a person about.
    for tool in client.list_all_tools().await? {
        let reads = tool.annotations.and_then(|hints| hints.read_only_hint).unwrap_or(false);
        println!("{} {}", if reads { "reads  " } else { "changes" }, tool.name);
    }

    // A structured answer: one row per host, and a host that cannot be reached is a row like any other.
    let listed = call(&client, "host_list", json!({"hosts": "nas"})).await?;
    let row = &listed.structured_content.ok_or("host_list answers with a value")?["hosts"][0];
    let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    println!("{}: {} ({})", word("host"), word("phase"), word("description"));

    // An error is an answer too, written for its reader: what failed, where, and what to do.
    let failed = call(&client, "container_list", json!({"hosts": "nas"})).await?;
    println!("is_error: {:?}", failed.is_error);
    for block in failed.content {
        println!("{}", block.as_text().map_or("", |text| text.text.as_str()));
    }

    client.cancel().await?;
    std::fs::remove_file(file)?;
    Ok(())
}

async fn call(
    client: &rmcp::service::RunningService<rmcp::RoleClient, ()>,
    tool: &'static str,
    arguments: Value,
) -> Result<CallToolResult, Box<dyn std::error::Error>> {
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    Ok(client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments)).await?)
}
