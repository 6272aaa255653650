//! The link over an anchor: forward or `dial-stdio` to the engine, commands.

use super::anchor::{Anchor, LinkDir};
use super::classify::classify;
use super::dialstdio::DialStdio;
use crate::domain::fault::{Fault, FaultKind};
use crate::transport::process::{read_bounded, write_all};
use crate::transport::{ByteStream, Carrier, Command, Connection, Link, Output, Route, Step};
use futures_util::future::BoxFuture;
use openssh::{ForwardType, Session, Stdio};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};

/// Sessions for commands beside the anchor's, where the engine's streams need none: sshd allows 10 by
/// default, and the user may have one or two of their own on the same login.
const COMMANDS: usize = 7;

/// Sessions for commands where the engine's streams take theirs from the same ten.
const COMMANDS_BESIDE_STREAMS: usize = 2;

/// Sessions that carry the engine's streams: no more than the pool keeps idle, so that none is closed
/// and opened again under load. A session is given back a moment before sshd has closed it.
const STREAMS: usize = 3;

/// Sessions that carry streams of other programs, which may last for hours: with the anchor, the commands
/// and the engine's own streams eight, of the ten that sshd allows by default.
const FOREIGN_STREAMS: usize = 2;

/// Where Docker's socket is when nobody says otherwise.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// A shell's exit status for a command that does not exist (POSIX, 2.8.2).
const NOT_FOUND: i32 = 127;

/// The longest a first answer of the engine may take.
const PING_LIMIT: Duration = Duration::from_secs(5);

struct SshLink {
    session: Arc<Session>,
    commands: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    foreign_streams: Arc<Semaphore>,
    route: Route,
    suspicions: watch::Sender<u64>,
    dir: Arc<LinkDir>,
}

/// Finds the way to the engine over a logged-in anchor.
pub(super) async fn establish(anchor: Anchor) -> Result<Connection, Fault> {
    let socket = choose_socket(&anchor)?;
    let dir = Arc::clone(&anchor.dir);
    let session = Arc::new(Session::resume_mux(dir.control().into_boxed_path(), None));
    let mut steps = vec![(Step::Login, anchor.login_took), (Step::Shell, anchor.shell_took)];

    let started = Instant::now();
    let carrier = match forward(&session, &dir, &socket).await {
        Ok(()) => Carrier::Forward,
        Err(NoForward::Silent) => {
            let seconds = PING_LIMIT.as_secs();
            let detail = format!("{socket} takes connections, and nobody answers within {seconds} s");
            return Err(Fault::new(FaultKind::EngineDown, detail));
        }
        Err(NoForward::Closed) => dial_stdio_instead(&session, &socket).await?,
    };
    steps.push((Step::Socket, started.elapsed()));

    let commands = match carrier {
        Carrier::DialStdio => COMMANDS_BESIDE_STREAMS,
        Carrier::Forward | Carrier::Local => COMMANDS,
    };
    let (suspicions, suspected) = watch::channel(0);
    let link = SshLink {
        session,
        commands: Arc::new(Semaphore::new(commands)),
        streams: Arc::new(Semaphore::new(STREAMS)),
        foreign_streams: Arc::new(Semaphore::new(FOREIGN_STREAMS)),
        route: Route { socket, carrier, steps },
        suspicions,
        dir,
    };
    Ok(Connection { link: Arc::new(link), lifeline: Box::pin(anchor.hold(suspected)) })
}

