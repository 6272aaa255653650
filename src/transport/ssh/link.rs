//! The link over an anchor: forward or `dial-stdio` to the engine, commands.

use super::anchor::{Anchor, Hello, LinkDir};
use super::classify::classify;
use super::dialstdio::DialStdio;
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::SshTarget;
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
const STREAMS: usize = 2;

/// Sessions that carry streams of other programs, which may last for hours; `docker run` in the
/// foreground needs three. With the anchor, the commands
/// and the engine's own streams eight, of the ten that sshd allows by default.
const FOREIGN_STREAMS: usize = 3;

/// Where Docker's socket is when nobody says otherwise.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// A shell's exit status for a command that does not exist (POSIX, 2.8.2).
const NOT_FOUND: i32 = 127;

/// The longest a first answer of the engine may take.
const PING_LIMIT: Duration = Duration::from_secs(5);

struct SshLink {
    session: Arc<Session>,
    shell: Shell,
    commands: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    foreign_streams: Arc<Semaphore>,
    route: Route,
    suspicions: watch::Sender<u64>,
    dir: Arc<LinkDir>,
}

/// Finds the way to the engine over a logged-in anchor.
pub(super) async fn establish(anchor: Anchor, target: &SshTarget) -> Result<Connection, Fault> {
    let socket = choose_socket(&anchor.hello, target)?;
    let dir = Arc::clone(&anchor.dir);
    let session = Arc::new(Session::resume_mux(dir.control().into_boxed_path(), None));
    let mut steps = vec![(Step::Login, anchor.login_took), (Step::Shell, anchor.shell_took)];

    let started = Instant::now();
    let shell = match (anchor.hello.is_forced, target.sudo) {
        (true, _) => Shell::Forced,
        (false, true) => Shell::Sudo,
        (false, false) => Shell::Plain,
    };
    let carrier = match shell {
        // It has proved itself as the anchor, and forwards nothing.
        Shell::Forced => Carrier::DialStdio,
        Shell::Sudo => dial_stdio_instead(&session, shell, &socket).await?,
        Shell::Plain => match forward(&session, &dir, &socket).await {
            Ok(()) => Carrier::Forward,
            Err(NoForward::Silent) => {
                let seconds = PING_LIMIT.as_secs();
                let detail = format!("{socket} takes connections, and nobody answers within {seconds} s");
                return Err(Fault::new(FaultKind::EngineDown, detail));
            }
            Err(NoForward::Closed) => dial_stdio_instead(&session, shell, &socket).await?,
        },
    };
    steps.push((Step::Socket, started.elapsed()));

    let commands = match carrier {
        Carrier::DialStdio => COMMANDS_BESIDE_STREAMS,
        Carrier::Forward | Carrier::Local | Carrier::Tcp => COMMANDS,
    };
    let (suspicions, suspected) = watch::channel(0);
    let link = SshLink {
        session,
        shell,
        commands: Arc::new(Semaphore::new(commands)),
        streams: Arc::new(Semaphore::new(STREAMS)),
        foreign_streams: Arc::new(Semaphore::new(FOREIGN_STREAMS)),
        route: Route { socket, carrier, steps },
        suspicions,
        dir,
    };
    Ok(Connection { link: Arc::new(link), lifeline: Box::pin(anchor.hold(suspected)) })
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

/// A forward that fails looks the same whatever the reason; `dial-stdio` tells the reasons apart,
/// and where it works it is the way to go.
async fn dial_stdio_instead(session: &Arc<Session>, shell: Shell, socket: &str) -> Result<Carrier, Fault> {
    let command = Command { deadline: PING_LIMIT, ..Command::new(dial_stdio(socket)) };
    let output = exec(session, shell, &command).await.map_err(|fault| match fault.kind {
        FaultKind::Deadline => Fault { kind: FaultKind::EngineDown, ..fault },
        _ => fault,
    })?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let kind = match output.status {
        Some(0) => return Ok(Carrier::DialStdio),
        Some(126 | NOT_FOUND) => FaultKind::NoEngine,
        _ if shell == Shell::Sudo && stderr.contains("sudo: ") => FaultKind::SudoRefused,
        _ if stderr.contains("permission denied") => FaultKind::SocketDenied,
        _ if stderr.contains("no such file") => FaultKind::NoEngine,
        _ => FaultKind::EngineDown,
    };
    Err(Fault::new(kind, stderr))
}

/// What a login gives to run commands with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shell {
    /// A shell.
    Plain,
    /// A shell that runs docker as root.
    Sudo,
    /// Nothing: it answers whatever it is told with the engine's stream.
    Forced,
}

fn dial_stdio(socket: &str) -> [String; 5] {
    ["docker", "-H", &format!("unix://{socket}"), "system", "dial-stdio"].map(ToOwned::to_owned)
}

/// The words of a command as one line for the login shell: the only place that quotes, and the only one
/// that knows of sudo. It stands right before docker, behind what marks the process.
fn shell_line(shell: Shell, argv: &[String]) -> Result<String, Fault> {
    let is_docker = |word: &String| word == "docker" || word == "docker-compose";
    let prefix = argv.iter().take_while(|word| *word == "env" || word.contains('=')).count();
    let sudo = shell == Shell::Sudo && argv.get(prefix).is_some_and(is_docker);
    let root = if sudo { &["sudo", "-n"][..] } else { &[] };
    let (marks, command) = argv.split_at(if sudo { prefix } else { 0 });
    let words = marks.iter().map(String::as_str).chain(root.iter().copied());
    shlex::try_join(words.chain(command.iter().map(String::as_str)))
        .map_err(|_| Fault::new(FaultKind::Internal, "a command's argument contains a NUL character"))
}

async fn exec(session: &Arc<Session>, shell: Shell, command: &Command) -> Result<Output, Fault> {
    if shell == Shell::Forced {
        let words = "the login is for the engine alone (a forced command), so nothing else can be run there";
        return Err(Fault::new(FaultKind::NoShell, words));
    }
    let line = shell_line(shell, &command.argv)?;
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
        let line = shell_line(self.shell, &dial_stdio(&self.route.socket))?;
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
        exec(&self.session, self.shell, command).await
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
                Carrier::Forward | Carrier::Local | Carrier::Tcp => Box::new(self.open_forwarded().await?),
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
    use super::super::anchor::Candidate;
    use super::*;

    #[test]
    fn words_survive_the_remote_shell_unread() {
        let argv = ["echo", "a b", "$(id)", "'", "*", ""].map(ToOwned::to_owned).to_vec();
        for shell in [Shell::Plain, Shell::Sudo] {
            let line = shell_line(shell, &argv).unwrap();
            assert_eq!(shlex::split(&line).unwrap(), argv);
            assert!(shell_line(shell, &["a\0b".to_owned()]).is_err());
        }
    }

    #[test]
    fn sudo_runs_docker_and_nothing_else() {
        let line = |words: &str| {
            let argv: Vec<String> = words.split(' ').map(ToOwned::to_owned).collect();
            shlex::split(&shell_line(Shell::Sudo, &argv).unwrap()).unwrap().join(" ")
        };
        assert_eq!(line("docker ps"), "sudo -n docker ps");
        assert_eq!(line("env X=1 docker compose ls"), "env X=1 sudo -n docker compose ls");
        assert_eq!(line("cat docker"), "cat docker");
        assert_eq!(shell_line(Shell::Plain, &["docker".to_owned()]).unwrap(), "docker");
    }

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
