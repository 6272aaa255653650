//! A client that speaks the protocol by itself, message by message: over HTTP or lines, in each of its eras, and
//! with a person behind it, or none.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::mcp_client::PROTOCOL;
use super::service::Stdio;
use super::wait::BUSY;

/// Longer than any call here may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What carries the messages.
enum Line {
    Http { address: SocketAddr, session: Option<String> },
    Stdio(Box<Stdio>),
}

/// A client of one era with these capabilities.
pub struct Wire {
    line: Line,
    era: &'static str,
    capabilities: Value,
    number: u64,
}

/// What came of a call.
#[derive(Debug)]
pub struct Called {
    /// The parameters of the questions that the person was asked.
    pub asked: Vec<Value>,
    /// The last answer: a result or an error of the protocol.
    pub answer: Value,
}

impl Wire {
    /// Over HTTP, a connection to each message.
    pub async fn http(address: SocketAddr, era: &'static str, capabilities: Value) -> Self {
        Self::greet(Line::Http { address, session: None }, era, capabilities).await
    }

    /// Over the lines of a process.
    pub async fn stdio(stdio: Stdio, era: &'static str, capabilities: Value) -> Self {
        Self::greet(Line::Stdio(Box::new(stdio)), era, capabilities).await
    }

    /// The handshake, in eras that have one.
    async fn greet(line: Line, era: &'static str, capabilities: Value) -> Self {
        let mut wire = Self { line, era, capabilities, number: 0 };
        if !wire.is_modern() {
            let about = json!({"name": "wire", "version": "1"});
            let params =
                json!({"protocolVersion": era, "capabilities": wire.capabilities, "clientInfo": about});
            let answer = wire.request("initialize", params, &mut |_| panic!("nobody is asked yet")).await;
            assert_eq!(answer["result"]["protocolVersion"], era, "{answer}");
            wire.notify(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        }
        wire
    }

    fn is_modern(&self) -> bool {
        self.era == PROTOCOL
    }

    /// Calls a tool; whoever is asked says what `person` says to a question.
    pub async fn call(
        &mut self,
        tool: &str,
        arguments: &Value,
        mut person: impl FnMut(&Value) -> Value + Send,
    ) -> Called {
        let mut asked = vec![];
        let params = json!({"name": tool, "arguments": arguments});
        let mut ask = |question: &Value| {
            asked.push(question.clone());
            person(question)
        };
        let mut answer = self.request("tools/call", params.clone(), &mut ask).await;
        // in the newer era the question is an answer, and the call is made again with the reply
        while answer["result"]["resultType"] == "input_required" {
            assert!(self.is_modern(), "an era of requests got a round: {answer}");
            let mut again = params.clone();
            again["requestState"] = answer["result"]["requestState"].clone();
            let requests = answer["result"]["inputRequests"].as_object().expect("questions").clone();
            for (name, request) in requests {
                assert_eq!(request["method"], "elicitation/create", "{request}");
                again["inputResponses"][&name] = ask(&request["params"]);
            }
            answer = self.request("tools/call", again, &mut ask).await;
        }
        Called { asked, answer }
    }

    /// Makes a request, and replies to those that come before its answer.
    async fn request(
        &mut self,
        method: &str,
        mut params: Value,
        person: &mut (dyn FnMut(&Value) -> Value + Send),
    ) -> Value {
        self.number += 1;
        let id = self.number;
        if self.is_modern() {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": self.era,
                "io.modelcontextprotocol/clientCapabilities": self.capabilities,
                "io.modelcontextprotocol/clientInfo": {"name": "wire", "version": "1"},
            });
        }
        let name = params["name"].as_str().map(ToOwned::to_owned);
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let mut coming = self.send(&message, Some((method, name.as_deref()))).await;
        loop {
            let message = self.next(&mut coming).await;
            if message["id"] == id && message.get("method").is_none() {
                return message;
            }
            if message["method"] != "elicitation/create" {
                assert!(message.get("id").is_none(), "nothing else is asked of a client: {message}");
                continue;
            }
            assert!(!self.is_modern(), "a client of the era of rounds got a request: {message}");
            let reply = json!({"jsonrpc": "2.0", "id": message["id"], "result": person(&message["params"])});
            self.notify(&reply).await;
        }
    }

    /// Sends what is not answered.
    async fn notify(&mut self, message: &Value) {
        let coming = self.send(message, None).await;
        if let Some(coming) = coming {
            assert_eq!(coming.response.status(), 202, "{message}");
        }
    }

    async fn send(&mut self, message: &Value, of: Option<(&str, Option<&str>)>) -> Option<Coming> {
        let is_modern = self.is_modern();
        let (address, session) = match &mut self.line {
            Line::Stdio(stdio) => {
                stdio.send(message);
                return None;
            }
            Line::Http { address, session } => (*address, session),
        };
        let stream = TcpStream::connect(address).await.expect("it listens");
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection);
        let mut request = Request::post("/mcp")
            .header("host", address.to_string())
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if is_modern || session.is_some() {
            request = request.header("mcp-protocol-version", self.era);
        }
        if let Some(session) = session.as_ref() {
            request = request.header("mcp-session-id", session);
        }
        if let (true, Some((method, name))) = (is_modern, of) {
            request = request.header("mcp-method", method);
            if let Some(name) = name {
                request = request.header("mcp-name", name);
            }
        }
        let request = request.body(Full::new(Bytes::from(message.to_string()))).expect("a request");
        let response = sender.send_request(request).await.expect("an answer");
        let given = response.headers().get("mcp-session-id").and_then(|id| id.to_str().ok());
        if let Some(given) = given {
            *session = Some(given.to_owned());
        }
        Some(Coming { response, buffer: vec![], messages: VecDeque::new() })
    }

    async fn next(&mut self, coming: &mut Option<Coming>) -> Value {
        match (&mut self.line, coming) {
            (Line::Stdio(stdio), _) => tokio::task::block_in_place(|| stdio.receive_any()),
            (Line::Http { .. }, Some(coming)) => {
                tokio::time::timeout(LIMIT * BUSY, coming.next()).await.expect("a message in time")
            }
            (Line::Http { .. }, None) => unreachable!("an answer comes with its request"),
        }
    }
}

/// An answer of HTTP while it comes.
struct Coming {
    response: Response<Incoming>,
    buffer: Vec<u8>,
    messages: VecDeque<Value>,
}

impl Coming {
    /// The next message, of events or of the whole body.
    async fn next(&mut self) -> Value {
        loop {
            if let Some(message) = self.messages.pop_front() {
                return message;
            }
            let is_over = match self.response.body_mut().frame().await {
                Some(frame) => {
                    let data = frame.expect("no break within").into_data().unwrap_or_default();
                    self.buffer.extend_from_slice(&data);
                    false
                }
                None => true,
            };
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                self.take(&line);
            }
            if is_over {
                let rest = std::mem::take(&mut self.buffer);
                self.take(&rest);
                let status = self.response.status();
                assert!(
                    !self.messages.is_empty(),
                    "{status}: it ended with {}",
                    String::from_utf8_lossy(&rest)
                );
            }
        }
    }

    fn take(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let text = line.strip_prefix("data:").unwrap_or(&line).trim();
        self.messages.extend(serde_json::from_str::<Value>(text).ok().filter(Value::is_object));
    }
}
