//! The link over a login: streams to the engine, commands.

use super::anchor::LinkDir;
use super::dialstdio::DialStdio;
use super::hold::Orders;
use super::mux::Mux;
use crate::domain::fault::{Fault, FaultKind};
use crate::transport::{ByteStream, Carrier, Command, Link, Route, Sink};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

/// A way to the engine.
pub(super) struct SshLink {
    mux: Arc<Mux>,
    orders: Orders,
    route: Route,
    dir: Arc<LinkDir>,
}

impl SshLink {
    pub(super) fn new(mux: Arc<Mux>, orders: Orders, route: Route, dir: Arc<LinkDir>) -> Self {
        Self { mux, orders, route, dir }
    }

    fn costs_sessions(&self) -> bool {
        self.route.carrier == Carrier::DialStdio
    }

    async fn forwarded(&self) -> Result<Box<dyn ByteStream>, Fault> {
        let stream = UnixStream::connect(self.dir.engine()).await;
        let stream =
            stream.map_err(|error| Fault::new(FaultKind::LinkLost, format!("forwarded socket: {error}")))?;
        Ok(Box::new(stream))
    }
}

impl Link for SshLink {
    fn open_engine(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        if !self.costs_sessions() {
            return Box::pin(self.forwarded());
        }
        Box::pin(async { boxed(self.mux.dial_for_call(&self.route.socket).await) })
    }

    fn open_stream(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        if !self.costs_sessions() {
            return self.open_engine();
        }
        Box::pin(async {
            let foreign = &self.mux.budgets.foreign;
            let permit = foreign.try_take().ok_or_else(|| {
                let words = format!(
                    "sshd forwards no sockets there, so at most {} connections of other tools fit",
                    foreign.size()
                );
                Fault::new(FaultKind::SessionsExhausted, words)
            })?;
            let dialled = self.mux.dial(&self.route.socket, permit, CancellationToken::new()).await;
            boxed(dialled.map_err(|dialled| dialled.fault))
        })
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

fn boxed(dialled: Result<DialStdio, Fault>) -> Result<Box<dyn ByteStream>, Fault> {
    Ok(Box::new(dialled?))
}
