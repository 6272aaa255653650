//! A TCP proxy that makes a line long, or silent.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Background;

/// So many pieces may be on the way, in each direction: some 16 MB, which no delay that a
/// test would wait for can fill.
const ON_THE_WAY: usize = 1024;
const PIECE: usize = 16 * 1024;

/// Passes connections on to a target, every byte later by the same delay in each direction.
/// It delays and does not throttle: pieces travel together. Connecting itself is not
/// delayed, so a round trip shows from the first byte on.
pub struct SlowProxy {
    addr: SocketAddr,
    stalled: watch::Sender<bool>,
    delay: watch::Sender<Duration>,
    unanswered: Arc<AtomicUsize>,
    _background: Background,
}

impl SlowProxy {
    /// Listens on a port of its own of the loopback.
    pub fn start(target: SocketAddr, delay: Duration) -> Self {
        let background = Background::start();
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let addr = listener.local_addr().expect("its address");
        listener.set_nonblocking(true).expect("a socket can be non-blocking");
        let (stalled, watching) = watch::channel(false);
        let (delay, delayed) = watch::channel(delay);
        let unanswered = Arc::default();
        {
            let _context = background.handle().enter();
            let listener = TcpListener::from_std(listener).expect("a listener");
            let line = Line { delay: delayed, stalled: watching, unanswered: Arc::clone(&unanswered) };
            background.handle().spawn(serve(listener, target, line));
        }
        Self { addr, stalled, delay, unanswered, _background: background }
    }

    /// Where to connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Makes the line longer or shorter from now on; what is on its way arrives as it would have.
    pub fn set_delay(&self, delay: Duration) {
        self.delay.send_replace(delay);
    }

    /// Lets nothing through any more; connections stay, and new ones are taken and silent.
    pub fn stall(&self) {
        self.unanswered.store(0, Ordering::SeqCst);
        self.stalled.send_replace(true);
    }

    /// How many pieces clients have sent since it stalled. What a client writes at once is one.
    pub fn unanswered(&self) -> usize {
        self.unanswered.load(Ordering::SeqCst)
    }

    /// Lets everything through that has piled up.
    pub fn resume(&self) {
        self.stalled.send_replace(false);
    }
}

/// What all connections share.
#[derive(Clone)]
struct Line {
    delay: watch::Receiver<Duration>,
    stalled: watch::Receiver<bool>,
    unanswered: Arc<AtomicUsize>,
}

async fn serve(listener: TcpListener, target: SocketAddr, line: Line) {
    while let Ok((client, _)) = listener.accept().await {
        let line = line.clone();
        tokio::spawn(async move {
            // an error is the end of the connection, which both ends see
            drop(line.carry(client, target).await);
        });
    }
}

impl Line {
    async fn carry(self, client: TcpStream, target: SocketAddr) -> io::Result<()> {
        self.passable().await?;
        let target = TcpStream::connect(target).await?;
        client.set_nodelay(true)?;
        target.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_target, to_target) = target.into_split();
        let count = || {
            if *self.stalled.borrow() {
                self.unanswered.fetch_add(1, Ordering::SeqCst);
            }
        };
        tokio::try_join!(self.pass(from_client, to_target, count), self.pass(from_target, to_client, || {}))?;
        Ok(())
    }

    async fn passable(&self) -> io::Result<()> {
        let mut stalled = self.stalled.clone();
        let open = stalled.wait_for(|stalled| !stalled).await;
        open.map(drop).map_err(io::Error::other)
    }

    /// One direction: each piece is stamped as it comes in, and leaves when its time has come.
    async fn pass(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        seen: impl Fn(),
    ) -> io::Result<()> {
        let (entry, mut exit) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
        let taking = async move {
            loop {
                let mut piece = vec![0; PIECE];
                let count = from.read(&mut piece).await?;
                piece.truncate(count);
                let due = Instant::now() + *self.delay.borrow();
                if count > 0 {
                    seen();
                }
                // an empty piece carries the end, as late as everything else
                if entry.send((due, piece)).await.is_err() || count == 0 {
                    return io::Result::Ok(());
                }
            }
        };
        let giving = async move {
            while let Some((due, piece)) = exit.recv().await {
                tokio::time::sleep_until(due).await;
                self.passable().await?;
                if piece.is_empty() {
                    break;
                }
                to.write_all(&piece).await?;
            }
            to.shutdown().await
        };
        tokio::try_join!(taking, giving)?;
        Ok(())
    }
}
