//! A host's local socket: the line for docker, compose, lazydocker and whatever else speaks to an engine.
//!
//! * owns: the socket's file and its lock, the task that accepts, one task per connection
//! * waits on: nothing; connections wait for the host's line, bounded
//! * when it dies: its connections die with it; the next incarnation opens the socket anew
//!
//! It stays while lines come and go, and while the host's actor is restarted. It goes past the tools, so
//! it lets everything through only for a host that may be changed; one that the owner wants all the same
//! passes what only reads.

mod relay;

use crate::actors::directory::HostDirectory;
use crate::actors::supervision::{ChildSpec, Excess, Restart, StartChild};
use crate::actors::task;
use crate::domain::host::{HostId, HostSpec};
use crate::domain::policy::Policy;
use crate::domain::retry::BackoffPolicy;
use crate::runtime::restart_window::RestartIntensity;
use crate::runtime::sockets::{PrivateSocket, SocketError};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections of other tools to one host at once. ssh's own queue of waiting ones holds 128.
const CONNECTIONS: usize = 64;

/// A socket that another Dockmaster holds is asked for again this often: it may end.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Closing a socket takes no time.
const GRACE: Duration = Duration::from_secs(1);

/// What a socket's actor is told.
#[derive(strum::IntoStaticStr, strum::VariantNames)]
pub enum SocketMessage {
    /// Its own start, and a timer: open the socket.
    Open,
    /// From the accept task: somebody connected.
    Accepted {
        /// The connection.
        stream: UnixStream,
        /// Its place among the host's connections; `None` when there is none.
        place: Option<OwnedSemaphorePermit>,
    },
}

/// Whether a host gets a socket at all.
pub fn is_wanted(spec: &HostSpec) -> bool {
    spec.enabled && spec.local_socket.unwrap_or(spec.policy == Policy::ReadWrite)
}

/// The name of a socket's actor among the hosts: no host can be called so.
pub fn child_name(id: &HostId) -> String {
    format!("socket {id}")
}

/// Where the socket of a host lies, below the directory of sockets.
pub fn path_of(sockets: &Path, id: &HostId) -> PathBuf {
    sockets.join(format!("{id}.sock"))
}

/// The child specification of a host's socket in the directory `sockets`.
pub fn socket_spec(id: HostId, sockets: PathBuf, directory: HostDirectory) -> ChildSpec {
    let name = child_name(&id);
    let start: StartChild = Arc::new(move |supervisor, _| {
        let arguments = (id.clone(), sockets.clone(), directory.clone());
        Box::pin(async move {
            let (actor, _) = Actor::spawn_linked(None, SocketActor, arguments, supervisor).await?;
            Ok(actor.get_cell())
        })
    });
    ChildSpec {
        name,
        restart: Restart::Permanent,
        intensity: RestartIntensity { intensity: 3, period: Duration::from_secs(60) },
        excess: Excess::Quarantine { first: Duration::from_secs(300), longest: Duration::from_secs(3600) },
        backoff: BackoffPolicy::SERIES,
        grace: GRACE,
        start,
    }
}

struct SocketActor;

struct SocketState {
    id: HostId,
    path: PathBuf,
    directory: HostDirectory,
    places: Arc<Semaphore>,
    /// Who holds the socket instead of us was told; it is not told every few seconds.
    told: bool,
}

impl Actor for SocketActor {
    type Msg = SocketMessage;
    type State = SocketState;
    type Arguments = (HostId, PathBuf, HostDirectory);

    async fn pre_start(
        &self,
        myself: ActorRef<SocketMessage>,
        (id, sockets, directory): (HostId, PathBuf, HostDirectory),
    ) -> Result<SocketState, ActorProcessingErr> {
        myself.cast(SocketMessage::Open)?;
        let path = path_of(&sockets, &id);
        Ok(SocketState { id, path, directory, places: Arc::new(Semaphore::new(CONNECTIONS)), told: false })
    }

    async fn handle(
        &self,
        myself: ActorRef<SocketMessage>,
        message: SocketMessage,
        state: &mut SocketState,
    ) -> Result<(), ActorProcessingErr> {
        #[cfg(test)]
        crate::actors::trip::over(&message);
        match message {
            SocketMessage::Open => match PrivateSocket::open(&state.path) {
                Ok(socket) => {
                    tracing::info!(host = %state.id, socket = %state.path.display(), "local socket open");
                    let accepting = accept(myself.clone(), socket, Arc::clone(&state.places));
                    task::spawn(myself.get_cell(), accepting).await?;
                }
                Err(error) => state.open_later(&myself, &error),
            },
            SocketMessage::Accepted { stream, place } => {
                // A host that leaves takes its socket along in a moment.
                if let Ok(host) = state.directory.host(state.id.as_str()) {
                    let serving = relay::serve(stream, host, state.directory.clone(), place);
                    task::spawn(myself.get_cell(), serving).await?;
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<SocketMessage>,
        event: SupervisionEvent,
        state: &mut SocketState,
    ) -> Result<(), ActorProcessingErr> {
        // A connection's panic is its own end. One of the task that accepts would leave a deaf socket,
        // but nothing in it can panic before it has told this actor.
        if let SupervisionEvent::ActorFailed(_, error) = event {
            tracing::error!(host = %state.id, %error, "a connection to the local socket panicked");
        }
        Ok(())
    }
}

impl SocketState {
    fn open_later(&mut self, myself: &ActorRef<SocketMessage>, error: &SocketError) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(host = %self.id, "{error}");
        }
        myself.send_after(ASK_AGAIN, || SocketMessage::Open);
    }
}

/// Hands every connection to the actor, for as long as that lives.
async fn accept(actor: ActorRef<SocketMessage>, socket: PrivateSocket, places: Arc<Semaphore>) {
    loop {
        match socket.accept().await {
            Ok(stream) => {
                let place = Arc::clone(&places).try_acquire_owned().ok();
                if actor.cast(SocketMessage::Accepted { stream, place }).is_err() {
                    return;
                }
            }
            // Out of file descriptors, most likely: some may be free in a moment.
            Err(error) => {
                tracing::warn!(%error, "the local socket takes no connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
