//! Carrying a client to a service, and to the next one when that has ended: the client keeps its session.

use super::client::ask;
use super::{ControlError, Request, existing};
use crate::domain::toolset::Offer;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, Split, Stdin, Stdout,
};

/// What ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The client's input.
    Client,
    /// The service.
    Service,
}

/// A client that services come and go behind.
pub struct Carried<I, O> {
    input: Split<BufReader<I>>,
    output: O,
    talk: Mutex<Talk>,
}

impl Carried<Stdin, Stdout> {
    /// The client on standard input and output.
    pub fn on_stdio() -> Self {
        Self::new(tokio::io::stdin(), tokio::io::stdout())
    }
}

impl<I: AsyncRead + Unpin, O: AsyncWrite + Unpin> Carried<I, O> {
    fn new(input: I, output: O) -> Self {
        Self { input: BufReader::new(input).split(b'\n'), output, talk: Mutex::default() }
    }

    /// Carries the client to the service at `socket` until one of both ends. What it had asked a service that has
    /// ended is answered with an error by then.
    pub async fn to(
        &mut self,
        socket: &Path,
        files: &[PathBuf],
        offer: &Offer,
    ) -> Result<Ended, ControlError> {
        let request = Request::Mcp { files: existing(files), offer: offer.clone() };
        let (from_service, to_service) = ask(socket, &request).await?;
        let ended = self.between(from_service, to_service).await;
        // A client that has ended its input may still wait for answers.
        let unanswered = lock(&self.talk).service_ended();
        for answer in unanswered {
            // A client that no longer reads is found out by its input.
            let _ = put(&mut self.output, &answer).await;
        }
        Ok(ended)
    }

    async fn between(
        &mut self,
        from_service: impl AsyncRead + Unpin,
        mut to_service: impl AsyncWrite + Unpin,
    ) -> Ended {
        let Self { input, output, talk } = self;
        let inward = async {
            let greeting = lock(talk).greeting.clone();
            for line in greeting {
                put(&mut to_service, &line).await?;
            }
            while let Ok(Some(line)) = input.next_segment().await {
                lock(talk).client_says(&line);
                put(&mut to_service, &line).await?;
            }
            to_service.shutdown().await
        };
        let outward = async {
            let mut from_service = BufReader::new(from_service).split(b'\n');
            while let Ok(Some(line)) = from_service.next_segment().await {
                if lock(talk).service_says(&line) && put(output, &line).await.is_err() {
                    break;
                }
            }
        };
        tokio::pin!(inward, outward);
        tokio::select! {
            ended = &mut inward => {
                // What the service still has to say comes all the same.
                outward.await;
                if ended.is_ok() { Ended::Client } else { Ended::Service }
            }
            () = &mut outward => Ended::Service,
        }
    }
}

fn lock(talk: &Mutex<Talk>) -> MutexGuard<'_, Talk> {
    talk.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn put(to: &mut (impl AsyncWrite + Unpin), line: &[u8]) -> io::Result<()> {
    to.write_all(&[line, b"\n"].concat()).await?;
    to.flush().await
}

/// What a client and its services have said that the next service has to know.
#[derive(Debug, Default)]
struct Talk {
    /// The client's greeting, which the next service is told first: the request, and what the client says once
    /// that was answered.
    greeting: Vec<Vec<u8>>,
    /// What is not answered yet, by identifier; the greeting too.
    waiting: BTreeMap<String, Value>,
}

/// What of a message counts here.
#[derive(Deserialize)]
struct Message {
    id: Option<Value>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
}

impl Talk {
    fn client_says(&mut self, line: &[u8]) {
        let Ok(Message { id, method: Some(method), params }) = serde_json::from_slice(line) else { return };
        match method.as_str() {
            "initialize" => self.greeting = vec![line.to_owned()],
            "notifications/initialized" if self.greeting.len() == 1 => self.greeting.push(line.to_owned()),
            // Nobody answers it, and nobody waits for it.
            "notifications/cancelled" => drop(self.waiting.remove(&params["requestId"].to_string())),
            _ => {}
        }
        if let Some(id) = id {
            self.waiting.insert(id.to_string(), id);
        }
    }

    /// Whether it is for the client: not what it did not ask for, as a greeting that was repeated, nor what is no
    /// message.
    fn service_says(&mut self, line: &[u8]) -> bool {
        match serde_json::from_slice(line) {
            Ok(Message { id: Some(id), method: None, .. }) => self.waiting.remove(&id.to_string()).is_some(),
            Ok(_) => true,
            // The rest of a line that a service had no time to end.
            Err(_) => false,
        }
    }

    /// What the client is told of what it waits for. Its greeting is the next service's to answer.
    fn service_ended(&mut self) -> Vec<Vec<u8>> {
        let greeting = self.greeting.first().and_then(|line| serde_json::from_slice::<Message>(line).ok());
        let greeting = greeting.and_then(|greeting| greeting.id).map(|id| id.to_string());
        let unanswered = std::mem::take(&mut self.waiting);
        let (greeting, lost): (BTreeMap<_, _>, _) =
            unanswered.into_iter().partition(|(id, _)| Some(id) == greeting.as_ref());
        self.waiting = greeting;
        let words = "the Dockmaster that this was asked of has ended before it answered. A change that it had begun is on \
                     record and goes on: job_list shows it. Anything else can be asked again.";
        let error = json!({"code": -32603, "message": words});
        let answer = |id| json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string().into_bytes();
        lost.into_values().map(answer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(value: &Value) -> Vec<u8> {
        value.to_string().into_bytes()
    }

    #[test]
    fn the_next_service_is_greeted_and_what_the_last_left_open_is_told() {
        let mut talk = Talk::default();
        let initialize = said(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize"}));
        let initialized = said(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        talk.client_says(&initialize);
        assert_eq!(talk.service_ended(), [[0_u8; 0]; 0], "the next service answers the greeting");
        let greeted = said(&json!({"jsonrpc": "2.0", "id": 0, "result": {}}));
        assert!(talk.service_says(&greeted));
        talk.client_says(&initialized);
        for id in [json!(1), json!("1")] {
            talk.client_says(&said(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call"})));
        }
        assert!(talk.service_says(&said(&json!({"jsonrpc": "2.0", "method": "notifications/message"}))));
        assert!(
            talk.service_says(&said(&json!({"jsonrpc": "2.0", "id": 5, "method": "elicitation/create"})))
        );
        assert!(talk.service_says(&said(&json!({"jsonrpc": "2.0", "id": null, "error": {}}))));
        talk.client_says(&said(&json!({"jsonrpc": "2.0", "id": 5, "result": {}})));
        assert!(talk.service_says(&said(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}))));
        let told: Vec<Value> =
            talk.service_ended().iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
        assert_eq!((told.len(), &told[0]["id"], &told[0]["error"]["code"]), (1, &json!("1"), &json!(-32603)));
        talk.client_says(&said(&json!({"jsonrpc": "2.0", "id": 9, "method": "tools/call"})));
        let cancelled =
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}});
        talk.client_says(&said(&cancelled));
        assert_eq!(talk.service_ended(), [[0_u8; 0]; 0], "nobody waits for it");
        assert!(!talk.service_says(br#"{"jsonrpc": "2.0", "id": 1, "resu"#), "the rest did not come");
        assert_eq!(talk.greeting, [initialize, initialized]);
        assert!(!talk.service_says(&greeted), "to the client it is no news");
        assert_eq!(talk.service_ended(), [[0_u8; 0]; 0], "it is told once");
    }
}
