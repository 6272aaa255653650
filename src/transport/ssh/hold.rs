//! The life of an anchor: its echo, and commands that it runs itself.

use super::anchor::{Anchor, ECHO_LIMIT, PING, is_answer};
use super::hello::{Said, run_line};
use crate::domain::fault::{Fault, FaultKind};
use crate::transport::{Collected, Command, Output, Source};
use std::collections::HashMap;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

/// Orders that wait for the anchor; it takes them at once.
const QUEUE: usize = 16;

/// The slowest shell reads so many bytes in a second.
const READ_PER_SECOND: usize = 100_000;

/// What the anchor is asked to do; clones ask the same anchor.
#[derive(Debug, Clone)]
pub(super) struct Orders(mpsc::Sender<Order>);

/// The other end of [`Orders`].
pub(super) type Ordered = mpsc::Receiver<Order>;

#[derive(Debug)]
pub(super) enum Order {
    /// Show that the link carries data.
    Echo,
    /// Run a command.
    Run(Job),
}

/// A command that is to be run.
#[derive(Debug)]
pub(super) struct Job {
    line: String,
    stdin: Vec<u8>,
    max_output: usize,
    done: oneshot::Sender<Output>,
}

/// A command at work.
struct Running {
    /// How many bytes the anchor had to read for it.
    length: usize,
    collected: Collected,
    done: oneshot::Sender<Output>,
}

impl Orders {
    pub(super) fn channel() -> (Self, Ordered) {
        let (sender, ordered) = mpsc::channel(QUEUE);
        (Self(sender), ordered)
    }

    /// Asks whether the link still carries data; a dead one ends the anchor's life.
    pub(super) fn echo(&self) {
        // An anchor that is gone has told so already, and one with a full queue is being looked at.
        let _ = self.0.try_send(Order::Echo);
    }

    /// Has the anchor run the shell's words `line`, with the input and the bounds of `command`.
    pub(super) async fn run(&self, line: String, command: &Command) -> Result<Output, Fault> {
        let (done, output) = oneshot::channel();
        let job = Job { line, stdin: command.stdin.clone(), max_output: command.max_output, done };
        let gone = || Fault::new(FaultKind::LinkLost, "the link ended before the command did");
        self.0.send(Order::Run(job)).await.map_err(|_| gone())?;
        output.await.map_err(|_| gone())
    }
}

/// An anchor that is held.
struct Held {
    anchor: Anchor,
    /// What ssh has not taken yet.
    outbox: Vec<u8>,
    /// The echo that is waited for, and until when; nobody can tell as long as ssh has not taken the question.
    echo: Option<(String, Option<Instant>)>,
    /// How many bytes of commands the anchor may still have to read before the question.
    unread: usize,
    jobs: HashMap<u64, Running>,
    numbers: u64,
}

/// Lives until ssh ends or an echo stays out; returns the cause.
pub(super) async fn hold(anchor: Anchor, mut ordered: Ordered) -> Fault {
    let mut held = Held { anchor, outbox: vec![], echo: None, unread: 0, jobs: HashMap::new(), numbers: 0 };
    loop {
        let anchor = &mut held.anchor;
        let late = held.echo.as_ref().and_then(|(_, until)| *until);
        tokio::select! {
            _ = anchor.child.wait() => return anchor.stderr.last_words().await,
            line = anchor.lines.next() => match line {
                Ok(Some(line)) => held.hear(line),
                _ => return anchor.stderr.last_words().await,
            },
            written = anchor.stdin.write(&held.outbox), if !held.outbox.is_empty() => match written {
                Ok(written) => held.sent(written),
                Err(_) => return anchor.stderr.last_words().await,
            },
            () = sleep_until(late.unwrap_or_else(Instant::now)), if late.is_some() => return held.silent(),
            // Without anybody to give orders the link is not used any more, and lives on until it is dropped.
            Some(order) = ordered.recv() => held.obey(order),
        }
    }
}

impl Held {
    fn obey(&mut self, order: Order) {
        self.numbers += 1;
        match order {
            // One at a time: it proves the same for all who ask meanwhile.
            Order::Echo if self.echo.is_some() => {}
            Order::Echo => {
                let word = format!("echo-{}", self.numbers);
                let asked =
                    if self.anchor.hello.is_forced { PING } else { &format!("{word}\n").into_bytes() };
                self.outbox.extend_from_slice(asked);
                self.echo = Some((word, None));
            }
            Order::Run(Job { line, stdin, max_output, done }) => {
                let line = run_line(self.numbers, &line, &stdin);
                self.unread += line.len();
                self.outbox.extend_from_slice(line.as_bytes());
                let collected = Collected::up_to(max_output);
                self.jobs.insert(self.numbers, Running { length: line.len(), collected, done });
            }
        }
    }

