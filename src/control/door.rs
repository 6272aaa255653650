//! The service's side: who comes to the door, and what they are given.

use super::{Reply, Request, existing, first_line};
use crate::actors::changes::ChangeDesk;
use crate::actors::mcp::{Listener, McpHandle};
use crate::domain::change::{Asker, OWNER};
use crate::journal::JournalError;
use crate::mcp::{Registry, serve_peer};
use crate::runtime::sockets::PrivateSocket;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::sleep;

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
        let asker = Asker { principal: OWNER.to_owned(), client: "dockmaster ops".to_owned() };
        let (reply, speaks) = match serde_json::from_str(&line) {
            Ok(Request::Mcp { files }) if files == existing(&self.files) => (Reply::Open, true),
            Ok(Request::Mcp { .. }) => (
                refused(
                    "it takes its hosts from other files; set DOCKMASTER_DATA_DIR to another place to run beside it",
                ),
                false,
            ),
            Ok(Request::Cancel { operation, give_up }) => {
                let done = if give_up {
                    self.changes.give_up(operation, &asker).await
                } else {
                    self.changes.cancel(operation, &asker).await
                };
                (told(done), false)
            }
            Ok(Request::Resume { operation }) => (told(self.changes.resume(operation, &asker).await), false),
            Err(error) => (refused(&format!("it does not understand the request ({error})")), false),
        };
        let mut line = serde_json::to_string(&reply).map_err(io::Error::other)?;
        line.push('\n');
        writing.write_all(line.as_bytes()).await?;
        if speaks {
            let _guest = self.guests.enter();
            serve_peer(self.registry.clone(), self.front.clone(), reading, writing).await?;
        }
        Ok(())
    }
}

fn told(outcome: Result<(), JournalError>) -> Reply {
    outcome.map_or_else(|error| refused(&error.to_string()), |()| Reply::Done)
}

fn refused(why: &str) -> Reply {
    Reply::Refused { why: why.to_owned() }
}
