//! The front's actor: requests in flight, and the listeners they come from.
//!
//! * owns: the table of requests in flight, one task per request, one per listener
//! * waits on: nothing
//! * when it dies: requests in flight end with an error and listeners are opened again by its
//!   successor; hosts and their links do not notice

use crate::actors::slot::Slot;
use crate::actors::supervision::{ChildSpec, StartChild};
use crate::actors::task::{self, Work};
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A listener that broke is opened again after this long.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// Requests that have not ended this long after the order to stop are cut off.
const DRAIN: Duration = Duration::from_secs(5);

/// Something that brings requests, such as an HTTP server.
#[derive(Clone)]
pub struct Listener {
    /// For the log.
    pub name: &'static str,
    /// Runs it; an end without an error is the end of its service.
    pub serve: Arc<dyn Fn() -> BoxFuture<'static, std::io::Result<()>> + Send + Sync>,
}

/// What is known about a request in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// What was called.
    pub tool: String,
    /// For how long it has been running.
    pub running_for: Duration,
}

/// The protocol of the front's actor.
#[derive(strum::IntoStaticStr, strum::VariantNames)]
pub enum McpMessage {
    /// `McpHandle::run`: do this piece of work.
    Run {
        /// Its number, unique in the process.
        request: u64,
        /// What was called.
        tool: String,
        /// Does it and hands the result to whoever asked.
        work: Work,
    },
    /// `McpHandle::run`, when its caller has gone: nobody waits for this any more.
    Cancel {
        /// The request's number.
        request: u64,
    },
    /// A timer of the actor's own, and its start: open this listener.
    Open(Listener),
    /// From a listener's task: it has ended.
    Closed {
        /// The listener.
        listener: Listener,
        /// Why, when it broke.
        error: Option<String>,
    },
}

/// A request that was cut off: its task crashed, or the service is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request was cut off; Dockmaster's log says why")]
pub struct CutOff;

/// The client side of the front's actor; reaches whichever incarnation lives.
#[derive(Clone, Default)]
pub struct McpHandle {
    actor: Slot<ActorRef<McpMessage>>,
    numbers: Arc<AtomicU64>,
    requests: Arc<Mutex<BTreeMap<u64, Row>>>,
}

struct Row {
    tool: String,
    since: Instant,
}

impl McpHandle {
    /// Runs `work` as a request of its own: a crash in it is its own, and dropping the returned
    /// future cancels it.
    pub async fn run<T: Send + 'static>(
        &self,
        tool: &str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, CutOff> {
        let request = self.numbers.fetch_add(1, Ordering::Relaxed);
        let _cancel = CancelOnDrop { handle: self, request };
        self.begin(request, tool, work).await
    }

    /// Runs `work` as a request of its own that goes on without its caller, because what it has begun is to be
    /// ended.
    pub async fn run_to_its_end<T: Send + 'static>(
        &self,
        tool: &str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, CutOff> {
        let request = self.numbers.fetch_add(1, Ordering::Relaxed);
        let handle = self.clone();
        let work = async move {
            let _row = RowOnDrop { handle: &handle, request };
            work.await
        };
        self.begin(request, tool, work).await
    }

    async fn begin<T: Send + 'static>(
        &self,
        request: u64,
        tool: &str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, CutOff> {
        self.rows().insert(request, Row { tool: tool.to_owned(), since: Instant::now() });
        let (done, result) = oneshot::channel();
        let work = Box::pin(async move {
            // Nobody waits any more when this fails.
            let _ = done.send(work.await);
        });
        self.actor.cast(McpMessage::Run { request, tool: tool.to_owned(), work });
        result.await.map_err(|_| CutOff)
    }

    /// The requests in flight, the oldest first; never waits for anybody.
    pub fn in_flight(&self) -> Vec<InFlight> {
        let rows = self.rows();
        rows.values()
            .map(|row| InFlight { tool: row.tool.clone(), running_for: row.since.elapsed() })
            .collect()
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<u64, Row>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Strikes the row of a request that has ended.
struct RowOnDrop<'a> {
    handle: &'a McpHandle,
    request: u64,
}

impl Drop for RowOnDrop<'_> {
    fn drop(&mut self) {
        self.handle.rows().remove(&self.request);
    }
}

