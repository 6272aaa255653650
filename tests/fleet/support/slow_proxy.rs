//! A TCP proxy that makes a line long, or silent.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
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
        {
            let _context = background.handle().enter();
            let listener = TcpListener::from_std(listener).expect("a listener");
            background.handle().spawn(serve(listener, target, delayed, watching));
        }
        Self { addr, stalled, delay, _background: background }
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
        self.stalled.send_replace(true);
    }

    /// Lets everything through that has piled up.
    pub fn resume(&self) {
        self.stalled.send_replace(false);
    }
}

async fn serve(
    listener: TcpListener,
    target: SocketAddr,
    delay: watch::Receiver<Duration>,
    stalled: watch::Receiver<bool>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let (delay, stalled) = (delay.clone(), stalled.clone());
        tokio::spawn(async move {
            // an error is the end of the connection, which both ends see
            drop(carry(client, target, delay, stalled).await);
        });
    }
}

async fn carry(
    client: TcpStream,
    target: SocketAddr,
    delay: watch::Receiver<Duration>,
    mut stalled: watch::Receiver<bool>,
) -> io::Result<()> {
    passable(&mut stalled).await?;
    let target = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    target.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_target, to_target) = target.into_split();
    tokio::try_join!(
        line(from_client, to_target, delay.clone(), stalled.clone()),
        line(from_target, to_client, delay, stalled),
    )?;
    Ok(())
}

async fn passable(stalled: &mut watch::Receiver<bool>) -> io::Result<()> {
    let open = stalled.wait_for(|stalled| !stalled).await;
    open.map(drop).map_err(io::Error::other)
}

/// One direction: each piece is stamped as it comes in, and leaves when its time has come.
async fn line(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay: watch::Receiver<Duration>,
    mut stalled: watch::Receiver<bool>,
) -> io::Result<()> {
    let (entry, mut exit) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let taking = async move {
        loop {
            let mut piece = vec![0; PIECE];
            let count = from.read(&mut piece).await?;
            piece.truncate(count);
            let due = Instant::now() + *delay.borrow();
            // an empty piece carries the end, as late as everything else
            if entry.send((due, piece)).await.is_err() || count == 0 {
                return io::Result::Ok(());
            }
        }
    };
    let giving = async move {
        while let Some((due, piece)) = exit.recv().await {
            tokio::time::sleep_until(due).await;
            passable(&mut stalled).await?;
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
