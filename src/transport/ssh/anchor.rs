//! The anchor: the ssh process, from spawning it to its first line.

use super::hello::{Hello, fresh_nonce, remote_command};
use super::options::{SshSettings, anchored};
use super::stderr::Stderr;
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::SshTarget;
use crate::runtime::dirs::RunDir;
use crate::transport::process::{self, Lines};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::{Instant, timeout};

/// The longest a login may take, its key exchange and a touch of a hardware key included.
const LOGIN_LIMIT: Duration = Duration::from_secs(25);

/// A shell that prints nothing for this long after the login will print nothing at all.
const SHELL_LIMIT: Duration = Duration::from_secs(5);

/// A living link echoes within a fraction of a millisecond on top of the round trip.
pub(super) const ECHO_LIMIT: Duration = Duration::from_secs(2);

/// A longer line says nothing that anybody waits for.
const MAX_LINE: usize = 16 * 1024;

/// What a forced `docker system dial-stdio` is asked in the place of an echo.
pub(super) const PING: &[u8] = b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n";

/// A logged-in ssh whose remote side has said hello.
pub(super) struct Anchor {
    pub(super) child: Child,
    pub(super) stdin: ChildStdin,
    pub(super) lines: Lines<ChildStdout>,
    pub(super) stderr: Stderr,
    /// What the anchor said about the host.
    pub(super) hello: Hello,
    /// Where control and engine socket lie.
    pub(super) dir: Arc<LinkDir>,
    /// How long the login took.
    pub(super) login_took: Duration,
    /// How long the shell took after it.
    pub(super) shell_took: Duration,
}

/// A directory of one link; removed with it.
#[derive(Debug, Default)]
pub(super) struct LinkDir(PathBuf);

impl LinkDir {
    /// ssh's control socket.
    pub(super) fn control(&self) -> PathBuf {
        self.0.join("c")
    }

    /// The engine's socket, forwarded.
    pub(super) fn engine(&self) -> PathBuf {
        self.0.join("e")
    }
}

impl Drop for LinkDir {
    fn drop(&mut self) {
        // Best effort: the whole runtime directory goes with the process.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Anchor {
    /// Starts ssh, waits for the login and for the anchor's first line.
    pub(super) async fn cast(
        settings: &SshSettings,
        target: &SshTarget,
        run_dir: &RunDir,
    ) -> Result<Self, Fault> {
        let dir = run_dir
            .fresh()
            .map(|dir| Arc::new(LinkDir(dir)))
            .map_err(|error| internal("runtime directory", &error))?;
        let nonce = fresh_nonce();
        let started = Instant::now();
        let mut child = process::command("ssh")
            .args(anchored(settings, target, &dir.control()))
            .arg(remote_command(&nonce))
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Fault::new(FaultKind::SshMissing, "ssh is not in PATH"),
                _ => internal("ssh", &error),
            })?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Fault::new(FaultKind::Internal, "ssh started without pipes"));
        };
        let mut stderr = Stderr::collect(stderr);
        let mut lines = Lines::new(stdout, MAX_LINE);

        let logged_in = timeout(LOGIN_LIMIT, stderr.authenticated());
        tokio::select! {
            outcome = logged_in => match outcome {
                Ok(true) => {}
                Ok(false) => return Err(stderr.last_words().await),
                Err(_) => return Err(Fault::new(FaultKind::Timeout, format!("no login within {} s", LOGIN_LIMIT.as_secs()))),
            },
            _ = child.wait() => return Err(stderr.last_words_of_start().await),
        }
        let login_took = started.elapsed();

        let shell_started = Instant::now();
        let hello = match timeout(SHELL_LIMIT, find_hello(&mut lines, &nonce)).await {
            Ok(Some(hello)) => hello,
            // The session ended: refused (MaxSessions), or a command that is no shell.
            Ok(None) => return Err(stderr.last_words_of_session().await),
            Err(_) if is_engine(&mut stdin, &mut lines).await => Hello::forced(),
            Err(_) => {
                return Err(Fault::new(FaultKind::NoShell, "the login succeeded, but sh did not answer"));
            }
        };
        stderr.forget_channels();
        let shell_took = shell_started.elapsed();
        Ok(Self { child, stdin, lines, stderr, hello, dir, login_took, shell_took })
    }
}

/// Skips what login scripts print before the anchor's own line.
async fn find_hello(lines: &mut Lines<ChildStdout>, nonce: &str) -> Option<Hello> {
    while let Ok(Some(line)) = lines.next().await {
        if let Some(hello) = Hello::read(&line, nonce) {
            return Some(hello);
        }
    }
    None
}

/// Whether an engine answers at the other end: then the login runs `docker system dial-stdio`, whatever it
/// is told to run.
async fn is_engine(stdin: &mut ChildStdin, lines: &mut Lines<ChildStdout>) -> bool {
    let exchange = async {
        stdin.write_all(PING).await?;
        while let Some(line) = lines.next().await? {
            if is_answer(&line) {
                return Ok(());
            }
        }
        Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
    };
    matches!(timeout(ECHO_LIMIT, exchange).await, Ok(Ok(())))
}

/// Whether an engine says this to [`PING`]. Of an answer before, its body may stand in front: that ends
/// without a line feed.
pub(super) fn is_answer(line: &str) -> bool {
    line.contains("HTTP/1.1 200")
}

fn internal(what: &str, error: &std::io::Error) -> Fault {
    Fault::new(FaultKind::Internal, format!("{what}: {error}"))
}
