//! Floor 5: the service's own door, a socket for processes of the same user: assistants that start a second
//! `stdio` are carried to the service that keeps the journal, and the command line asks it.
//!
//! The first line of a connection is a [`Request`], the first line back a [`Reply`]; after [`Reply::Open`] the
//! rest is the Model Context Protocol, a message a line.

use crate::actors::changes::ChangeDesk;
use crate::actors::mcp::{Listener, McpHandle};
use crate::domain::change::{Asker, OWNER};
use crate::domain::operation::OperationId;
use crate::journal::JournalError;
use crate::mcp::{Registry, serve_peer};
use crate::runtime::sockets::PrivateSocket;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// Whoever connects says at once what they want.
const FIRST_LINE_LIMIT: Duration = Duration::from_secs(5);

/// A service that starts opens its door within this time; it is tried so often.
const OPENS_WITHIN: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// A request is a few names long.
const LONGEST_REQUEST: u64 = 64 * 1024;

/// What a process may want of the service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// To speak the protocol, for a client whose hosts stand in these files.
    Mcp {
        /// Every file that is read, the weakest first.
        files: Vec<PathBuf>,
    },
    /// The end of an operation.
    Cancel {
        /// Which.
        operation: OperationId,
        /// Whether it is to be left as it is.
        give_up: bool,
    },
    /// Another look at an operation that ended in doubt.
    Resume {
        /// Which.
        operation: OperationId,
    },
}

impl Request {
    /// The word it goes by in the audit.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Mcp { .. } => "mcp",
            Self::Cancel { give_up: true, .. } => "job_give_up",
            Self::Cancel { .. } => "job_cancel",
            Self::Resume { .. } => "job_resume",
        }
    }

    /// The operation it is about.
    pub fn operation(&self) -> Option<OperationId> {
        match self {
            Self::Mcp { .. } => None,
            Self::Cancel { operation, .. } | Self::Resume { operation } => Some(*operation),
        }
    }
}

/// What the service says to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Speak.
    Open,
    /// It is done, or under way.
    Done,
    /// It is not.
    Refused {
        /// Why.
        why: String,
    },
}

/// Why the service was not asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It cannot be reached.
    #[error("the Dockmaster that keeps the journal cannot be reached at {}: {source}", socket.display())]
    Unreachable {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It says no.
    #[error("{0}")]
    Refused(String),
}

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
                        sleep(ASK_AGAIN).await;
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

/// Those that are there: in which directory somebody stands is of no interest where no file lies.
fn existing(files: &[PathBuf]) -> Vec<PathBuf> {
    files.iter().filter(|file| file.exists()).cloned().collect()
}

fn told(outcome: Result<(), JournalError>) -> Reply {
    outcome.map_or_else(|error| refused(&error.to_string()), |()| Reply::Done)
}

fn refused(why: &str) -> Reply {
    Reply::Refused { why: why.to_owned() }
}

async fn first_line(from: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut line = String::new();
    let mut bounded = from.take(LONGEST_REQUEST);
    let read = timeout(FIRST_LINE_LIMIT, bounded.read_line(&mut line)).await;
    if read.map_err(|_| io::ErrorKind::TimedOut)?? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line)
}

type Halves = (BufReader<tokio::net::unix::OwnedReadHalf>, tokio::net::unix::OwnedWriteHalf);

/// Asks the service at `socket`; returns the connection for what may follow.
pub async fn ask(socket: &Path, request: &Request) -> Result<Halves, ControlError> {
    let asked = async {
        let (reading, mut writing) = connect(socket).await?.into_split();
        let mut line = serde_json::to_string(request).map_err(io::Error::other)?;
        line.push('\n');
        writing.write_all(line.as_bytes()).await?;
        let mut reading = BufReader::new(reading);
        let reply: Reply =
            serde_json::from_str(&first_line(&mut reading).await?).map_err(io::Error::other)?;
        Ok((reply, reading, writing))
    };
    match asked.await {
        Ok((Reply::Refused { why }, ..)) => Err(ControlError::Refused(why)),
        Ok((Reply::Open | Reply::Done, reading, writing)) => Ok((reading, writing)),
        Err(source) => Err(ControlError::Unreachable { socket: socket.to_owned(), source }),
    }
}

/// A service that has just started has not opened its door yet.
async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let until = Instant::now() + OPENS_WITHIN;
    loop {
        match UnixStream::connect(socket).await {
            Err(error)
                if Instant::now() < until
                    && matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                sleep(ASK_AGAIN).await;
            }
            connected => return connected,
        }
    }
}

/// Carries a client on standard input and output to the service at `socket`, until one of both ends. `true`
/// when it was the client.
pub async fn carry(socket: &Path, files: &[PathBuf]) -> Result<bool, ControlError> {
    let request = Request::Mcp { files: existing(files) };
    let (mut from_service, mut to_service) = ask(socket, &request).await?;
    let inward = async {
        let carried = copy(&mut tokio::io::stdin(), &mut to_service).await;
        // What the service still has to say comes all the same.
        let ended = to_service.shutdown().await;
        carried.and(ended)
    };
    let mut output = tokio::io::stdout();
    let outward = copy(&mut from_service, &mut output);
    tokio::pin!(inward, outward);
    Ok(tokio::select! {
        _ = &mut inward => {
            let _ = outward.await;
            true
        }
        _ = &mut outward => false,
    })
}
