//! A client of the protocol over plain HTTP: a connection to each request, nothing hidden.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::wait::BUSY;

/// The era without handshake and sessions.
pub const PROTOCOL: &str = "2026-07-28";

/// Longer than any call of the service may take.
const LIMIT: Duration = Duration::from_secs(60);

/// An answer to an HTTP request.
#[derive(Debug)]
pub struct Reply {
    /// Its status code.
    pub status: u16,
    /// Its body.
    pub body: String,
}

/// What a tool answered.
#[derive(Clone, Debug)]
pub struct ToolAnswer {
    /// Whether the tool says that it failed.
    pub is_error: bool,
    /// Its structured content; null when it has none.
    pub structured: Value,
    /// Its texts.
    pub text: String,
}

impl ToolAnswer {
    /// Reads the answer to `tools/call`.
    pub fn of(message: &Value) -> Self {
        let result = message.get("result").unwrap_or_else(|| panic!("no result: {message}"));
        let blocks = result["content"].as_array().cloned().unwrap_or_default();
        let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
        Self {
            is_error: result["isError"] == true,
            structured: result.get("structuredContent").cloned().unwrap_or_default(),
            text: texts.join("\n"),
        }
    }

    /// The failure of one host in an answer about several.
    pub fn failure(&self, host: &str) -> Value {
        failure(&self.structured, host)
    }

    /// All that can be read in it.
    pub fn everything(&self) -> String {
        format!("{}\n{}", self.structured, self.text)
    }
}

/// The entry of `host` under `errors`; null when it is not there.
pub fn failure(answer: &Value, host: &str) -> Value {
    let errors = answer["errors"].as_array().cloned().unwrap_or_default();
    errors.into_iter().find(|failure| failure["host"] == host).unwrap_or_default()
}

/// A client of one service.
#[derive(Debug)]
pub struct McpClient {
    address: SocketAddr,
    numbers: AtomicU64,
}

impl McpClient {
    /// A client of the service at `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, numbers: AtomicU64::new(1) }
    }

    /// Where the service is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Calls a tool.
    pub async fn call(&self, tool: &str, arguments: Value) -> ToolAnswer {
        let params = json!({"name": tool, "arguments": arguments});
        ToolAnswer::of(&self.request("tools/call", Some(tool), params).await)
    }

    /// Calls a tool and wants to hear of its progress: the answer, and all that came with it as it came.
    pub async fn overheard(&self, tool: &str, arguments: Value) -> (Value, String) {
        let params = json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": tool}});
        let (id, headers, body) = self.message("tools/call", Some(tool), params);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let reply = self.raw("POST", "/mcp", &headers, &body).await;
        let answer = answer_in(&reply.body, id);
        (answer.unwrap_or_else(|| panic!("no answer to {tool}: {reply:?}")), reply.body)
    }

    /// A call of a service that may die meanwhile: `None` when no whole answer came.
    pub async fn try_call(&self, tool: &str, arguments: Value) -> Option<ToolAnswer> {
        let params = json!({"name": tool, "arguments": arguments});
        let (id, headers, body) = self.message("tools/call", Some(tool), params);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let asking = self.exchange("POST", "/mcp", &headers, &body);
        let reply = tokio::time::timeout(LIMIT * BUSY, asking).await.ok()?.ok()?;
        answer_in(&reply.body, id).map(|message| ToolAnswer::of(&message))
    }

    /// What the service says about its tools.
    pub async fn tools(&self) -> Vec<Value> {
        let listed = self.request("tools/list", None, json!({})).await;
        listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("{listed}")).clone()
    }

    /// Any request; the answer as it is, result or error.
    pub async fn request(&self, method: &str, name: Option<&str>, params: Value) -> Value {
        let (id, headers, body) = self.message(method, name, params);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let reply = self.raw("POST", "/mcp", &headers, &body).await;
        answer_in(&reply.body, id).unwrap_or_else(|| panic!("no answer to {method}: {reply:?}"))
    }

    /// A request's number, headers and body.
    fn message(
        &self,
        method: &str,
        name: Option<&str>,
        mut params: Value,
    ) -> (u64, Vec<(&'static str, String)>, String) {
        let given = params["_meta"].take();
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": PROTOCOL,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "trial", "version": "1"},
        });
        for (key, value) in given.as_object().into_iter().flatten() {
            params["_meta"][key] = value.clone();
        }
        let id = self.numbers.fetch_add(1, Ordering::Relaxed);
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
        let mut headers = vec![("mcp-method", method.to_owned())];
        headers.extend(name.map(|name| ("mcp-name", name.to_owned())));
        headers.extend(HEADERS.map(|(name, value)| (name, value.to_owned())));
        (id, headers, body)
    }

    /// A request with nothing added but the host, unless a header names another.
    pub async fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let reply = tokio::time::timeout(LIMIT * BUSY, self.exchange(method, path, headers, body)).await;
        let reply = reply.unwrap_or_else(|_| panic!("no answer to {method} {path} within {LIMIT:?}"));
        reply.unwrap_or_else(|error| panic!("no answer to {method} {path}: {error}"))
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Reply, Broken> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // ends with the sender
        let carrying = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("host", self.address.to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).expect("a request");
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        carrying.abort();
        Ok(Reply { status, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// Why no whole answer came.
type Broken = Box<dyn std::error::Error + Send + Sync>;

/// What every request of the protocol carries.
pub const HEADERS: [(&str, &str); 3] = [
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
    ("mcp-protocol-version", PROTOCOL),
];

/// The message with this id in a body of JSON or of server-sent events.
fn answer_in(body: &str, id: u64) -> Option<Value> {
    let events = body.lines().filter_map(|line| line.strip_prefix("data:"));
    let messages = events.chain([body]).filter_map(|text| serde_json::from_str::<Value>(text.trim()).ok());
    messages.into_iter().find(|message| message["id"] == id)
}
