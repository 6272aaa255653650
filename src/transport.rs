//! Floor 2: lines to hosts. A [`Connector`] makes a [`Connection`]; its [`Access`] finds the engine; the
//! [`Link`] to that opens byte streams and runs commands; the lifeline is the connection's life.
//!
//! The only floor that starts processes.

#[cfg(test)]
pub(crate) mod fake;
pub mod files;
pub mod listeners;
pub mod local;
pub mod mark;
pub mod process;
pub mod ssh;
mod tcp;

use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::{Endpoint, HostSpec};
use crate::runtime::dirs::{DirError, RunDir};
use crate::runtime::permits::LoginPermits;
use futures_util::FutureExt as _;
use futures_util::future::Shared;

pub use futures_util::future::BoxFuture;

use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Makes connections to hosts.
pub trait Connector: Send + Sync + 'static {
    /// Connects to `host`, up to where its engine is looked for. Dropping the future ends the attempt
    /// and everything it started.
    fn connect(&self, host: Arc<HostSpec>) -> BoxFuture<'static, Result<Connection, Fault>>;

    /// A number that changes when something changed on this machine that could cure a held host:
    /// known hosts, keys, ssh configuration, a socket's permissions.
    fn evidence(&self, host: Arc<HostSpec>) -> BoxFuture<'static, u64>;
}

/// A connection that was made; dropping it, and every clone of its lifeline, ends it.
pub struct Connection {
    /// The way on to the engine.
    pub access: Box<dyn Access>,
    /// The connection's life.
    pub lifeline: Lifeline,
}

/// Resolves with the cause when a connection ends.
pub type Lifeline = Shared<BoxFuture<'static, Fault>>;

impl Connection {
    /// A connection whose life is the future `life`.
    pub fn new(access: Box<dyn Access>, life: impl Future<Output = Fault> + Send + 'static) -> Self {
        let life: BoxFuture<'static, Fault> = Box::pin(life);
        Self { access, lifeline: life.shared() }
    }

    /// A connection that is the link already.
    pub fn direct(link: Arc<dyn Link>, life: impl Future<Output = Fault> + Send + 'static) -> Self {
        Self::new(Box::new(Direct(link)), life)
    }
}

/// Where a connection leads: to a host whose engine may be down. It is found by a step of its own, so that
/// waiting for an engine costs no further login.
pub trait Access: Send + Sync {
    /// Finds the engine. May be asked again after a failure.
    fn link(&self) -> BoxFuture<'_, Result<Arc<dyn Link>, Fault>>;
}

/// The access of a transport without logins.
struct Direct(Arc<dyn Link>);

impl Access for Direct {
    fn link(&self) -> BoxFuture<'_, Result<Arc<dyn Link>, Fault>> {
        Box::pin(async { Ok(Arc::clone(&self.0)) })
    }
}

/// A byte stream to an engine.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// What can be done over a connection. Futures may be dropped at any point.
pub trait Link: Send + Sync {
    /// Opens a byte stream to the engine.
    fn open_engine(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>>;

    /// Opens a byte stream to the engine for another program, which may keep it for long; where streams
    /// cost sessions only a few are given, and one more is refused.
    fn open_stream(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        self.open_engine()
    }

    /// Opens a byte stream for an answer of the engine that may go on for long. Where streams cost sessions it
    /// is one of those for other programs.
    fn open_long(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        self.open_engine()
    }

    /// Opens a byte stream for the engine's events, which lasts as long as it may: where streams cost sessions
    /// it is refused, or ended, before a call goes without.
    fn open_events(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        self.open_engine()
    }

    /// Whether a call would have to wait for others to end before it reaches the engine.
    fn is_crowded(&self) -> bool {
        false
    }

    /// Runs a program on the host, never through a local shell, hands what it prints to `sink` as it comes,
    /// and returns its exit status; `None` when a signal ended it. Where the host allows no session for it,
    /// the first [`Command::max_output`] bytes of each stream come together at the end.
    fn stream<'a>(
        &'a self,
        command: &'a Command,
        sink: Sink<'a>,
    ) -> BoxFuture<'a, Result<Option<i32>, Fault>>;

    /// Runs a program on the host, and collects what it prints.
    fn exec<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Result<Output, Fault>> {
        Box::pin(async move {
            let mut collected = Collected::up_to(command.max_output);
            let status = self.stream(command, &mut |source, bytes| collected.take(source, bytes)).await?;
            Ok(collected.output(status))
        })
    }

    /// Asks whether the connection still carries data; a dead one ends its lifeline.
    fn suspect(&self);

    /// What the connection learnt about the way to the engine, for `host_test`.
    fn route(&self) -> &Route;
}

/// A program to run on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// What it reads from its standard input.
    pub stdin: Vec<u8>,
    /// The longest it may take.
    pub deadline: Duration,
    /// How many bytes of each output stream are kept where they are collected; the rest is read and dropped.
    pub max_output: usize,
}

impl Command {
    /// A command with nothing to read and the usual bounds: 30 s, 1 MiB of output.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            stdin: vec![],
            deadline: Duration::from_secs(30),
            max_output: 1 << 20,
        }
    }

    /// What is said of one that takes longer than it may.
    fn late(&self) -> Fault {
        let (program, seconds) = (self.argv.first().map_or("", String::as_str), self.deadline.as_secs());
        Fault::new(FaultKind::Deadline, format!("{program} took longer than {seconds} s"))
    }
}

