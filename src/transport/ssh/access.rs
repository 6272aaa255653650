//! From a login to the engine: which socket, by forward or by `dial-stdio`.

use super::anchor::{Anchor, LinkDir};
use super::hello::{Hello, fresh_nonce, look};
use super::hold::{Orders, hold};
use super::link::SshLink;
use super::mux::{Mux, NOT_FOUND, Shell, dial_stdio};
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::SshTarget;
use crate::transport::{Access, Carrier, Command, Connection, Link, Route, Step};
use futures_util::future::BoxFuture;
use openssh::{ForwardType, Session};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};

/// Where Docker's socket is when nobody says otherwise.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// The longest a first answer of the engine may take.
const PING_LIMIT: Duration = Duration::from_secs(5);

/// Whether anybody listens at a socket: the kernel lists it then, as it was bound.
const LISTENS_SCRIPT: &str = "grep -qs -- \" $1\\$\" /proc/net/unix || grep -qs -- \" $2\\$\" /proc/net/unix";

/// A login, from which the way to the engine is found as often as need be.
pub(super) struct SshAccess {
    mux: Arc<Mux>,
    hello: Hello,
    host_key: Option<String>,
    target: SshTarget,
    orders: Orders,
    /// The steps to here with the time each took.
    steps: [(Step, Duration); 2],
    was_asked: AtomicBool,
    dir: Arc<LinkDir>,
}

/// The connection of a logged-in anchor.
pub(super) fn connection(anchor: Anchor, target: &SshTarget) -> Connection {
    let shell = match (anchor.hello.is_forced, target.sudo) {
        (true, _) => Shell::Forced,
        (false, true) => Shell::Sudo,
        (false, false) => Shell::Plain,
    };
    let (orders, ordered) = Orders::channel();
    let access = SshAccess {
        mux: Arc::new(Mux::new(&anchor.dir.control(), shell, orders.clone(), anchor.hello.runs_commands)),
        hello: anchor.hello.clone(),
        host_key: anchor.stderr.host_key(),
        target: target.clone(),
        orders,
        steps: [(Step::Login, anchor.login_took), (Step::Shell, anchor.shell_took)],
        was_asked: AtomicBool::new(false),
        dir: Arc::clone(&anchor.dir),
    };
    Connection::new(Box::new(access), hold(anchor, ordered))
}

impl Access for SshAccess {
    fn link(&self) -> BoxFuture<'_, Result<Arc<dyn Link>, Fault>> {
        Box::pin(async {
            let mut hello = self.hello.clone();
            if self.was_asked.swap(true, Ordering::SeqCst) {
                // A login that was kept for a while may have died in silence, and an engine that was started
                // meanwhile may be elsewhere.
                self.orders.echo();
                hello = self.look_again().await.unwrap_or(hello);
            }
            let started = Instant::now();
            let socket = choose_socket(&hello, &self.target)?;
            let carrier = self.carrier(&socket).await?;
            let steps = self.steps.into_iter().chain([(Step::Socket, started.elapsed())]).collect();
            let route = Route { socket, carrier, steps, host_key: self.host_key.clone() };
            let (mux, orders, dir) = (Arc::clone(&self.mux), self.orders.clone(), Arc::clone(&self.dir));
            Ok(Arc::new(SshLink::new(mux, orders, route, dir)) as Arc<dyn Link>)
        })
    }
}

impl SshAccess {
    /// What there is on the host by now.
    async fn look_again(&self) -> Option<Hello> {
        let nonce = fresh_nonce();
        let command = Command { deadline: PING_LIMIT, ..Command::new(["sh", "-c", &look(&nonce)]) };
        let output = self.mux.exec(&command, &self.mux.budgets.commands).await.ok()?;
        String::from_utf8_lossy(&output.stdout).lines().find_map(|line| Hello::read(line, &nonce))
    }

    async fn carrier(&self, socket: &str) -> Result<Carrier, Fault> {
        match self.mux.shell {
            // It has proved itself as the anchor, and forwards nothing.
            Shell::Forced => Ok(Carrier::DialStdio),
            Shell::Sudo => self.dial_stdio_instead(socket).await,
            Shell::Plain => match forward(&self.mux.session, &self.dir, socket).await {
                Ok(()) => Ok(Carrier::Forward),
                Err(NoForward::Silent) => {
                    let seconds = PING_LIMIT.as_secs();
                    let detail = format!("{socket} takes connections, and nobody answers within {seconds} s");
                    Err(Fault::new(FaultKind::EngineDown, detail))
                }
                Err(NoForward::Closed) => self.dial_stdio_instead(socket).await,
            },
        }
    }

