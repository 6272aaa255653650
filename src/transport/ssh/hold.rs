//! The life of an anchor: its echo, and commands that it runs itself.

use super::anchor::{Anchor, ECHO_LIMIT, PING, is_answer};
use super::hello::{Said, run_line};
use crate::domain::fault::{Fault, FaultKind};
use crate::transport::{Command, Output};
use std::collections::HashMap;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

/// Orders that wait for the anchor; it takes them at once.
const QUEUE: usize = 16;

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

/// A command at work.
#[derive(Debug)]
pub(super) struct Job {
    line: String,
    stdin: Vec<u8>,
    max_output: usize,
    output: Output,
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
        let job = Job {
            line,
            stdin: command.stdin.clone(),
            max_output: command.max_output,
            output: Output { status: None, stdout: vec![], stderr: vec![] },
            done,
        };
        let gone = || Fault::new(FaultKind::LinkLost, "the link ended before the command did");
        self.0.send(Order::Run(job)).await.map_err(|_| gone())?;
        output.await.map_err(|_| gone())
    }
}

impl Job {
    fn keep(&mut self, of_stderr: bool, bytes: &[u8]) {
        let kept = if of_stderr { &mut self.output.stderr } else { &mut self.output.stdout };
        let room = self.max_output.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// An anchor that is held.
struct Held {
    anchor: Anchor,
    /// What ssh has not taken yet.
    outbox: Vec<u8>,
    /// The echo that is waited for, and until when.
    echo: Option<(String, Instant)>,
    jobs: HashMap<u64, Job>,
    numbers: u64,
}

/// Lives until ssh ends or an echo stays out; returns the cause.
pub(super) async fn hold(anchor: Anchor, mut ordered: Ordered) -> Fault {
    let mut held = Held { anchor, outbox: vec![], echo: None, jobs: HashMap::new(), numbers: 0 };
    loop {
        let anchor = &mut held.anchor;
        let late = held.echo.as_ref().map_or_else(Instant::now, |(_, until)| *until);
        tokio::select! {
            _ = anchor.child.wait() => return anchor.stderr.last_words().await,
            line = anchor.lines.next() => match line {
                Ok(Some(line)) => held.hear(line),
                _ => return anchor.stderr.last_words().await,
            },
            written = anchor.stdin.write(&held.outbox), if !held.outbox.is_empty() => match written {
                Ok(written) => drop(held.outbox.drain(..written)),
                Err(_) => return anchor.stderr.last_words().await,
            },
            () = sleep_until(late), if held.echo.is_some() => return held.silent(),
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
                self.echo = Some((word, Instant::now() + ECHO_LIMIT));
            }
            Order::Run(job) => {
                self.outbox.extend_from_slice(run_line(self.numbers, &job.line, &job.stdin).as_bytes());
                self.jobs.insert(self.numbers, job);
            }
        }
    }

    fn hear(&mut self, line: String) {
        match Said::read(line) {
            Said::Out(number, bytes) => self.keep(number, false, &bytes),
            Said::Err(number, bytes) => self.keep(number, true, &bytes),
            Said::Exit(number, status) => {
                if let Some(mut job) = self.jobs.remove(&number) {
                    job.output.status = status;
                    // Whoever waited may have gone.
                    let _ = job.done.send(job.output);
                }
            }
            Said::Line(line) => {
                let forced = self.anchor.hello.is_forced;
                self.echo.take_if(|(word, _)| if forced { is_answer(&line) } else { *word == line });
            }
        }
    }

    fn keep(&mut self, number: u64, of_stderr: bool, bytes: &[u8]) {
        if let Some(job) = self.jobs.get_mut(&number) {
            job.keep(of_stderr, bytes);
        }
    }

    fn silent(&self) -> Fault {
        let seconds = ECHO_LIMIT.as_secs();
        let what = if self.anchor.hello.is_forced { "the engine behind the link" } else { "the link" };
        Fault::new(FaultKind::LinkLost, format!("{what} did not echo within {seconds} s"))
    }
}
