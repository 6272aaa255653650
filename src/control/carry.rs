//! Carrying a client to a service, and to the next one when that has ended: the client keeps its session.

use super::client::ask;
use super::{ControlError, Request, existing};
use crate::domain::toolset::Offer;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
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
    /// ended is answered with an error by then, and what that had asked is taken back.
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
        let last_words = lock(&self.talk).service_ended();
        for line in last_words {
            // A client that no longer reads is found out by its input.
            let _ = put(&mut self.output, &line).await;
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
                let told = lock(talk).client_says(&line);
                if let Some(told) = told {
                    put(&mut to_service, &told).await?;
                }
            }
            to_service.shutdown().await
        };
        let outward = async {
            let mut from_service = BufReader::new(from_service).split(b'\n');
            while let Ok(Some(line)) = from_service.next_segment().await {
                let told = lock(talk).service_says(&line);
                if let Some(told) = told
                    && put(output, &told).await.is_err()
                {
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
    /// What the service has asked and the client has not answered yet: the service's identifier by the number that
    /// the client knows it by. Each service counts from the beginning; these numbers go on.
    asked: BTreeMap<u64, Value>,
    /// What services have asked so far.
    questions: u64,
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
    /// What the service is told: nothing of an answer to what it did not ask.
    fn client_says<'a>(&mut self, line: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let Ok(message) = serde_json::from_slice(line) else { return Some(line.into()) };
        match message {
            Message { id, method: Some(method), params } => {
                match method.as_str() {
                    "initialize" => self.greeting = vec![line.to_owned()],
                    "notifications/initialized" if self.greeting.len() == 1 => {
                        self.greeting.push(line.to_owned());
                    }
                    // Nobody answers it, and nobody waits for it.
                    "notifications/cancelled" => drop(self.waiting.remove(&params["requestId"].to_string())),
                    _ => {}
                }
                if let Some(id) = id {
                    self.waiting.insert(id.to_string(), id);
                }
                Some(line.into())
            }
            Message { id: Some(id), method: None, .. } => {
                let asked = self.asked.remove(&id.as_u64()?)?;
                with(line, "/id", asked)
            }
            Message { id: None, method: None, .. } => Some(line.into()),
        }
    }

    /// What the client is told: nothing of what it did not ask for, as a greeting that was repeated, nor of what is
    /// no message.
    fn service_says<'a>(&mut self, line: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        // No message is the rest of a line that a service had no time to end.
        let Message { id, method, params } = serde_json::from_slice(line).ok()?;
        match (id, method.as_deref()) {
            (Some(id), None) => self.waiting.remove(&id.to_string()).map(|_| line.into()),
            (Some(id), Some(_)) => {
                self.questions += 1;
                self.asked.insert(self.questions, id);
                with(line, "/id", self.questions.into())
            }
            (None, Some("notifications/cancelled")) => {
                let mut asked = self.asked.iter();
                let Some((&question, _)) = asked.find(|(_, id)| **id == params["requestId"]) else {
                    return Some(line.into());
                };
                self.asked.remove(&question);
                with(line, "/params/requestId", question.into())
            }
            (None, _) => Some(line.into()),
        }
    }

    /// What the client is told of what it waits for, and of what it was asked. Its greeting is the next service's to
    /// answer.
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
        let reason = "the Dockmaster that asked this has ended";
        let cancel = |question| {
            let params = json!({"requestId": question, "reason": reason});
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
                .to_string()
                .into_bytes()
        };
        let taken_back = std::mem::take(&mut self.asked).into_keys().map(cancel);
        taken_back.chain(lost.into_values().map(answer)).collect()
    }
}