    /// A forward that fails looks the same whatever the reason; `dial-stdio` tells the reasons apart,
    /// and where it works it is the way to go.
    async fn dial_stdio_instead(&self, socket: &str) -> Result<Carrier, Fault> {
        let command = Command { deadline: PING_LIMIT, ..Command::new(dial_stdio(socket)) };
        let output =
            self.mux.exec(&command, &self.mux.budgets.commands).await.map_err(|fault| match fault.kind {
                FaultKind::Deadline => Fault { kind: FaultKind::EngineDown, ..fault },
                _ => fault,
            })?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        let kind = match output.status {
            Some(0) => return Ok(Carrier::DialStdio),
            Some(126 | NOT_FOUND) if self.listens(socket).await? => FaultKind::ForwardingRefused,
            Some(126 | NOT_FOUND) => FaultKind::NoEngine,
            _ if self.mux.shell == Shell::Sudo && stderr.contains("sudo: ") => FaultKind::SudoRefused,
            _ if stderr.contains("permission denied") => FaultKind::SocketDenied,
            // There is a docker client, so there was an engine: it is stopped.
            _ => FaultKind::EngineDown,
        };
        Err(Fault::new(kind, stderr))
    }

    /// Whether an engine listens on the host, where no docker client can tell.
    async fn listens(&self, socket: &str) -> Result<bool, Fault> {
        let found = self.hello.sockets.iter().find(|candidate| candidate.path == socket);
        let resolved = found.map_or(socket, |candidate| &candidate.resolved);
        let command = Command::new(["sh", "-c", LISTENS_SCRIPT, "sh", socket, resolved]);
        Ok(self.mux.exec(&command, &self.mux.budgets.commands).await?.status == Some(0))
    }
}

/// The engine's socket on the host: the configured one, else the login's `DOCKER_HOST`, else the one that
/// was found and may be opened, else Docker's usual place (a forward of it then tells what is wrong).
fn choose_socket(hello: &Hello, target: &SshTarget) -> Result<String, Fault> {
    if let Some(socket) = &target.socket {
        return Ok(socket.clone());
    }
    if let Some(host) = &hello.docker_host {
        return match host.strip_prefix("unix://") {
            Some(path) => Ok(path.to_owned()),
            None => Err(Fault::new(
                FaultKind::NoEngine,
                format!("DOCKER_HOST={host} on the host names no socket"),
            )),
        };
    }
    // Root may open all of them.
    let mut usable: Vec<_> = hello.sockets.iter().filter(|socket| target.sudo || socket.may_open).collect();
    usable.dedup_by(|a, b| a.resolved == b.resolved);
    match (usable.as_slice(), hello.sockets.first()) {
        ([], None) => Ok(DEFAULT_SOCKET.to_owned()),
        ([], Some(found)) => {
            Err(Fault::new(FaultKind::SocketDenied, format!("{}: permission denied", found.path)))
        }
        ([only], _) => Ok(only.path.clone()),
        (several, _) => {
            let paths: Vec<&str> = several.iter().map(|socket| socket.path.as_str()).collect();
            Err(Fault::new(FaultKind::EnginesAmbiguous, paths.join(", ")))
        }
    }
}

/// Why a forwarded socket is of no use.
enum NoForward {
    /// sshd forwards none, or nobody takes connections at the other end.
    Closed,
    /// A connection was taken and nothing came: sshd forwards, and the engine hangs.
    Silent,
}

/// Forwards the socket and asks the engine for a sign of life.
async fn forward(session: &Session, dir: &LinkDir, socket: &str) -> Result<(), NoForward> {
    let local = dir.engine();
    session.request_port_forward(ForwardType::Local, local.as_path(), Path::new(socket)).await.map_err(
        |error| {
            tracing::debug!(%error, "sshd forwards no socket");
            NoForward::Closed
        },
    )?;
    let answered = timeout(PING_LIMIT, async {
        let mut stream = UnixStream::connect(&local).await?;
        stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n").await?;
        stream.read_u8().await
    });
    match answered.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(NoForward::Closed),
        Err(_) => Err(NoForward::Silent),
    }
}

#[cfg(test)]
mod tests {
    use super::super::hello::Candidate;
    use super::*;

    fn candidate(path: &str, resolved: &str, may_open: bool) -> Candidate {
        Candidate { path: path.into(), resolved: resolved.into(), may_open }
    }

    #[test]
    fn of_several_engines_none_is_guessed() {
        let (docker, podman) = ("/var/run/docker.sock", "/run/podman/podman.sock");
        let hello = |sockets: &[Candidate]| Hello { sockets: sockets.to_vec(), ..Hello::default() };
        let target = SshTarget::new("nas".parse().unwrap());
        let choose = |sockets: &[Candidate], target: &SshTarget| {
            choose_socket(&hello(sockets), target).map_err(|fault| fault.kind)
        };
        let both = [candidate(docker, "/run/docker.sock", true), candidate(podman, podman, true)];
        assert_eq!(choose(&both, &target), Err(FaultKind::EnginesAmbiguous));
        let named = SshTarget { socket: Some(podman.into()), ..target.clone() };
        assert_eq!(choose(&both, &named), Ok(podman.to_owned()));
        // docker's place may be a link to Podman's
        let one = [candidate(docker, podman, true), candidate(podman, podman, true)];
        assert_eq!(choose(&one, &target), Ok(docker.to_owned()));
        let denied = [candidate(docker, docker, false)];
        assert_eq!(choose(&denied, &target), Err(FaultKind::SocketDenied));
        assert_eq!(choose(&denied, &SshTarget { sudo: true, ..target.clone() }), Ok(docker.to_owned()));
        assert_eq!(choose(&[], &target), Ok(DEFAULT_SOCKET.to_owned()));
    }
}
