//! The engine of this machine, through its socket.

use super::{ByteStream, Carrier, Command, Connection, Link, Route, Sink, Step, process};
use crate::domain::fault::{Fault, FaultKind};
use futures_util::future::BoxFuture;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::UnixStream;
use tokio::time::Instant;

/// A socket has no life of its own: whether the engine is there shows at each call. A suspicion
/// is therefore checked by knocking once.
struct LocalLink {
    route: Route,
    suspicion: Arc<tokio::sync::Notify>,
}

/// Connects to the engine behind the socket at `path`.
pub async fn connect(path: PathBuf) -> Result<Connection, Fault> {
    let started = Instant::now();
    knock(&path).await?;
    let suspicion = Arc::new(tokio::sync::Notify::new());
    let route = Route {
        socket: path.display().to_string(),
        carrier: Carrier::Local,
        steps: vec![(Step::Socket, started.elapsed())],
        host_key: None,
    };
    let link = LocalLink { route, suspicion: Arc::clone(&suspicion) };
    let lifeline = async move {
        loop {
            suspicion.notified().await;
            if let Err(fault) = knock(&path).await {
                return fault;
            }
        }
    };
    Ok(Connection::direct(Arc::new(link), lifeline))
}

async fn knock(path: &Path) -> Result<UnixStream, Fault> {
    UnixStream::connect(path).await.map_err(|error| {
        let kind = match error.kind() {
            ErrorKind::NotFound => FaultKind::NoEngine,
            ErrorKind::PermissionDenied => FaultKind::SocketDenied,
            _ => FaultKind::EngineDown,
        };
        Fault::new(kind, format!("{}: {error}", path.display()))
    })
}

/// The socket of this machine's engine: `DOCKER_HOST` when it names a socket, else the first of
/// Docker's and Podman's usual places that exists.
pub fn find_socket() -> Option<PathBuf> {
    if let Some(host) = std::env::var_os("DOCKER_HOST") {
        return host.to_str()?.strip_prefix("unix://").map(PathBuf::from);
    }
    let run = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let own = |name: &str| run.as_ref().map(|dir| dir.join(name));
    let system = |name: &str| Some(PathBuf::from(name));
    [
        system("/var/run/docker.sock"),
        own("docker.sock"),
        own("podman/podman.sock"),
        system("/run/podman/podman.sock"),
    ]
    .into_iter()
    .flatten()
    .find(|path| path.exists())
}

impl Link for LocalLink {
    fn open_engine(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        Box::pin(async {
            let stream = knock(Path::new(&self.route.socket)).await?;
            Ok(Box::new(stream) as Box<dyn ByteStream>)
        })
    }

    fn stream<'a>(
        &'a self,
        command: &'a Command,
        sink: Sink<'a>,
    ) -> BoxFuture<'a, Result<Option<i32>, Fault>> {
        Box::pin(process::stream(command, sink))
    }

    fn suspect(&self) {
        self.suspicion.notify_one();
    }

    fn route(&self) -> &Route {
        &self.route
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_and_a_deaf_socket_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let missing = connect(dir.path().join("none")).await.err().unwrap();
        assert_eq!(missing.kind, FaultKind::NoEngine);
        let path = dir.path().join("deaf");
        drop(tokio::net::UnixListener::bind(&path).unwrap());
        assert_eq!(connect(path).await.err().unwrap().kind, FaultKind::EngineDown);
    }

    #[tokio::test]
    async fn a_suspicion_ends_the_lifeline_when_the_engine_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let connection = connect(path).await.unwrap();
        let link = connection.access.link().await.unwrap();
        drop(listener);
        // A process that another test has just forked has the listener too, until it runs its program.
        let mut life = connection.lifeline;
        let fault = loop {
            link.suspect();
            if let Ok(fault) = tokio::time::timeout(std::time::Duration::from_millis(100), &mut life).await {
                break fault;
            }
        };
        assert_eq!(fault.kind, FaultKind::EngineDown);
    }
}