/// Cancels a request whose caller went away; a request that has ended does not mind.
struct CancelOnDrop<'a> {
    handle: &'a McpHandle,
    request: u64,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.handle.rows().remove(&self.request);
        self.handle.actor.cast(McpMessage::Cancel { request: self.request });
    }
}

/// The child specification of the front's actor.
pub fn mcp_spec(listeners: Vec<Listener>, handle: McpHandle) -> ChildSpec {
    let start: StartChild = Arc::new(move |supervisor, _| {
        let (listeners, handle) = (listeners.clone(), handle.clone());
        Box::pin(async move {
            let (actor, _) = Actor::spawn_linked(None, McpActor, listeners, supervisor).await?;
            handle.actor.put(actor.clone());
            Ok(actor.get_cell())
        })
    });
    ChildSpec::of_the_service("mcp", DRAIN + Duration::from_secs(1), start)
}

struct McpActor;

#[derive(Default)]
struct McpState {
    requests: HashMap<u64, Request>,
    listeners: HashMap<ActorId, (ActorCell, Listener)>,
}

struct Request {
    tool: String,
    task: ActorCell,
}

impl Actor for McpActor {
    type Msg = McpMessage;
    type State = McpState;
    type Arguments = Vec<Listener>;

    async fn pre_start(
        &self,
        myself: ActorRef<McpMessage>,
        listeners: Vec<Listener>,
    ) -> Result<McpState, ActorProcessingErr> {
        for listener in listeners {
            myself.cast(McpMessage::Open(listener))?;
        }
        Ok(McpState::default())
    }

    async fn handle(
        &self,
        myself: ActorRef<McpMessage>,
        message: McpMessage,
        state: &mut McpState,
    ) -> Result<(), ActorProcessingErr> {
        #[cfg(test)]
        crate::actors::trip::over(&message);
        match message {
            McpMessage::Run { request, tool, work } => {
                let task = task::spawn(myself.get_cell(), work).await?;
                state.requests.insert(request, Request { tool, task });
            }
            McpMessage::Cancel { request } => {
                if let Some(request) = state.requests.remove(&request) {
                    request.task.kill();
                }
            }
            McpMessage::Open(listener) => {
                let (me, serve) = (myself.clone(), listener.clone());
                let work = async move {
                    let error = (serve.serve)().await.err().map(|error| error.to_string());
                    let _ = me.cast(McpMessage::Closed { listener: serve, error });
                };
                let task = task::spawn(myself.get_cell(), work).await?;
                state.listeners.insert(task.get_id(), (task, listener));
            }
            McpMessage::Closed { listener, error } => {
                if let Some(error) = error {
                    tracing::error!(listener = listener.name, error, "listener broke, opening it again");
                    myself.send_after(REOPEN_AFTER, move || McpMessage::Open(listener));
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<McpMessage>,
        event: SupervisionEvent,
        state: &mut McpState,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, error) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell, Some(error.to_string())),
            SupervisionEvent::ActorTerminated(cell, ..) => (cell, None),
            _ => return Ok(()),
        };
        if let Some((_, listener)) = state.listeners.remove(&cell.get_id()) {
            if error.is_some() {
                myself.cast(McpMessage::Closed { listener, error })?;
            }
            return Ok(());
        }
        let ended = state.requests.iter().find(|(_, request)| request.task.get_id() == cell.get_id());
        if let Some(number) = ended.map(|(number, _)| *number)
            && let (Some(request), Some(error)) = (state.requests.remove(&number), error)
        {
            tracing::error!(tool = request.tool, error, "request crashed");
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<McpMessage>,
        state: &mut McpState,
    ) -> Result<(), ActorProcessingErr> {
        for (listener, _) in state.listeners.values() {
            listener.kill();
        }
        let until = Instant::now() + DRAIN;
        for request in state.requests.values() {
            let left = until.saturating_duration_since(Instant::now());
            if request.task.wait(Some(left)).await.is_err() {
                tracing::warn!(tool = request.tool, "request cut off by the shutdown");
                request.task.kill();
            }
        }
        Ok(())
    }
}
