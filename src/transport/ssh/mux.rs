//! Sessions of the one login: commands, and streams through `docker system dial-stdio`.

use super::budget::{Budget, Budgets, WITHHELD};
use super::classify::classify;
use super::dialstdio::DialStdio;
use super::hold::Orders;
use crate::domain::fault::{Fault, FaultKind};
use crate::transport::process::{pump, write_all};
use crate::transport::{Collected, Command, Output, Sink, Source};
use openssh::{Child, Session, Stdio};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// A shell's exit status for a command that does not exist (POSIX, 2.8.2).
pub(super) const NOT_FOUND: i32 = 127;

/// A session that has ended here is closed by sshd within this time.
const CLOSES_WITHIN: Duration = Duration::from_secs(1);

/// How often it is asked for again meanwhile.
const REFUSALS: u32 = 10;

/// What a login gives to run commands with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shell {
    /// A shell.
    Plain,
    /// A shell that runs docker as root.
    Sudo,
    /// Nothing: it answers whatever it is told with the engine's stream.
    Forced,
}

/// The login's sessions beside the anchor's.
pub(super) struct Mux {
    pub(super) session: Arc<Session>,
    pub(super) shell: Shell,
    pub(super) budgets: Budgets,
    orders: Orders,
    /// Whether the anchor can run commands.
    runs_commands: bool,
    /// Sessions that are open now.
    open: Arc<AtomicUsize>,
    /// What ends the stream of events, and until when there is to be none.
    events: Mutex<(CancellationToken, Option<Instant>)>,
}

/// An open session.
pub(super) struct Open(Arc<AtomicUsize>);

