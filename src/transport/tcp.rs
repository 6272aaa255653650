//! An engine at a port of its own, with certificates on both sides or (where its owner says so) without
//! any protection.

use super::{ByteStream, Carrier, Command, Connection, Link, Route, Sink, Step};
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::TcpTarget;
use futures_util::future::BoxFuture;
use rustix::net::sockopt;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// A machine that has not answered by then is off, or a firewall drops packets.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// There is no keepalive as ssh has one: a ping over a connection of its own finds a silent engine.
const PING_EVERY: Duration = Duration::from_secs(10);

/// A living engine answers a ping within milliseconds.
const PING_LIMIT: Duration = Duration::from_secs(3);

const PING: &[u8] = b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n";

struct TcpLink {
    dialer: Dialer,
    route: Route,
    suspicion: Arc<Notify>,
}

/// Opens streams to an engine.
#[derive(Clone)]
struct Dialer {
    target: TcpTarget,
    tls: Option<TlsConnector>,
}

/// Connects to the engine at `target`.
pub(super) async fn connect(target: TcpTarget) -> Result<Connection, Fault> {
    let started = Instant::now();
    let tls = match target.certificates.clone() {
        // Files may lie on a share that hangs; a thread may wait for it.
        Some(directory) => match tokio::task::spawn_blocking(move || tls_connector(&directory)).await {
            Ok(made) => Some(made?),
            Err(panic) => return Err(Fault::new(FaultKind::Internal, panic.to_string())),
        },
        None => None,
    };
    let dialer = Dialer { target, tls };
    dialer.ping(CONNECT_LIMIT).await?;
    let route = Route {
        socket: dialer.place(),
        carrier: Carrier::Tcp,
        steps: vec![(Step::Socket, started.elapsed())],
        host_key: None,
    };
    let suspicion = Arc::new(Notify::new());
    let link = TcpLink { dialer: dialer.clone(), route, suspicion: Arc::clone(&suspicion) };
    let lifeline = async move {
        loop {
            // Whether somebody suspects it or time has passed: it is asked.
            let _ = timeout(PING_EVERY, suspicion.notified()).await;
            if let Err(fault) = dialer.ping(PING_LIMIT).await {
                return fault;
            }
        }
    };
    Ok(Connection::direct(Arc::new(link), lifeline))
}

/// The files that decide about a connection to `target`.
pub(super) fn files(target: &TcpTarget) -> Vec<PathBuf> {
    let directory = target.certificates.as_deref().map(at_home);
    directory.map_or(vec![], |directory| {
        ["ca.pem", "cert.pem", "key.pem"].map(|file| directory.join(file)).to_vec()
    })
}

/// `~/` is the home of whoever runs Dockmaster.
fn at_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), etcetera::home_dir()) {
        (Ok(rest), Ok(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

fn tls_connector(certificates: &Path) -> Result<TlsConnector, Fault> {
    let directory = at_home(certificates);
    let unusable = |file: &str, error: &dyn std::fmt::Display| {
        Fault::new(FaultKind::TlsFailed, format!("{}: {error}", directory.join(file).display()))
    };
    let read = |file: &str| -> Result<Vec<CertificateDer<'static>>, Fault> {
        let found = CertificateDer::pem_file_iter(directory.join(file)).and_then(Iterator::collect);
        found.map_err(|error| unusable(file, &error))
    };
    let mut roots = RootCertStore::empty();
    for root in read("ca.pem")? {
        roots.add(root).map_err(|error| unusable("ca.pem", &error))?;
    }
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem"))
        .map_err(|error| unusable("key.pem", &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("", &error))?
        .with_root_certificates(roots)
        .with_client_auth_cert(read("cert.pem")?, key)
        .map_err(|error| unusable("cert.pem", &error))?;
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A stream that is idle for hours ends when the machine at its other end is gone: within half a minute.
fn keep_alive(stream: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(15))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(5))?;
    sockopt::set_tcp_keepcnt(stream, 3)
}

impl Dialer {
    fn place(&self) -> String {
        format!("{}:{}", self.target.hostname, self.target.port)
    }

    async fn open(&self) -> Result<Box<dyn ByteStream>, Fault> {
        let name = self.target.hostname.as_str();
        let dialing = TcpStream::connect((name, self.target.port));
        let seconds = CONNECT_LIMIT.as_secs();
        let late =
            || Fault::new(FaultKind::Timeout, format!("no answer from {} within {seconds} s", self.place()));
        let stream = timeout(CONNECT_LIMIT, dialing).await.map_err(|_| late())?;
        let stream = stream.map_err(|error| self.fault(&error))?;
        stream.set_nodelay(true).map_err(|error| self.fault(&error))?;
        keep_alive(&stream).map_err(|error| self.fault(&error.into()))?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let server = ServerName::try_from(name.to_owned())
            .map_err(|error| Fault::new(FaultKind::TlsFailed, format!("{name}: {error}")))?;
        let shaken = timeout(CONNECT_LIMIT, tls.connect(server, stream)).await.map_err(|_| late())?;
        Ok(Box::new(shaken.map_err(|error| self.fault(&error))?))
    }

    /// Asks the engine for a sign of life. Whether it trusts our certificate shows only at its first
    /// answer.
    async fn ping(&self, limit: Duration) -> Result<(), Fault> {
        let exchange = async {
            let mut stream = self.open().await?;
            let mut answer = [0; 12];
            let asked = async {
                stream.write_all(PING).await?;
                stream.flush().await?;
                stream.read_exact(&mut answer).await
            };
            asked.await.map_err(|error| self.fault(&error))?;
            // An engine with TLS that is asked without it answers 400.
            if answer.starts_with(b"HTTP/1.1 200") || answer.starts_with(b"HTTP/1.0 200") {
                return Ok(());
            }
            let words = format!("{} is no engine, or one that wants TLS", self.place());
            Err(Fault::new(FaultKind::NoEngine, words))
        };
        timeout(limit, exchange).await.unwrap_or_else(|_| {
            let seconds = limit.as_secs();
            Err(Fault::new(FaultKind::EngineDown, format!("no answer to a ping within {seconds} s")))
        })
    }

    fn fault(&self, error: &Error) -> Fault {
        let tls = error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>);
        let kind = match error.kind() {
            _ if tls => FaultKind::TlsFailed,
            ErrorKind::ConnectionRefused => FaultKind::Refused,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => FaultKind::Unreachable,
            ErrorKind::TimedOut => FaultKind::Timeout,
            _ if error.to_string().contains("lookup address") => FaultKind::Dns,
            _ => FaultKind::LinkLost,
        };
        Fault::new(kind, format!("{}: {error}", self.place()))
    }
}

impl Link for TcpLink {
    fn open_engine(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        Box::pin(self.dialer.open())
    }

    fn stream<'a>(&'a self, _: &'a Command, _: Sink<'a>) -> BoxFuture<'a, Result<Option<i32>, Fault>> {
        Box::pin(async {
            let words = "the host is reached at its engine's port alone, so no program can be run there";
            Err(Fault::new(FaultKind::NoShell, words))
        })
    }

    fn suspect(&self) {
        self.suspicion.notify_one();
    }

    fn route(&self) -> &Route {
        &self.route
    }
}
