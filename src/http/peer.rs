//! The other end of a connection.

use super::auth::is_own_process;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::{TcpListener, TcpStream};

/// A listener whose answers leave when they are written: they may come in pieces, and the second would wait
/// for the client's acknowledgement of the first.
pub(super) struct PromptListener(pub(super) TcpListener);

impl Listener for PromptListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Best effort: without it answers are late, not wrong.
        let _ = stream.set_nodelay(true);
        (stream, address)
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Whoever opened a connection.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    address: SocketAddr,
    /// What was found once holds as long as the connection.
    own: Arc<AtomicBool>,
}

impl Connected<IncomingStream<'_, PromptListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, PromptListener>) -> Self {
        Self { address: *stream.remote_addr(), own: Arc::default() }
    }
}

impl Peer {
    /// Whether it is a process of this user on this machine.
    pub(super) fn is_own_process(&self, local: SocketAddr) -> bool {
        if self.own.load(Ordering::Relaxed) {
            return true;
        }
        let own = is_own_process(self.address, local);
        self.own.store(own, Ordering::Relaxed);
        own
    }
}