/// The engine's socket on the host: the login's `DOCKER_HOST`, else the first found that may be
/// opened, else Docker's usual place (a forward of it then tells what is wrong).
fn choose_socket(anchor: &Anchor) -> Result<String, Fault> {
    if let Some(host) = &anchor.hello.docker_host {
        return match host.strip_prefix("unix://") {
            Some(path) => Ok(path.to_owned()),
            None => Err(Fault::new(
                FaultKind::NoEngine,
                format!("DOCKER_HOST={host} on the host names no socket"),
            )),
        };
    }
    let sockets = &anchor.hello.sockets;
    if let Some((path, _)) = sockets.iter().find(|(_, may_open)| *may_open) {
        return Ok(path.clone());
    }
    match sockets.first() {
        Some((path, _)) => Err(Fault::new(FaultKind::SocketDenied, format!("{path}: permission denied"))),
        None => Ok(DEFAULT_SOCKET.to_owned()),
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

/// A forward that fails looks the same whatever the reason; `dial-stdio` tells the reasons apart,
/// and where it works it is the way to go.
async fn dial_stdio_instead(session: &Arc<Session>, socket: &str) -> Result<Carrier, Fault> {
    let command = Command {
        deadline: PING_LIMIT,
        ..Command::new(["docker", "-H", &format!("unix://{socket}"), "system", "dial-stdio"])
    };
    let output = exec(session, &command).await.map_err(|fault| match fault.kind {
        FaultKind::Deadline => Fault { kind: FaultKind::EngineDown, ..fault },
        _ => fault,
    })?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let kind = match output.status {
        Some(0) => return Ok(Carrier::DialStdio),
        Some(126 | NOT_FOUND) => FaultKind::NoEngine,
        _ if stderr.contains("permission denied") => FaultKind::SocketDenied,
        _ if stderr.contains("no such file") => FaultKind::NoEngine,
        _ => FaultKind::EngineDown,
    };
    Err(Fault::new(kind, stderr))
}

/// The words of a command as one line for the login shell: the only place that quotes.
fn shell_line(argv: &[String]) -> Result<String, Fault> {
    shlex::try_join(argv.iter().map(String::as_str))
        .map_err(|_| Fault::new(FaultKind::Internal, "a command's argument contains a NUL character"))
}

async fn exec(session: &Arc<Session>, command: &Command) -> Result<Output, Fault> {
    let line = shell_line(&command.argv)?;
    let work = async {
        let mut child = Arc::clone(session)
            .arc_raw_command(line)
            .stdin(if command.stdin.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .await
            .map_err(|error| mux_fault(&error))?;
        let (stdin, stdout, stderr) = (child.stdin().take(), child.stdout().take(), child.stderr().take());
        let (stdout, stderr, ()) = tokio::join!(
            read_bounded(stdout, command.max_output),
            read_bounded(stderr, command.max_output),
            write_all(stdin, &command.stdin),
        );
        // Only now: waiting gives the session up as soon as the exit status is there, and with it what
        // ssh has not delivered yet.
        let status = child.wait().await;
        let status = match status {
            Ok(status) => status.code(),
            // The client library makes an error of the shell's "not found".
            Err(openssh::Error::Remote(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                Some(NOT_FOUND)
            }
            Err(error) => return Err(mux_fault(&error)),
        };
        Ok(Output { status, stdout, stderr })
    };
    timeout(command.deadline, work).await.unwrap_or_else(|_| {
        let (program, seconds) =
            (command.argv.first().map_or("", String::as_str), command.deadline.as_secs());
        Err(Fault::new(FaultKind::Deadline, format!("{program} took longer than {seconds} s")))
    })
}

/// What the multiplexing client says, with its sources, as a cause.
fn mux_fault(error: &openssh::Error) -> Fault {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    classify(&text)
}

async fn permit(of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Fault> {
    let permit = Arc::clone(of).acquire_owned().await;
    permit.map_err(|_| Fault::new(FaultKind::LinkLost, "the link is closing"))
}

impl SshLink {
    async fn open_forwarded(&self) -> Result<UnixStream, Fault> {
        UnixStream::connect(self.dir.engine())
            .await
            .map_err(|error| Fault::new(FaultKind::LinkLost, format!("forwarded socket: {error}")))
    }

    async fn open_dial_stdio(&self, permit: OwnedSemaphorePermit) -> Result<DialStdio, Fault> {
        let line = shell_line(
            &["docker", "-H", &format!("unix://{}", self.route.socket), "system", "dial-stdio"]
                .map(ToOwned::to_owned),
        )?;
        let child = Arc::clone(&self.session)
            .arc_raw_command(line)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .await
            .map_err(|error| mux_fault(&error))?;
        DialStdio::new(child, permit)
            .ok_or_else(|| Fault::new(FaultKind::Internal, "dial-stdio without pipes"))
    }

    async fn run(&self, command: &Command) -> Result<Output, Fault> {
        let _permit = permit(&self.commands).await?;
        exec(&self.session, command).await
    }
}

impl Link for SshLink {
    fn open_engine(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        Box::pin(async {
            Ok(match self.route.carrier {
                Carrier::DialStdio => {
                    let permit = permit(&self.streams).await?;
                    Box::new(self.open_dial_stdio(permit).await?) as Box<dyn ByteStream>
                }
                Carrier::Forward | Carrier::Local => Box::new(self.open_forwarded().await?),
            })
        })
    }

    fn open_stream(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        if self.route.carrier != Carrier::DialStdio {
            return self.open_engine();
        }
        Box::pin(async {
            let permit = Arc::clone(&self.foreign_streams).try_acquire_owned().map_err(|_| {
                let words = format!("sshd forwards no sockets there, so at most {FOREIGN_STREAMS} connections of other tools fit");
                Fault::new(FaultKind::SessionsExhausted, words)
            })?;
            Ok(Box::new(self.open_dial_stdio(permit).await?) as Box<dyn ByteStream>)
        })
    }

    fn exec<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Result<Output, Fault>> {
        Box::pin(self.run(command))
    }

    fn suspect(&self) {
        self.suspicions.send_modify(|number| *number += 1);
    }

    fn route(&self) -> &Route {
        &self.route
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_remote_shell_unread() {
        let argv = ["echo", "a b", "$(id)", "'", "*", ""].map(ToOwned::to_owned).to_vec();
        let line = shell_line(&argv).unwrap();
        assert_eq!(shlex::split(&line).unwrap(), argv);
        assert!(shell_line(&["a\0b".to_owned()]).is_err());
    }
}
