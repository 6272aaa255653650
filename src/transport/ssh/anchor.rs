//! The anchor: the ssh process, from spawning it to its first line, and its echo afterwards.

use super::classify::{classify, classify_session};
use super::options::{SshSettings, anchored};
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::SshTarget;
use crate::runtime::dirs::RunDir;
use crate::transport::process::{self, read_line};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// The longest a login may take, its key exchange and a touch of a hardware key included.
const LOGIN_LIMIT: Duration = Duration::from_secs(25);

/// A shell that prints nothing for this long after the login will print nothing at all.
const SHELL_LIMIT: Duration = Duration::from_secs(5);

/// A living link echoes within a fraction of a millisecond on top of the round trip.
const ECHO_LIMIT: Duration = Duration::from_secs(2);

/// ssh's last words are awaited this long after its end.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A longer line says nothing that anybody waits for.
const MAX_LINE: usize = 16 * 1024;

/// How much of ssh's standard error is kept.
const MAX_STDERR: usize = 64 * 1024;

/// A logged-in ssh whose remote side echoes.
pub(super) struct Anchor {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: Stderr,
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
#[derive(Debug)]
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

/// What the anchor prints: the environment's engine, the home directory, the sockets it sees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Hello {
    /// `DOCKER_HOST` of the login, when set.
    pub(super) docker_host: Option<String>,
    /// The engines' sockets found, in order of preference.
    pub(super) sockets: Vec<Candidate>,
    /// The login gives no shell: whatever is run there, a forced `docker system dial-stdio` answers.
    pub(super) is_forced: bool,
}

/// A socket that an engine may be behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Where it was looked for.
    pub(super) path: String,
    /// Where that leads, links followed.
    pub(super) resolved: String,
    /// Whether the login may open it.
    pub(super) may_open: bool,
}

impl Hello {
    /// Reads the tab-separated line after the nonce.
    fn parse(rest: &str) -> Self {
        let mut fields = rest.split('\t');
        let docker_host = fields.next().filter(|host| !host.is_empty()).map(ToOwned::to_owned);
        let sockets = fields.filter_map(|field| {
            let (access, place) = field.split_once(':')?;
            let (path, resolved) = place.split_once('|')?;
            let may_open = access == "rw";
            Some(Candidate { path: path.to_owned(), resolved: resolved.to_owned(), may_open })
        });
        Self { docker_host, sockets: sockets.collect(), is_forced: false }
    }
}

/// The remote command. `exec` leaves no shell between sshd and `cat`, and `sh -c` in single quotes
/// means the same to every login shell. It ends when its input does, that is, with us.
fn remote_command(nonce: &str) -> String {
    format!(
        "exec sh -c 'r=${{XDG_RUNTIME_DIR:-/run/user/$(id -u)}}; printf \"{nonce}\\t%s\" \"${{DOCKER_HOST:-}}\"; \
         for s in /var/run/docker.sock \"$r/docker.sock\" \"$r/podman/podman.sock\" /run/podman/podman.sock; do \
         if [ -S \"$s\" ]; then a=no; [ -w \"$s\" ] && a=rw; \
         printf \"\\t%s:%s|%s\" $a \"$s\" \"$(readlink -f \"$s\" 2>/dev/null || echo \"$s\")\"; fi; \
         done; printf \"\\n\"; exec cat'"
    )
}

/// A word no login message prints by chance.
fn fresh_nonce() -> String {
    format!("dockmaster-{:016x}", rand::random::<u64>())
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
        let mut stdout = BufReader::new(stdout);

        let logged_in = timeout(LOGIN_LIMIT, stderr.authenticated());
        tokio::select! {
            outcome = logged_in => match outcome {
                Ok(true) => {}
                Ok(false) => return Err(stderr.last_words().await),
                Err(_) => return Err(Fault::new(FaultKind::Timeout, format!("no login within {} s", LOGIN_LIMIT.as_secs()))),
            },
            _ = child.wait() => return Err(stderr.last_words().await),
        }
        let login_took = started.elapsed();

        let shell_started = Instant::now();
        let hello = timeout(SHELL_LIMIT, find_hello(&mut stdout, &nonce)).await;
        let hello = match hello {
            Ok(Some(hello)) => hello,
            Ok(None) => {
                // The session ended: refused (MaxSessions), or a command that is no shell.
                return Err(classify_session(&stderr.all().await));
            }
            Err(_) if ping(&mut stdin, &mut stdout).await => Hello { is_forced: true, ..Hello::default() },
            Err(_) => {
                return Err(Fault::new(FaultKind::NoShell, "the login succeeded, but sh did not answer"));
            }
        };
        let shell_took = shell_started.elapsed();
        Ok(Self { child, stdin, stdout, stderr, hello, dir, login_took, shell_took })
    }

    /// Lives until ssh ends or an echo that `suspicions` asks for stays out; returns the cause.
    pub(super) async fn hold(mut self, mut suspicions: watch::Receiver<u64>) -> Fault {
        loop {
            tokio::select! {
                _ = self.child.wait() => return self.stderr.last_words().await,
                changed = suspicions.changed() => {
                    if changed.is_err() {
                        // Nobody uses the link any more, and nobody can suspect it.
                        let _ = self.child.wait().await;
                        return self.stderr.last_words().await;
                    }
                    let number = *suspicions.borrow_and_update();
                    if let Err(fault) = self.echo(number).await {
                        return fault;
                    }
                }
            }
        }
    }

    async fn echo(&mut self, number: u64) -> Result<(), Fault> {
        if self.hello.is_forced {
            let seconds = ECHO_LIMIT.as_secs();
            let lost = Fault::new(
                FaultKind::LinkLost,
                format!("the engine did not answer over the link within {seconds} s"),
            );
            return if ping(&mut self.stdin, &mut self.stdout).await { Ok(()) } else { Err(lost) };
        }
        let word = format!("echo-{number}");
        let exchange = async {
            self.stdin.write_all(format!("{word}\n").as_bytes()).await?;
            while let Some(line) = read_line(&mut self.stdout, MAX_LINE).await? {
                if line == word {
                    return Ok(());
                }
            }
            Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
        };
        match timeout(ECHO_LIMIT, exchange).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.stderr.last_words().await),
            Err(_) => {
                let seconds = ECHO_LIMIT.as_secs();
                Err(Fault::new(FaultKind::LinkLost, format!("the link did not echo within {seconds} s")))
            }
        }
    }
}

