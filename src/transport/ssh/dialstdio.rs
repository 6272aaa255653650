//! `docker system dial-stdio`: the way to the engine where sshd forwards no sockets.

use super::mux::Open;
use openssh::{Child, ChildStdin, ChildStdout, Session};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A byte stream through the standard streams of a remote `dial-stdio`.
pub(super) struct DialStdio {
    // Held for its life: dropping it closes the session.
    _child: Child<Arc<Session>>,
    _open: Open,
    _permit: OwnedSemaphorePermit,
    /// Ends the stream before its time.
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
}

impl DialStdio {
    /// Wraps a started child whose standard streams are piped.
    pub(super) fn new(
        mut child: Child<Arc<Session>>,
        open: Open,
        permit: OwnedSemaphorePermit,
        cut: CancellationToken,
    ) -> Option<Self> {
        let stdin = child.stdin().take();
        let stdout = child.stdout().take()?;
        Some(Self {
            _child: child,
            _open: open,
            _permit: permit,
            cut: Box::pin(cut.cancelled_owned()),
            stdin,
            stdout,
        })
    }
}

impl AsyncRead for DialStdio {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stdout).poll_read(cx, buf)
    }
}

impl AsyncWrite for DialStdio {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_write(cx, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Shutting down a pipe does nothing; only closing it tells the other side.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}
