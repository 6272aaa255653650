//! An operation: one piece of work on one host, in an actor of its own below the host's.
//!
//! * owns: its ledger, which is what it holds and must let go
//! * ends: by its own return, its deadline, a cancellation, a panic, or with the host's actor
//! * lets go: in reverse order, over its own line while that lives; what is left goes to the Reaper

mod admission;
mod ledger;
mod perform;

pub use admission::{OperationStatus, Operations, Overloaded, Stage};
pub(super) use admission::{Pace, Place};
pub use ledger::{Holdings, Ledger};
pub use perform::Launch;
pub(super) use perform::{Outcome, Terms, launch};

use super::host::Session;
use super::reaper::ReaperHandle;
use crate::domain::fault::Fault;
use crate::domain::operation::{HostResource, OperationContext};
use crate::engine::Engine;
use crate::journal::record::Machine;
use crate::transport::files::create_file;
use crate::transport::{BoxFuture, ByteStream, Command, Link, Route, Sink};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_util::sync::CancellationToken;

/// Somebody wants the operation to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operation was cancelled")]
pub struct Cancelled;

/// What a piece of work is given: who it is, its line, its ledger. Clones are the same operation.
#[derive(Clone)]
pub struct Operation(Arc<Inner>);

struct Inner {
    context: Arc<OperationContext>,
    session: Arc<Session>,
    /// The line's, with every command marked as this operation's.
    link: Arc<dyn Link>,
    ledger: Arc<Ledger>,
    cancel: CancellationToken,
    reaper: ReaperHandle,
    /// How many names it has given out.
    names: AtomicU32,
}

impl Operation {
    fn new(
        context: Arc<OperationContext>,
        session: Arc<Session>,
        cancel: CancellationToken,
        reaper: ReaperHandle,
    ) -> Self {
        let machine = session.machine(&context.host);
        let ledger = Arc::new(Ledger::new(
            Arc::clone(&context),
            machine,
            reaper.journal().clone(),
            reaper.holdings().clone(),
        ));
        let link = ledger.mark().on(Arc::clone(session.engine.link()));
        let link = Arc::new(RecordedLink { link, ledger: Arc::clone(&ledger), reaper: reaper.clone() });
        Self(Arc::new(Inner { context, session, link, ledger, cancel, reaper, names: AtomicU32::new(0) }))
    }

    /// What is known about it.
    pub fn context(&self) -> &OperationContext {
        &self.0.context
    }

    /// The machine it works on.
    pub fn machine(&self) -> Machine {
        self.0.session.machine(&self.0.context.host)
    }

    /// The host's engine.
    pub fn engine(&self) -> &Engine {
        &self.0.session.engine
    }

    /// The host's link. A command whose end was not seen is ended with the operation.
    pub fn link(&self) -> &dyn Link {
        self.0.link.as_ref()
    }

    /// An error once somebody wants the operation to end: for the boundaries between the steps of a
    /// change. A read need not ask, it is dropped where it stands.
    pub fn checkpoint(&self) -> Result<(), Cancelled> {
        if self.0.cancel.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }

    /// Waits until somebody wants the operation to end.
    pub async fn cancelled(&self) {
        self.0.cancel.cancelled().await;
    }

    /// Tells that processes are about to start on the host otherwise than by a command of the link; returns what has to
    /// stand in their environment. They are ended with the operation unless they have ended before.
    pub async fn expect_processes(&self) -> String {
        self.0.ledger.before_command().await;
        self.0.ledger.mark().expect()
    }

    /// Those processes have ended.
    pub fn processes_ended(&self) {
        self.0.ledger.mark().ended();
    }

    /// Ends whatever the operation has started on the host, as far as the login may.
    pub async fn end_processes(&self) -> Result<(), Fault> {
        self.0.ledger.mark().find_and_end(self.0.session.engine.link().as_ref()).await
    }

    /// Enters something of this process that `close` gives back, however the operation ends. What
    /// was entered last is closed first.
    pub fn track(
        &self,
        name: impl Into<String>,
        close: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        self.0.ledger.enter_own(name.into(), Box::pin(close));
        self.after_entry();
    }

    /// Makes a file on the host, readable by the login user alone, that goes with the operation;
    /// returns its path.
    pub async fn temp_file(&self, contents: Vec<u8>) -> Result<String, Fault> {
        let path = format!("/tmp/{}", self.fresh_name());
        // Entered first: what was not made is not missed.
        self.hold(HostResource::File(path.clone())).await;
        create_file(self.link(), &path, contents).await?;
        Ok(path)
    }

    /// A name for a container on the host that goes with the operation.
    pub async fn helper_container(&self) -> String {
        let name = self.fresh_name();
        self.hold(HostResource::Container(name.clone())).await;
        name
    }

    fn fresh_name(&self) -> String {
        let number = self.0.names.fetch_add(1, Ordering::Relaxed);
        format!("dockmaster-{}-{number}", self.0.ledger.launch())
    }

    async fn hold(&self, resource: HostResource) {
        self.0.ledger.hold(resource).await;
        self.after_entry();
    }

    /// Work that outlives its own operation finds the ledger closed: then the Reaper sees to it.
    fn after_entry(&self) {
        if self.0.ledger.is_closed() {
            self.0.reaper.hand_over(&self.0.ledger);
        }
    }

    /// Lets go of what can be let go of over the operation's own line.
    async fn release(&self) {
        self.0.ledger.close();
        self.0.ledger.release(Some(self.engine())).await;
    }

    /// The end, however it came: what is still held is the Reaper's.
    fn abandon(&self) {
        self.0.ledger.close();
        if !self.0.ledger.is_empty() {
            self.0.reaper.hand_over(&self.0.ledger);
        }
    }
}

/// The operation's link: that there may be processes is on record before a command starts one.
struct RecordedLink {
    link: Arc<dyn Link>,
    ledger: Arc<Ledger>,
    reaper: ReaperHandle,
}

impl Link for RecordedLink {
    fn open_engine(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        self.link.open_engine()
    }

    fn stream<'a>(
        &'a self,
        command: &'a Command,
        sink: Sink<'a>,
    ) -> BoxFuture<'a, Result<Option<i32>, Fault>> {
        Box::pin(async move {
            self.ledger.before_command().await;
            // One that is started when its operation has ended is left to the Reaper.
            if self.ledger.is_closed() {
                self.reaper.hand_over(&self.ledger);
            }
            self.link.stream(command, sink).await
        })
    }

    fn suspect(&self) {
        self.link.suspect();
    }

    fn route(&self) -> &Route {
        self.link.route()
    }
}
