//! A TCP proxy that makes a line long: every byte arrives later by the same delay in each direction. It
//! delays and does not throttle: pieces travel together.
//!
//! Each direction has two threads, because the system's sleep is exact to some 60 µs where an event loop's
//! timer rounds up to the next millisecond, twice per round trip.

use anyhow::{Context as _, Result};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

/// So many pieces may be on the way in each direction: 16 MB, which no delay of a benchmark fills.
const ON_THE_WAY: usize = 1024;
const PIECE: usize = 16 * 1024;

/// Starts a proxy to `target` on a loopback port, with `delay` each way; it lasts as long as the process.
pub(crate) fn start(target: SocketAddr, delay: Duration) -> Result<SocketAddr> {
    serve(move |client| {
        // An error is the end of the connection, which both ends see.
        let _ = carry(&client, target, delay);
    })
}

/// Starts a server on a loopback port that sends back what it gets: the far end of a bare round trip.
pub(crate) fn start_echo() -> Result<SocketAddr> {
    serve(|mut client| {
        let mut piece = [0; 64];
        while let Ok(count @ 1..) = client.read(&mut piece) {
            if client.write_all(&piece[..count]).is_err() {
                break;
            }
        }
    })
}

fn serve(connection: impl Fn(TcpStream) + Clone + Send + 'static) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for a proxy")?;
    let address = listener.local_addr().context("a proxy without an address")?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let connection = connection.clone();
            let _ = client.set_nodelay(true);
            thread::spawn(move || connection(client));
        }
    });
    Ok(address)
}

fn carry(client: &TcpStream, target: SocketAddr, delay: Duration) -> std::io::Result<()> {
    // The client is connected to this proxy at once; on a long line TCP's handshake takes a round trip.
    thread::sleep(delay * 2);
    let target = TcpStream::connect(target)?;
    target.set_nodelay(true)?;
    one_way(client.try_clone()?, target.try_clone()?, delay);
    one_way(target, client.try_clone()?, delay);
    Ok(())
}

/// One direction: each piece is stamped as it comes in, and leaves when its time has come.
fn one_way(from: TcpStream, to: TcpStream, delay: Duration) {
    let (entry, exit) = mpsc::sync_channel(ON_THE_WAY);
    thread::spawn(move || take(from, &entry, delay));
    thread::spawn(move || give(to, &exit));
}

fn take(mut from: TcpStream, entry: &SyncSender<(Instant, Vec<u8>)>, delay: Duration) {
    loop {
        let mut piece = vec![0; PIECE];
        let count = match from.read(&mut piece) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        piece.truncate(count);
        // An empty piece carries the end, as late as everything else.
        if entry.send((Instant::now() + delay, piece)).is_err() || count == 0 {
            return;
        }
    }
}

fn give(mut to: TcpStream, exit: &Receiver<(Instant, Vec<u8>)>) {
    for (due, piece) in exit {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if piece.is_empty() || to.write_all(&piece).is_err() {
            break;
        }
    }
    // The other end may be gone already.
    let _ = to.shutdown(Shutdown::Write);
}