/// What a program left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Its standard output, bounded.
    pub stdout: Vec<u8>,
    /// Its standard error, bounded.
    pub stderr: Vec<u8>,
}

/// One of a program's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Takes what a program prints, as it comes.
pub type Sink<'a> = &'a mut (dyn FnMut(Source, &[u8]) + Send);

/// What a program printed, of each stream the first bytes: a talkative program fills no memory.
#[derive(Debug)]
struct Collected {
    max: usize,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Collected {
    fn up_to(max: usize) -> Self {
        Self { max, stdout: vec![], stderr: vec![] }
    }

    fn take(&mut self, source: Source, bytes: &[u8]) {
        let kept = match source {
            Source::Stdout => &mut self.stdout,
            Source::Stderr => &mut self.stderr,
        };
        let room = self.max.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn output(self, status: Option<i32>) -> Output {
        Output { status, stdout: self.stdout, stderr: self.stderr }
    }
}

/// How a connection reaches its engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The engine's socket on the host.
    pub socket: String,
    /// How bytes get there.
    pub carrier: Carrier,
    /// The steps of connecting with the time each took.
    pub steps: Vec<(Step, Duration)>,
    /// The fingerprint of the host's ssh key (`SHA256:…`), where there is ssh.
    pub host_key: Option<String>,
}

/// How bytes get to an engine's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// A socket on this machine.
    Local,
    /// A socket forwarded by sshd.
    Forward,
    /// A port of the engine's own.
    Tcp,
    /// `docker system dial-stdio` in a session per stream, where sshd forwards no sockets.
    DialStdio,
}

/// A step on the way to an engine, in the order they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The hostname's address.
    Dns,
    /// A connection to the port.
    Tcp,
    /// The greeting of sshd.
    Banner,
    /// The host's key, compared with the known one.
    HostKey,
    /// The login; its time includes the steps before.
    Login,
    /// A POSIX shell that answers.
    Shell,
    /// A socket of an engine, and the permission to open it.
    Socket,
    /// The engine's answer.
    Engine,
}

impl Step {
    /// All of them in their order.
    pub const ALL: [Self; 8] = [
        Self::Dns,
        Self::Tcp,
        Self::Banner,
        Self::HostKey,
        Self::Login,
        Self::Shell,
        Self::Socket,
        Self::Engine,
    ];

    /// The stable word for output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Banner => "sshd",
            Self::HostKey => "host_key",
            Self::Login => "ssh_login",
            Self::Shell => "shell",
            Self::Socket => "engine_socket",
            Self::Engine => "engine_ping",
        }
    }

    /// The step at which a cause shows.
    pub const fn failing(kind: FaultKind) -> Self {
        match kind {
            FaultKind::Dns => Self::Dns,
            FaultKind::Refused | FaultKind::Unreachable | FaultKind::Timeout => Self::Tcp,
            FaultKind::NoBanner | FaultKind::Throttled => Self::Banner,
            FaultKind::HostKeyUnknown | FaultKind::HostKeyChanged => Self::HostKey,
            FaultKind::NoShell => Self::Shell,
            FaultKind::NoEngine
            | FaultKind::SessionsExhausted
            | FaultKind::ForwardingRefused
            | FaultKind::SocketDenied
            | FaultKind::SudoRefused
            | FaultKind::EnginesAmbiguous
            | FaultKind::TlsFailed => Self::Socket,
            FaultKind::EngineDown | FaultKind::ApiTooOld => Self::Engine,
            _ => Self::Login,
        }
    }
}

/// The connector for real hosts: picks the transport by the endpoint.
#[derive(Debug, Clone)]
pub struct SystemConnector {
    ssh: ssh::SshConnector,
}

impl SystemConnector {
    /// A connector for this machine and user: ssh is told `ssh`, logins in flight are bounded, and sockets
    /// lie in a runtime directory that goes with it.
    pub fn of_this_machine(ssh: ssh::SshSettings) -> Result<Self, DirError> {
        let (run_dir, logins) = (RunDir::create()?, LoginPermits::for_this_machine());
        Ok(Self { ssh: ssh::SshConnector::new(ssh, run_dir, logins) })
    }

    /// A connector whose ssh links follow `ssh`.
    pub fn new(ssh: ssh::SshConnector) -> Self {
        Self { ssh }
    }
}

impl Connector for SystemConnector {
    fn connect(&self, host: Arc<HostSpec>) -> BoxFuture<'static, Result<Connection, Fault>> {
        match &host.endpoint {
            Endpoint::Ssh(target) => {
                let (ssh, target) = (self.ssh.clone(), target.clone());
                Box::pin(async move { ssh.connect(&target).await })
            }
            Endpoint::Unix(path) => Box::pin(local::connect(path.clone())),
            Endpoint::Tcp(target) => Box::pin(tcp::connect(target.clone())),
        }
    }

    fn evidence(&self, host: Arc<HostSpec>) -> BoxFuture<'static, u64> {
        match &host.endpoint {
            Endpoint::Ssh(target) => {
                let (ssh, target) = (self.ssh.clone(), target.clone());
                Box::pin(async move { ssh.evidence(&target).await })
            }
            Endpoint::Unix(path) => {
                let path = path.clone();
                Box::pin(async move { process::stamp([path]) })
            }
            Endpoint::Tcp(target) => {
                let files = tcp::files(target);
                Box::pin(async move { process::stamp(files) })
            }
        }
    }
}
