//! The service's side: who comes to the door, and what they are given.

use super::{Answer, Reply, Request, existing, first_line};
use crate::actors::changes::ChangeDesk;
use crate::actors::mcp::{Listener, McpHandle};
use crate::domain::change::{Asker, OWNER};
use crate::journal::JournalError;
use crate::mcp::{Caller, Registry, Response, serve_peer};
use crate::runtime::sockets::PrivateSocket;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use serde_json::{Map, Value};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::watch;
use tokio::time::sleep;

/// What a client is told whose hosts stand in other files than the service's.
const ELSEWHERE: &str =
    "it takes its hosts from other files; set DOCKMASTER_DATA_DIR to another place to run beside it";

/// A socket that takes no connection is tried again after this long.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// How many clients are carried by other processes.
#[derive(Debug, Clone)]
pub struct Guests(Arc<watch::Sender<usize>>);

impl Default for Guests {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Guests {
    fn enter(&self) -> Guest {
        self.0.send_modify(|count| *count += 1);
        Guest(self.clone())
    }

    /// Waits until the last has left.
    pub async fn gone(&self) {
        // The sender lives as long as this.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// One of them, until it is dropped.
struct Guest(Guests);

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

/// The door.
#[derive(Clone)]
pub struct Door {
    /// Where it is.
    pub path: PathBuf,
    /// The tools.
    pub registry: Registry,
    /// Who runs their calls.
    pub front: McpHandle,
    /// What is done to hosts on the record.
    pub changes: ChangeDesk,
    /// The files that this service's hosts stand in.
    pub files: Vec<PathBuf>,
    /// Who is carried here.
    pub guests: Guests,
}

impl Door {
    /// The door as a listener of the front's actor.
    pub fn listener(self) -> Listener {
        let door = Arc::new(self);
        Listener {
            name: "control",
            serve: Arc::new(move || {
                let door = Arc::clone(&door);
                Box::pin(async move {
                    let socket = PrivateSocket::open(&door.path).map_err(io::Error::other)?;
                    door.open(&socket).await;
                })
            }),
        }
    }

    async fn open(&self, socket: &PrivateSocket) -> ! {
        let mut visits = FuturesUnordered::new();
        loop {
            tokio::select! {
                stream = socket.accept() => match stream {
                    Ok(stream) => visits.push(self.visit(stream)),
                    // Out of file descriptors, most likely: some may be free in a moment, and those who are
                    // carried are not to suffer for it.
                    Err(error) => {
                        tracing::warn!(%error, "the service's socket takes no connection");
                        sleep(ACCEPT_AGAIN).await;
                    }
                },
                Some(visited) = visits.next(), if !visits.is_empty() => {
                    let visited: io::Result<()> = visited;
                    if let Err(error) = visited {
                        tracing::debug!(%error, "a visit to the service's socket broke off");
                    }
                }
            }
        }
    }

    async fn visit(&self, stream: UnixStream) -> io::Result<()> {
        // The directory keeps others out already.
        if stream.peer_cred()?.uid() != rustix::process::getuid().as_raw() {
            return Ok(());
        }
        let (reading, mut writing) = stream.into_split();
        let mut reading = BufReader::new(reading);
        let line = first_line(&mut reading).await?;
        let (reply, then) = match serde_json::from_str(&line) {
            Ok(request) => self.take(request).await,
            Err(error) => (refused(&format!("it does not understand the request ({error})")), Then::Nothing),
        };
        put(&mut writing, &reply).await?;
        match then {
            Then::Nothing => Ok(()),
            Then::Speak(registry) => {
                let _guest = self.guests.enter();
                serve_peer(*registry, self.front.clone(), reading, writing).await
            }
            Then::Call(tool, arguments, response) => {
                let registry = self.registry.clone();
                let call = async move {
                    let caller = Caller::at_the_command_line(person("dockmaster tool"), response);
                    registry.call_by_name(&tool, arguments, caller).await
                };
                let called = tokio::select! {
                    called = self.front.run("tool", call) => called,
                    // Whoever asked has left: dropping the run cancels it.
                    _ = reading.read_u8() => return Ok(()),
                };
                let answer = called.unwrap_or_else(|cut_off| Err(format!("internal: {cut_off}")));
                put(&mut writing, &Answer::from(answer)).await
            }
        }
    }

    /// What is done at once, and what comes after the reply.
    async fn take(&self, request: Request) -> (Reply, Then) {
        let asker = person("dockmaster ops");
        match request {
            Request::Greet => (Reply::Done, Then::Nothing),
            Request::Mcp { files, offer } if files == existing(&self.files) => {
                match self.registry.narrowed(&offer) {
                    Ok(registry) => (Reply::Open, Then::Speak(Box::new(registry))),
                    Err(error) => (refused(&error.to_string()), Then::Nothing),
                }
            }
            Request::Call { files, tool, arguments, response } if files == existing(&self.files) => {
                (Reply::Open, Then::Call(tool, arguments, response))
            }
            Request::Mcp { .. } | Request::Call { .. } => (refused(ELSEWHERE), Then::Nothing),
            Request::Cancel { operation, give_up } => {
                let done = if give_up {
                    self.changes.give_up(operation, &asker).await
                } else {
                    self.changes.cancel(operation, &asker).await
                };
                (told(done), Then::Nothing)
            }
            Request::Resume { operation } => {
                (told(self.changes.resume(operation, &asker).await), Then::Nothing)
            }
        }
    }
}

/// What comes after the reply.
enum Then {
    Nothing,
    /// The Model Context Protocol, with these tools.
    Speak(Box<Registry>),
    /// The answer of a tool.
    Call(String, Map<String, Value>, Option<Response>),
}

/// A person at the command line.
fn person(client: &str) -> Asker {
    Asker { principal: OWNER.to_owned(), client: client.to_owned() }
}

async fn put(to: &mut OwnedWriteHalf, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_string(message).map_err(io::Error::other)?;
    line.push('\n');
    to.write_all(line.as_bytes()).await
}

fn told(outcome: Result<(), JournalError>) -> Reply {
    outcome.map_or_else(|error| refused(&error.to_string()), |()| Reply::Done)
}

fn refused(why: &str) -> Reply {
    Reply::Refused { why: why.to_owned() }
}
