//! The link over a login: streams to the engine, commands.

use super::anchor::LinkDir;
use super::hold::Orders;
use super::mux::Mux;
use crate::domain::fault::{Fault, FaultKind};
use crate::transport::{ByteStream, Carrier, Command, Link, Route, Sink};
use futures_util::future::BoxFuture;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A way to the engine.
pub(super) struct SshLink {
    mux: Arc<Mux>,
    orders: Orders,
    route: Route,
    dir: Arc<LinkDir>,
    spare: Mutex<Option<Spare>>,
}

/// A forwarded stream that was opened before it was needed.
struct Spare {
    stream: UnixStream,
    since: Instant,
}

/// An engine may close a connection on which nothing is asked; none does within this time.
const SPARE_FOR: Duration = Duration::from_secs(60);

impl Spare {
    /// Whether it can be used: an engine that has ended has ended it too.
    fn is_good(&self) -> bool {
        let said = self.stream.try_read(&mut [0]);
        let silent = said.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        silent && self.since.elapsed() < SPARE_FOR
    }
}

impl SshLink {
    pub(super) fn new(mux: Arc<Mux>, orders: Orders, route: Route, dir: Arc<LinkDir>) -> Self {
        Self { mux, orders, route, dir, spare: Mutex::default() }
    }

    fn costs_sessions(&self) -> bool {
        self.route.carrier == Carrier::DialStdio
    }

    /// A stream that may be kept for long, in a session of its own.
    async fn foreign(&self) -> Result<Box<dyn ByteStream>, Fault> {
        let foreign = &self.mux.budgets.foreign;
        let permit = foreign.try_take().ok_or_else(|| {
            let words = format!(
                "sshd forwards no sockets there, so at most {} connections of other tools and of those who \
                 follow logs fit",
                foreign.size()
            );
            Fault::new(FaultKind::SessionsExhausted, words)
        })?;
        let dialled = self.mux.dial(&self.route.socket, permit, CancellationToken::new()).await;
        boxed(dialled.map_err(|dialled| dialled.fault))
    }

    async fn forwarded(&self) -> Result<UnixStream, Fault> {
        let stream = UnixStream::connect(self.dir.engine()).await;
        stream.map_err(|error| Fault::new(FaultKind::LinkLost, format!("forwarded socket: {error}")))
    }

    /// A stream for another program. Such a program makes a connection for a request or two; that of the
    /// next one is opened now, while there is time for its round trip.
    async fn forwarded_ahead(&self) -> Result<UnixStream, Fault> {
        let next = Spare { stream: self.forwarded().await?, since: Instant::now() };
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).replace(next);
        match spare.filter(Spare::is_good) {
            Some(spare) => Ok(spare.stream),
            None => self.forwarded().await,
        }
    }
}

impl Link for SshLink {
    fn open_engine(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        if !self.costs_sessions() {
            return Box::pin(async { boxed(self.forwarded().await) });
        }
        Box::pin(async { boxed(self.mux.dial_for_call(&self.route.socket).await) })
    }

    fn open_stream(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        if !self.costs_sessions() {
            return Box::pin(async { boxed(self.forwarded_ahead().await) });
        }
        Box::pin(self.foreign())
    }

    fn open_long(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        if !self.costs_sessions() {
            return self.open_engine();
        }
        Box::pin(self.foreign())
    }

    fn open_events(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        if !self.costs_sessions() {
            return self.open_engine();
        }
        Box::pin(async { boxed(self.mux.dial_for_events(&self.route.socket).await) })
    }

    fn is_crowded(&self) -> bool {
        self.costs_sessions() && self.mux.budgets.calls.is_used_up()
    }

    fn stream<'a>(
        &'a self,
        command: &'a Command,
        sink: Sink<'a>,
    ) -> BoxFuture<'a, Result<Option<i32>, Fault>> {
        let budgets = &self.mux.budgets;
        let budget = if self.costs_sessions() { &budgets.commands_beside_streams } else { &budgets.commands };
        Box::pin(self.mux.stream(command, budget, sink))
    }

    fn suspect(&self) {
        self.orders.echo();
    }

    fn route(&self) -> &Route {
        &self.route
    }
}

fn boxed(opened: Result<impl ByteStream + 'static, Fault>) -> Result<Box<dyn ByteStream>, Fault> {
    Ok(Box::new(opened?))
}