/// Whether an engine answers at the other end: then the login runs `docker system dial-stdio`, whatever it
/// is told to run.
async fn ping(stdin: &mut ChildStdin, stdout: &mut BufReader<ChildStdout>) -> bool {
    let exchange = async {
        stdin.write_all(b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n").await?;
        while let Some(line) = read_line(stdout, MAX_LINE).await? {
            // Of an answer before, its body may stand in front: that ends without a line feed.
            if line.contains("HTTP/1.1 200") {
                return Ok(());
            }
        }
        Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
    };
    matches!(timeout(ECHO_LIMIT, exchange).await, Ok(Ok(())))
}

/// Skips what login scripts print before the anchor's own line.
async fn find_hello(stdout: &mut BufReader<ChildStdout>, nonce: &str) -> Option<Hello> {
    while let Ok(Some(line)) = read_line(stdout, MAX_LINE).await {
        if let Some((_, rest)) = line.split_once(nonce) {
            return Some(Hello::parse(rest.strip_prefix('\t').unwrap_or(rest)));
        }
    }
    None
}

fn internal(what: &str, error: &std::io::Error) -> Fault {
    Fault::new(FaultKind::Internal, format!("{what}: {error}"))
}

/// Collects ssh's standard error beside everything else.
struct Stderr {
    text: Arc<Mutex<String>>,
    authenticated: watch::Receiver<bool>,
    reader: tokio_util::task::AbortOnDropHandle<()>,
}

impl Stderr {
    fn collect(stderr: ChildStderr) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let (seen, authenticated) = watch::channel(false);
        let kept = Arc::clone(&text);
        let read = async move {
            let mut stderr = BufReader::new(stderr);
            while let Ok(Some(line)) = read_line(&mut stderr, MAX_LINE).await {
                let mut text = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if line.starts_with("Authenticated to ") {
                    // What went wrong on the way to a login that worked explains nothing later.
                    text.clear();
                    seen.send_replace(true);
                }
                if text.len() + line.len() < MAX_STDERR {
                    text.push_str(line.trim_end());
                    text.push('\n');
                }
            }
        };
        #[expect(clippy::disallowed_methods, reason = "ends with the pipe, and is aborted with its owner")]
        let reader = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(read));
        Self { text, authenticated, reader }
    }

    /// Whether the login succeeded; waits until it did or ssh closed its standard error.
    async fn authenticated(&mut self) -> bool {
        self.authenticated.wait_for(|seen| *seen).await.is_ok()
    }

    /// The cause in what ssh printed, once it has printed everything.
    async fn last_words(&mut self) -> Fault {
        classify(&self.all().await)
    }

    /// What ssh printed since the login, once it has printed everything.
    async fn all(&mut self) -> String {
        let _ = timeout(LAST_WORDS, &mut self.reader).await;
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hello_names_engine_and_sockets() {
        let hello = Hello::parse(
            "unix:///x.sock\trw:/var/run/docker.sock|/run/docker.sock\tno:/run/podman/podman.sock|/run/podman/podman.sock",
        );
        assert_eq!(hello.docker_host.as_deref(), Some("unix:///x.sock"));
        assert_eq!(
            hello.sockets,
            [
                Candidate {
                    path: "/var/run/docker.sock".into(),
                    resolved: "/run/docker.sock".into(),
                    may_open: true
                },
                Candidate {
                    path: "/run/podman/podman.sock".into(),
                    resolved: "/run/podman/podman.sock".into(),
                    may_open: false
                },
            ]
        );
        assert_eq!(Hello::parse(""), Hello::default());
    }

    #[tokio::test]
    async fn the_remote_command_says_hello_and_echoes_in_every_shell_at_hand() {
        for shell in ["sh", "bash", "dash"] {
            let spec = crate::transport::Command::new([shell, "-c", &remote_command("nonce-1")]);
            // A closed input ends the anchor right after its hello.
            let output = process::run(&spec).await.unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.starts_with("nonce-1\t") && text.ends_with('\n'), "{shell}: {text:?}");
            assert_eq!(output.status, Some(0));
        }
    }
}
