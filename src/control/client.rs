//! The other side: a process that wants something of the service.

use super::{Answer, ControlError, Reply, Request, existing, first_line};
use crate::mcp::Response;
use serde_json::{Map, Value};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep, timeout_at};

/// A service that starts opens its door within this time; it is tried so often.
const OPENS_WITHIN: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(50);

type Halves = (BufReader<OwnedReadHalf>, OwnedWriteHalf);

/// Asks the service at `socket`; returns the connection for what may follow.
pub async fn ask(socket: &Path, request: &Request) -> Result<Halves, ControlError> {
    let asked = async {
        let (reading, mut writing) = connect(socket, OPENS_WITHIN).await?.into_split();
        let mut line = serde_json::to_string(request).map_err(io::Error::other)?;
        line.push('\n');
        writing.write_all(line.as_bytes()).await?;
        let mut reading = BufReader::new(reading);
        let reply: Reply =
            serde_json::from_str(&first_line(&mut reading).await?).map_err(io::Error::other)?;
        Ok((reply, reading, writing))
    };
    match asked.await {
        Ok((Reply::Refused { why }, ..)) => Err(ControlError::Refused(why)),
        Ok((Reply::Open | Reply::Done, reading, writing)) => Ok((reading, writing)),
        Err(source) => Err(ControlError::Unreachable { socket: socket.to_owned(), source }),
    }
}

/// Calls a tool of the service at `socket`.
pub async fn call(
    socket: &Path,
    files: &[PathBuf],
    tool: &str,
    arguments: Map<String, Value>,
    response: Option<Response>,
) -> Result<Answer, ControlError> {
    let request = Request::Call { files: existing(files), tool: tool.to_owned(), arguments, response };
    let (mut reading, _writing) = ask(socket, &request).await?;
    let mut line = String::new();
    let read =
        reading.read_line(&mut line).await.and_then(|_| serde_json::from_str(&line).map_err(Into::into));
    read.map_err(|source| ControlError::Unreachable { socket: socket.to_owned(), source })
}

/// Whether there is a service at `socket`, or will be in time. One that is ending may take a connection yet, and says
/// nothing more.
pub async fn opens(socket: &Path, within: Duration) -> bool {
    let until = Instant::now() + within;
    loop {
        match timeout_at(until, ask(socket, &Request::Greet)).await {
            Ok(Ok(_) | Err(ControlError::Refused(_))) => return true,
            Ok(Err(_)) if Instant::now() < until => sleep(ASK_AGAIN).await,
            Ok(Err(_)) | Err(_) => return false,
        }
    }
}

/// A service that has just started has not opened its door yet.
async fn connect(socket: &Path, within: Duration) -> io::Result<UnixStream> {
    let until = Instant::now() + within;
    loop {
        match UnixStream::connect(socket).await {
            Err(error)
                if Instant::now() < until
                    && matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                sleep(ASK_AGAIN).await;
            }
            connected => return connected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    #[tokio::test]
    async fn only_who_answers_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        // As of a process that is being killed: taken, and closed without a word.
        let ending = async {
            loop {
                drop(listener.accept().await);
            }
        };
        tokio::select! {
            opened = opens(&socket, Duration::from_millis(300)) => assert!(!opened),
            () = ending => {}
        }
        std::fs::remove_file(&socket).unwrap();
        let starts = async {
            let (stream, _) = UnixListener::bind(&socket).unwrap().accept().await.unwrap();
            let (reading, mut writing) = stream.into_split();
            let line = first_line(&mut BufReader::new(reading)).await.unwrap();
            assert!(matches!(serde_json::from_str(&line).unwrap(), Request::Greet));
            writing.write_all(b"\"done\"\n").await.unwrap();
        };
        let (opened, ()) = tokio::join!(opens(&socket, Duration::from_secs(20)), starts);
        assert!(opened);
    }
}
