//! The real program, served over HTTP, and a client of its protocol.

use crate::contestant::{Call, Contestant, load, names};
use crate::site::{Line, Site};
use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use dockmaster::transport::BoxFuture;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// The era of the protocol without handshake and sessions.
const PROTOCOL: &str = "2026-07-28";

/// For the start, for all lines to be up, and for the end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `dockmaster serve`; killed when it is dropped without having been stopped.
pub(crate) struct Service {
    name: &'static str,
    child: Child,
    dir: PathBuf,
    program: PathBuf,
    url: String,
    hosts: Vec<String>,
    client: Client<HttpConnector, Full<Bytes>>,
    numbers: AtomicU64,
}

impl Service {
    /// The program on the hosts' engines by their sockets.
    pub(crate) async fn local(site: &Site) -> Result<Self> {
        let entry = |host: usize| format!("kind: unix\n    socket: {}", site.hosts[host].socket.display());
        Self::start(names::MCP_LOCAL, "local", site, entry).await
    }

    /// The program on the hosts by ssh.
    pub(crate) async fn by_ssh(site: &Site, line: Line) -> Result<Self> {
        let entry = |host: usize| format!("hostname: {}", site.alias(line, host));
        let dir = if line == Line::Far { "far" } else { "near" };
        Self::start(names::MCP, dir, site, entry).await
    }

    async fn start(
        name: &'static str,
        dir: &str,
        site: &Site,
        entry: impl Fn(usize) -> String,
    ) -> Result<Self> {
        let dir = site.dir.join(dir);
        fs::create_dir_all(&dir).context("a service's directory")?;
        let mut yaml = "hosts:\n".to_owned();
        for (number, host) in site.hosts.iter().enumerate() {
            writeln!(yaml, "  {}:\n    {}", host.name, entry(number))?;
        }
        fs::write(dir.join("hosts.yml"), yaml).context("a hosts file")?;
        let mut command = command(&site.program, &dir, &["serve", "--port", "0"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("dockmaster does not start")?;
        let mut log = BufReader::new(child.stderr.take().context("no log")?).lines();
        let address = timeout(PATIENCE, async {
            while let Some(line) = log.next_line().await? {
                let rest = line.split_once("serving MCP at ").map(|(_, rest)| rest);
                if let Some((address, _)) = rest.and_then(|rest| rest.split_once("/mcp")) {
                    return Ok(format!("{address}/mcp"));
                }
            }
            bail!("dockmaster ended before it served")
        });
        let url = address.await.context("dockmaster does not serve")??;
        // A pipe that nobody reads would fill and stop the program.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let service = Self {
            name,
            child,
            program: site.program.clone(),
            dir,
            url,
            hosts: site.hosts.iter().map(|host| host.name.clone()).collect(),
            client: Client::builder(TokioExecutor::new()).build(connector),
            numbers: AtomicU64::new(1),
        };
        timeout(PATIENCE, service.ready())
            .await
            .with_context(|| format!("{name}: hosts are not ready"))??;
        Ok(service)
    }

    /// Waits until every host's line is up.
    async fn ready(&self) -> Result<()> {
        loop {
            let listed = self.tool("host_list", json!({})).await?;
            let rows = listed["structuredContent"]["hosts"].as_array().context("no hosts are listed")?;
            if rows.len() == self.hosts.len() && rows.iter().all(|row| row["phase"] == "ready") {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// What `dockmaster env HOST` gives docker to use.
    pub(crate) async fn docker_host(&self, host: &str) -> Result<String> {
        let ran =
            command(&self.program, &self.dir, &["env", host]).output().await.context("dockmaster env")?;
        let said = String::from_utf8_lossy(&ran.stdout);
        let complaint = String::from_utf8_lossy(&ran.stderr);
        let value = said.trim().strip_prefix("export DOCKER_HOST=");
        Ok(value.with_context(|| format!("dockmaster env {host}: {said}{complaint}"))?.to_owned())
    }

    /// Ends it and waits for its end.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let number = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(number.context("dockmaster ended by itself")?, Signal::TERM)?;
        let status = timeout(PATIENCE, self.child.wait()).await.context("dockmaster does not end")??;
        ensure!(status.success(), "dockmaster ended with {status}");
        Ok(())
    }

    /// Calls a tool and gives its result.
    async fn tool(&self, name: &str, arguments: Value) -> Result<Value> {
        let id = self.numbers.fetch_add(1, Ordering::Relaxed);
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": PROTOCOL,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
        });
        let params = json!({"name": name, "arguments": arguments, "_meta": meta});
        let body = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string();
        let request = Request::post(&self.url)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", PROTOCOL)
            .header("mcp-method", "tools/call")
            .header("mcp-name", name)
            .body(Full::new(Bytes::from(body)))?;
        let answer = self.client.request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&body);
        let result = result_in(&text, id).with_context(|| format!("no answer to {name}: {status} {text}"))?;
        ensure!(result["isError"] != true, "{name}: {}", result["content"]);
        Ok(result)
    }

    async fn list(&self, hosts: &str) -> Result<usize> {
        let listed = self.tool("container_list", json!({"hosts": hosts})).await?;
        let errors = &listed["structuredContent"]["errors"];
        ensure!(errors.as_array().is_some_and(Vec::is_empty), "container_list: {errors}");
        let total = listed["structuredContent"]["total"].as_u64().context("container_list gives no total")?;
        Ok(usize::try_from(total)?)
    }
}

/// The program in a service's directory.
fn command(program: &std::path::Path, dir: &std::path::Path, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(words)
        .arg("--config")
        .arg(dir.join("hosts.yml"))
        .env("DOCKMASTER_DATA_DIR", dir.join("data"))
        .env("DOCKMASTER_RUNTIME_DIR", dir.join("r"))
        .current_dir(dir)
        .stdin(Stdio::null());
    command
}

/// The result with this id in a body of JSON or of server-sent events.
fn result_in(body: &str, id: u64) -> Option<Value> {
    let events = body.lines().filter_map(|line| line.strip_prefix("data:"));
    let mut messages =
        events.chain([body]).filter_map(|text| serde_json::from_str::<Value>(text.trim()).ok());
    let message = messages.find(|message| message["id"] == id)?;
    message.get("result").cloned()
}

impl Contestant for Service {
    fn name(&self) -> &'static str {
        self.name
    }

    fn can(&self, call: Call) -> bool {
        matches!(call, Call::List | Call::Inspect | Call::Logs)
    }

    fn hosts(&self) -> usize {
        self.hosts.len()
    }

    fn call(&self, call: Call, host: usize) -> BoxFuture<'_, Result<usize>> {
        Box::pin(async move {
            let host = self.hosts.get(host).context("no such host")?;
            match call {
                Call::List => self.list(host).await,
                Call::Inspect => {
                    let arguments = json!({"host": host, "container": load::LOGGER});
                    self.tool("container_inspect", arguments).await?;
                    Ok(1)
                }
                Call::Logs => {
                    let arguments = json!({"host": host, "container": load::LOGGER, "tail": load::TAIL});
                    let answer = self.tool("container_logs", arguments).await?;
                    let text = answer["content"][0]["text"].as_str().unwrap_or_default();
                    Ok(text.matches(load::LOG_WORDS).count())
                }
                Call::Ping | Call::ComposePs => bail!("there is no such tool"),
            }
        })
    }

    /// One call for all of them.
    fn fan_out(&self) -> BoxFuture<'_, Result<usize>> {
        Box::pin(self.list("*"))
    }
}
