//! The link over a login: streams to the engine, commands.

use super::anchor::LinkDir;
use super::budget::Budget;
use super::hold::Orders;
use super::mux::{Dialled, Mux, closing};
use crate::domain::fault::{Fault, FaultKind};
use crate::transport::{ByteStream, Carrier, Command, Link, Output, Route};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::net::UnixStream;

/// Sessions for commands beside the anchor's, where the engine's streams need none: sshd allows 10 by
/// default, and the user may have one or two of their own on the same login.
const COMMANDS: usize = 7;

/// Sessions for commands where the engine's streams take theirs from the same ten.
const COMMANDS_BESIDE_STREAMS: usize = 1;

/// Sessions that carry the engine's streams, the one of its events included: no more than the pool keeps
/// idle, so that none is closed and opened again under load. A session is given back a moment before sshd
/// has closed it.
const STREAMS: usize = 3;

/// Sessions that carry streams of other programs, which may last for hours; `docker run` in the
/// foreground needs three. With the anchor, the commands
/// and the engine's own streams eight, of the ten that sshd allows by default.
const FOREIGN_STREAMS: usize = 3;

/// A way to the engine.
pub(super) struct SshLink {
    mux: Arc<Mux>,
    orders: Orders,
    commands: Budget,
    streams: Budget,
    foreign_streams: Budget,
    route: Route,
    dir: Arc<LinkDir>,
}

impl SshLink {
    pub(super) fn new(mux: Arc<Mux>, orders: Orders, route: Route, dir: Arc<LinkDir>) -> Self {
        let commands = match route.carrier {
            Carrier::DialStdio => COMMANDS_BESIDE_STREAMS,
            Carrier::Forward | Carrier::Local | Carrier::Tcp => COMMANDS,
        };
        let [commands, streams, foreign_streams] = [commands, STREAMS, FOREIGN_STREAMS].map(Budget::new);
        Self { mux, orders, commands, streams, foreign_streams, route, dir }
    }

    async fn forwarded(&self) -> Result<Box<dyn ByteStream>, Fault> {
        let stream = UnixStream::connect(self.dir.engine()).await;
        let stream =
            stream.map_err(|error| Fault::new(FaultKind::LinkLost, format!("forwarded socket: {error}")))?;
        Ok(Box::new(stream))
    }

    /// A stream in a session of `streams`; where sshd refuses one, it waits for another.
    async fn dialled(&self) -> Result<Box<dyn ByteStream>, Fault> {
        loop {
            let permit = self.streams.take().await.ok_or_else(closing)?;
            match self.mux.dial(&self.route.socket, permit).await {
                Ok(stream) => return Ok(Box::new(stream)),
                Err(Dialled { fault, permit: Some(permit) })
                    if fault.kind == FaultKind::SessionsExhausted =>
                {
                    if !self.streams.shrink(permit) {
                        return Err(fault);
                    }
                }
                Err(Dialled { fault, .. }) => return Err(fault),
            }
        }
    }
}

impl Link for SshLink {
    fn open_engine(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        match self.route.carrier {
            Carrier::DialStdio => Box::pin(self.dialled()),
            Carrier::Forward | Carrier::Local | Carrier::Tcp => Box::pin(self.forwarded()),
        }
    }

    fn open_stream(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        if self.route.carrier != Carrier::DialStdio {
            return self.open_engine();
        }
        Box::pin(async {
            let permit = self.foreign_streams.try_take().ok_or_else(|| {
                let words = format!("sshd forwards no sockets there, so at most {FOREIGN_STREAMS} connections of other tools fit");
                Fault::new(FaultKind::SessionsExhausted, words)
            })?;
            let dialled = self.mux.dial(&self.route.socket, permit).await;
            dialled.map(|stream| Box::new(stream) as Box<dyn ByteStream>).map_err(|dialled| dialled.fault)
        })
    }

    fn exec<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Result<Output, Fault>> {
        Box::pin(self.mux.exec(command, &self.commands))
    }

    fn suspect(&self) {
        self.orders.echo();
    }

    fn route(&self) -> &Route {
        &self.route
    }
}