/// A message with another identifier at this place.
fn with(line: &[u8], place: &str, identifier: Value) -> Option<Cow<'static, [u8]>> {
    let mut message: Value = serde_json::from_slice(line).ok()?;
    *message.pointer_mut(place)? = identifier;
    Some(message.to_string().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, duplex, split};

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
        assert_eq!(talk.service_says(&greeted), Some(Cow::from(&greeted)));
        talk.client_says(&initialized);
        for id in [json!(1), json!("1")] {
            talk.client_says(&said(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call"})));
        }
        for told in [
            json!({"jsonrpc": "2.0", "method": "notifications/message"}),
            json!({"jsonrpc": "2.0", "id": null, "error": {}}),
            json!({"jsonrpc": "2.0", "id": 1, "result": {}}),
        ] {
            assert_eq!(talk.service_says(&said(&told)), Some(Cow::from(said(&told))));
        }
        let told: Vec<Value> =
            talk.service_ended().iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
        assert_eq!((told.len(), &told[0]["id"], &told[0]["error"]["code"]), (1, &json!("1"), &json!(-32603)));
        talk.client_says(&said(&json!({"jsonrpc": "2.0", "id": 9, "method": "tools/call"})));
        let cancelled =
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}});
        talk.client_says(&said(&cancelled));
        assert_eq!(talk.service_ended(), [[0_u8; 0]; 0], "nobody waits for it");
        assert_eq!(talk.service_says(br#"{"jsonrpc": "2.0", "id": 1, "resu"#), None, "the rest did not come");
        assert_eq!(talk.greeting, [initialize, initialized]);
        assert_eq!(talk.service_says(&greeted), None, "to the client it is no news");
        assert_eq!(talk.service_ended(), [[0_u8; 0]; 0], "it is told once");
    }

    /// The next line of a stream, as what it says.
    async fn heard(stream: &mut (impl AsyncRead + Unpin)) -> Value {
        let mut line = vec![];
        while line.last() != Some(&b'\n') {
            let byte = stream.read_u8().await.unwrap();
            line.push(byte);
        }
        serde_json::from_slice(&line).unwrap()
    }

    #[tokio::test]
    async fn an_answer_is_for_the_service_that_asked_and_for_no_other() {
        let (mut to_us, input) = duplex(4096);
        let (output, mut from_us) = duplex(4096);
        let mut carried = Carried::new(input, output);
        let question = json!({"jsonrpc": "2.0", "id": 0, "method": "elicitation/create"});
        let answer = |id: &Value| json!({"jsonrpc": "2.0", "id": id, "result": {"action": "accept"}});

        let (mut first, ours) = duplex(4096);
        let (from_first, to_first) = split(ours);
        let client = async {
            let mut asked = vec![];
            // The first is answered, the second taken back by the service itself, the third left open.
            for id in 0..3 {
                let question = json!({"jsonrpc": "2.0", "id": id, "method": "elicitation/create"});
                put(&mut first, &said(&question)).await.unwrap();
                asked.push(heard(&mut from_us).await["id"].clone());
            }
            put(&mut to_us, &said(&answer(&asked[0]))).await.unwrap();
            assert_eq!(heard(&mut first).await, answer(&json!(0)), "the service knows it by its own number");
            let taken_back = |id: &Value| json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
            put(&mut first, &said(&taken_back(&json!(1)))).await.unwrap();
            assert_eq!(heard(&mut from_us).await, taken_back(&asked[1]));
            drop(first);
            asked
        };
        let (ended, asked) = tokio::join!(carried.between(from_first, to_first), client);
        assert_eq!(ended, Ended::Service);
        let told = lock(&carried.talk).service_ended();
        let told: Vec<Value> = told.iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0]["method"], "notifications/cancelled");
        assert_eq!(told[0]["params"]["requestId"], asked[2]);

        let (mut second, ours) = duplex(4096);
        let (from_second, to_second) = split(ours);
        let client = async move {
            put(&mut second, &said(&question)).await.unwrap();
            let again = heard(&mut from_us).await["id"].clone();
            assert!(!asked.contains(&again), "{again} was asked before");
            for old in &asked {
                put(&mut to_us, &said(&answer(old))).await.unwrap();
            }
            put(&mut to_us, &said(&answer(&again))).await.unwrap();
            assert_eq!(heard(&mut second).await, answer(&json!(0)));
            drop(to_us);
            let mut more = vec![];
            second.read_to_end(&mut more).await.unwrap();
            assert_eq!(String::from_utf8_lossy(&more), "", "one answer for one question");
        };
        let (ended, ()) = tokio::join!(carried.between(from_second, to_second), client);
        assert_eq!(ended, Ended::Client);
        assert_eq!(lock(&carried.talk).service_ended(), [[0_u8; 0]; 0]);
    }
}