    /// ssh has taken so many bytes. A shell reads each of them by a system call: a command with much input
    /// before the question keeps it busy.
    fn sent(&mut self, bytes: usize) {
        self.outbox.drain(..bytes);
        if self.outbox.is_empty()
            && let Some((_, until)) = &mut self.echo
        {
            let read = u32::try_from(self.unread / READ_PER_SECOND).unwrap_or(u32::MAX);
            until.get_or_insert(Instant::now() + ECHO_LIMIT + Duration::from_secs(1) * read);
        }
    }

    fn hear(&mut self, line: String) {
        match Said::read(line) {
            Said::Out(number, bytes) => self.keep(number, Source::Stdout, &bytes),
            Said::Err(number, bytes) => self.keep(number, Source::Stderr, &bytes),
            Said::Exit(number, status) => {
                if let Some(job) = self.jobs.remove(&number) {
                    self.unread -= job.length;
                    // Whoever waited may have gone.
                    let _ = job.done.send(job.collected.output(status));
                }
            }
            Said::Line(line) => {
                let forced = self.anchor.hello.is_forced;
                let heard =
                    |(word, _): &mut (String, _)| if forced { is_answer(&line) } else { *word == line };
                self.echo.take_if(heard);
            }
        }
    }

    fn keep(&mut self, number: u64, source: Source, bytes: &[u8]) {
        // Whose caller has gone needs no room.
        if let Some(job) = self.jobs.get_mut(&number).filter(|job| !job.done.is_closed()) {
            job.collected.take(source, bytes);
        }
    }

    fn silent(&self) -> Fault {
        let seconds = ECHO_LIMIT.as_secs();
        let what = if self.anchor.hello.is_forced { "the engine behind the link" } else { "the link" };
        Fault::new(FaultKind::LinkLost, format!("{what} did not echo within {seconds} s"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::hello::{Hello, remote_command};
    use super::super::stderr::Stderr;
    use super::*;
    use crate::transport::process::{self, Lines};
    use futures_util::FutureExt as _;
    use std::process::Stdio;
    use std::sync::Arc;

    /// An anchor on this machine, without ssh: this shell script in the place of its remote side.
    async fn anchor(script: &str) -> Anchor {
        let mut command = process::command("sh");
        command.args(["-c", script]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stderr) = (child.stdin.take().unwrap(), Stderr::collect(child.stderr.take().unwrap()));
        let mut lines = Lines::new(child.stdout.take().unwrap(), 1000);
        let hello = Hello::read(&lines.next().await.unwrap().unwrap(), "nonce").unwrap();
        let (dir, login_took, shell_took) = (Arc::default(), Duration::ZERO, Duration::ZERO);
        Anchor { child, stdin, lines, stderr, hello, dir, login_took, shell_took }
    }

    #[tokio::test]
    async fn commands_and_echoes_share_an_anchor() {
        let (orders, ordered) = Orders::channel();
        let life = hold(anchor(&remote_command("nonce")).await, ordered).shared();
        let work = async {
            let long: Vec<u8> = (0..300_000_u32).map(|byte| byte.to_le_bytes()[0]).collect();
            let command = Command { stdin: long.clone(), ..Command::new(["cat"]) };
            let other = Command::new(["sh"]);
            let echoes = async {
                for _ in 0..5 {
                    tokio::task::yield_now().await;
                    orders.echo();
                }
            };
            let (copied, failed, ()) = tokio::join!(
                orders.run("cat".into(), &command),
                orders.run("sh -c 'echo no >&2; exit 3'".into(), &other),
                echoes,
            );
            assert!(copied.unwrap() == Output { status: Some(0), stdout: long, stderr: vec![] });
            let failed = failed.unwrap();
            assert_eq!((failed.status, failed.stdout, failed.stderr), (Some(3), vec![], b"no\n".to_vec()));
        };
        tokio::select! {
            fault = life.clone() => panic!("{fault}"),
            () = work => {}
        }
        assert!(life.now_or_never().is_none());
    }

    #[tokio::test]
    async fn an_anchor_that_does_not_echo_is_lost() {
        let (orders, ordered) = Orders::channel();
        let dir = tempfile::tempdir().unwrap();
        let heard = dir.path().join("heard");
        let script =
            format!("printf 'nonce\\tod\\t\\n'; while read -r l; do echo \"$l\" >>{}; done", heard.display());
        let anchor = anchor(&script).await;
        for _ in 0..5 {
            orders.echo();
        }
        let fault = hold(anchor, ordered).await;
        let heard = std::fs::read_to_string(heard).unwrap();
        assert_eq!(heard.lines().count(), 1, "whoever asks meanwhile waits for the same echo: {heard}");
        assert_eq!(fault.kind, FaultKind::LinkLost, "{fault}");
        assert!(fault.detail.contains("did not echo within 2 s"), "{fault}");
    }
}