impl Open {
    fn count(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Mux {
    pub(super) fn new(control: &Path, shell: Shell, orders: Orders, runs_commands: bool) -> Self {
        let session = Arc::new(Session::resume_mux(control.into(), None));
        let (budgets, open, events) = (Budgets::default(), Arc::default(), Mutex::default());
        Self { session, shell, budgets, orders, runs_commands, open, events }
    }

    /// Runs a command and collects what it prints.
    pub(super) async fn exec(&self, command: &Command, budget: &Budget) -> Result<Output, Fault> {
        let mut collected = Collected::up_to(command.max_output);
        let status = self.stream(command, budget, &mut |source, bytes| collected.take(source, bytes)).await?;
        Ok(collected.output(status))
    }

    /// Runs a command in a session of `budget`. Where sshd has none left, it waits for one of ours; where
    /// there is none of ours either (`MaxSessions 1`), the anchor runs it.
    pub(super) async fn stream(
        &self,
        command: &Command,
        budget: &Budget,
        sink: Sink<'_>,
    ) -> Result<Option<i32>, Fault> {
        if self.shell == Shell::Forced {
            let words =
                "the login is for the engine alone (a forced command), so nothing else can be run there";
            return Err(Fault::new(FaultKind::NoShell, words));
        }
        let line = shell_line(self.shell, &command.argv)?;
        loop {
            let Some(permit) = budget.take().await else { return Err(closing()) };
            match within(command, self.in_session(&line, command, &mut *sink)).await {
                Err(fault) if fault.kind == FaultKind::SessionsExhausted => {
                    let kept = if self.has_open() { budget.shrink(permit) } else { Some(permit) };
                    let Some(_permit) = kept else {
                        tracing::debug!("sshd allows fewer sessions than were asked for; fewer are used");
                        continue;
                    };
                    if !self.runs_commands {
                        return Err(fault);
                    }
                    let Output { status, stdout, stderr } =
                        within(command, self.orders.run(line, command)).await?;
                    sink(Source::Stdout, &stdout);
                    sink(Source::Stderr, &stderr);
                    return Ok(status);
                }
                outcome => return outcome,
            }
        }
    }

    /// Opens a byte stream to `socket` for a call. Where sshd has no session left, it waits for another
    /// call's; where there is none, the events make room.
    pub(super) async fn dial_for_call(&self, socket: &str) -> Result<DialStdio, Fault> {
        let calls = &self.budgets.calls;
        let mut refusals = 0;
        loop {
            let permit = calls.take().await.ok_or_else(closing)?;
            let (fault, permit) = match self.dial(socket, permit, CancellationToken::new()).await {
                Ok(stream) => return Ok(stream),
                Err(Dialled { fault, permit: Some(permit) })
                    if fault.kind == FaultKind::SessionsExhausted =>
                {
                    (fault, permit)
                }
                Err(Dialled { fault, .. }) => return Err(fault),
            };
            if calls.in_use() > 1 && calls.shrink(permit).is_none() {
                continue;
            }
            self.end_events();
            refusals += 1;
            if refusals > REFUSALS {
                return Err(fault);
            }
            sleep(CLOSES_WITHIN / REFUSALS).await;
        }
    }

    /// Opens a byte stream to `socket` for the engine's events, where calls do without its session.
    pub(super) async fn dial_for_events(&self, socket: &str) -> Result<DialStdio, Fault> {
        let few =
            || Fault::new(FaultKind::SessionsExhausted, "sshd allows too few sessions to follow events");
        let cut = CancellationToken::new();
        let permit = {
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            let unwelcome = events.1.is_some_and(|until| until > Instant::now());
            if unwelcome || self.budgets.calls.is_shrunk() {
                return Err(few());
            }
            let permit = self.budgets.events.try_take().ok_or_else(few)?;
            events.0 = cut.clone();
            permit
        };
        self.dial(socket, permit, cut).await.map_err(|dialled| dialled.fault)
    }

    /// Ends the stream of events, if there is one, for a while.
    fn end_events(&self) {
        if self.budgets.events.in_use() > 0 {
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            events.0.cancel();
            events.1 = Some(Instant::now() + WITHHELD);
        }
    }

    /// Opens a byte stream to `socket`, which `cut` ends before its time.
    pub(super) async fn dial(
        &self,
        socket: &str,
        permit: OwnedSemaphorePermit,
        cut: CancellationToken,
    ) -> Result<DialStdio, Dialled> {
        let line = shell_line(self.shell, &dial_stdio(socket));
        let line = line.map_err(|fault| Dialled { fault, permit: None })?;
        let command = Arc::clone(&self.session).arc_raw_command(line);
        match self.open(command, Stdio::piped(), Stdio::null()).await {
            Ok((child, open)) => DialStdio::new(child, open, permit, cut).ok_or_else(|| {
                let fault = Fault::new(FaultKind::Internal, "dial-stdio without pipes");
                Dialled { fault, permit: None }
            }),
            Err(fault) => Err(Dialled { fault, permit: Some(permit) }),
        }
    }

    /// Whether a session of ours is open beside the anchor's.
    fn has_open(&self) -> bool {
        self.open.load(Ordering::SeqCst) > 0
    }

    async fn open(
        &self,
        mut command: openssh::OwningCommand<Arc<Session>>,
        stdin: Stdio,
        stderr: Stdio,
    ) -> Result<(Child<Arc<Session>>, Open), Fault> {
        let child = command.stdin(stdin).stdout(Stdio::piped()).stderr(stderr).spawn().await;
        Ok((child.map_err(|error| mux_fault(&error))?, Open::count(&self.open)))
    }

    async fn in_session(&self, line: &str, command: &Command, sink: Sink<'_>) -> Result<Option<i32>, Fault> {
        let stdin = if command.stdin.is_empty() { Stdio::null() } else { Stdio::piped() };
        let opened = Arc::clone(&self.session).arc_raw_command(line);
        let (mut child, _open) = self.open(opened, stdin, Stdio::piped()).await?;
        let (stdin, stdout, stderr) = (child.stdin().take(), child.stdout().take(), child.stderr().take());
        tokio::join!(pump(stdout, stderr, sink), write_all(stdin, &command.stdin));
        // Only now: waiting gives the session up as soon as the exit status is there, and with it what
        // ssh has not delivered yet.
        match child.wait().await {
            Ok(status) => Ok(status.code()),
            // The client library makes an error of the shell's "not found".
            Err(openssh::Error::Remote(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Some(NOT_FOUND))
            }
            Err(error) => Err(mux_fault(&error)),
        }
    }
}

/// A stream that could not be opened; the permit is there when sshd refused the session.
pub(super) struct Dialled {
    pub(super) fault: Fault,
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// The command that carries the engine's stream.
pub(super) fn dial_stdio(socket: &str) -> [String; 5] {
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

async fn within<T>(command: &Command, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    timeout(command.deadline, work).await.unwrap_or_else(|_| Err(command.late()))
}

fn closing() -> Fault {
    Fault::new(FaultKind::LinkLost, "the link is closing")
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

#[cfg(test)]
mod tests {
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
}
