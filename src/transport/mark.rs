//! Whose process is that: what an operation starts on a host carries the operation's mark in its
//! environment, and so does whatever that starts in turn. Closing a session ends no process that sshd
//! started without a terminal; the mark finds it again, also over another link.

use super::{BoxFuture, ByteStream, Command, Link, Route, Sink};
use crate::domain::fault::{Fault, FaultKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The variable that carries the mark.
const VARIABLE: &str = "DOCKMASTER_OPERATION";

/// Asks marked processes to end, then makes them. The mark comes by standard input, so that no process of
/// the search bears it; unless it is whole, nothing is done, because an empty one would be found everywhere.
/// Environments are read from `/proc`, that of another user's process excepted; a process that has ended and
/// is not yet reaped has none any more. A command line bears the mark until `env` has put it into the
/// environment. Where nothing is found the first time, a process may be about to start: a second look follows.
const END_SCRIPT: &str = "read -r m || exit 2; case $m in DOCKMASTER_OPERATION=?*) ;; *) exit 2;; esac; \
    printf 'grep\\n' | grep -qsF -f - /proc/self/cmdline || exit 2; n=0; while :; do \
    p=$(printf '%s\\n' \"$m\" | grep -lsF -f - /proc/[0-9]*/environ /proc/[0-9]*/cmdline | cut -d/ -f3); \
    n=$((n+1)); [ -z \"$p\" ] && [ $n -gt 1 ] && exit 0; [ $n -gt 5 ] && echo $p && exit 1; \
    if [ $n -gt 2 ]; then kill -KILL $p; else kill -TERM $p; fi 2>/dev/null; sleep 1; done";

/// Six rounds of a second, and a look at every process of the host in each.
const END_LIMIT: Duration = Duration::from_secs(15);

/// The mark of one operation's processes; clones are the same mark.
#[derive(Debug, Clone)]
pub struct ProcessMark {
    word: Arc<str>,
    /// Commands that were started and whose end nobody has seen.
    unfinished: Arc<AtomicUsize>,
}

impl ProcessMark {
    /// The mark with this name, which must be unique among all operations of all times.
    pub fn new(name: impl std::fmt::Display) -> Self {
        Self { word: format!("{VARIABLE}={name}").into(), unfinished: Arc::default() }
    }

    /// `link`, with every command marked.
    pub fn on(&self, link: Arc<dyn Link>) -> Arc<dyn Link> {
        Arc::new(MarkedLink { link, mark: self.clone() })
    }

    /// Whether a marked command was started whose end was not seen: it may still run.
    pub fn may_run(&self) -> bool {
        self.unfinished.load(Ordering::SeqCst) > 0
    }

    /// Counts a process that is started otherwise; returns the mark as an entry of its environment.
    pub fn expect(&self) -> String {
        self.unfinished.fetch_add(1, Ordering::SeqCst);
        self.word.to_string()
    }

    /// Counts it out again. Not below what has begun: it may have been ended with the others.
    pub fn ended(&self) {
        let less = |count: usize| count.checked_sub(1);
        let _ = self.unfinished.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
    }

    /// Ends whatever runs under this mark on the host behind `link`; returns once it has ended.
    pub async fn end(&self, link: &dyn Link) -> Result<(), Fault> {
        self.find_and_end(link).await?;
        self.unfinished.store(0, Ordering::SeqCst);
        Ok(())
    }

    /// As [`Self::end`], where there may be processes that the login does not see: they count as running still.
    pub async fn find_and_end(&self, link: &dyn Link) -> Result<(), Fault> {
        let stdin = format!("{}\n", self.word).into_bytes();
        let command = Command { deadline: END_LIMIT, stdin, ..Command::new(["sh", "-c", END_SCRIPT]) };
        let output = link.exec(&command).await?;
        match output.status {
            Some(0) => {}
            Some(1) => {
                let left = String::from_utf8_lossy(&output.stdout);
                return Err(Fault::new(FaultKind::Internal, format!("processes that do not end: {left}")));
            }
            _ => {
                let words = String::from_utf8_lossy(&output.stderr);
                return Err(Fault::new(
                    FaultKind::Internal,
                    format!("processes were not looked for: {words}"),
                ));
            }
        }
        Ok(())
    }
}

/// A link whose commands carry a mark.
struct MarkedLink {
    link: Arc<dyn Link>,
    mark: ProcessMark,
}

impl Link for MarkedLink {
    fn open_engine(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        self.link.open_engine()
    }

    fn stream<'a>(
        &'a self,
        command: &'a Command,
        sink: Sink<'a>,
    ) -> BoxFuture<'a, Result<Option<i32>, Fault>> {
        Box::pin(async move {
            let head = ["env", &self.mark.word].map(ToOwned::to_owned);
            let argv = head.into_iter().chain(command.argv.iter().cloned()).collect();
            let marked = Command { argv, ..command.clone() };
            self.mark.unfinished.fetch_add(1, Ordering::SeqCst);
            let status = self.link.stream(&marked, sink).await?;
            self.mark.unfinished.fetch_sub(1, Ordering::SeqCst);
            Ok(status)
        })
    }

    fn suspect(&self) {
        self.link.suspect();
    }

    fn route(&self) -> &Route {
        self.link.route()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::process::{self, ThisMachine};

    /// Processes on this machine whose environment holds the word.
    fn running(mark: &ProcessMark) -> usize {
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let environs = entries.filter_map(|entry| std::fs::read(entry.path().join("environ")).ok());
        environs.filter(|environ| environ.split(|byte| *byte == 0).any(|v| v == mark.word.as_bytes())).count()
    }

    #[tokio::test]
    async fn s5_a_command_that_was_left_is_ended_with_all_it_started() {
        let mark = ProcessMark::new(format!("test-{:x}", rand::random::<u64>()));
        let link = mark.on(Arc::new(ThisMachine));
        // One that ignores the polite signal, in a session of its own, as a daemon would be.
        let stubborn = "setsid sh -c 'trap \"\" TERM; while :; do sleep 600; done' & echo started; wait";
        let command = Command::new(["sh", "-c", stubborn]);
        let mut run = link.exec(&command);
        tokio::time::timeout(Duration::from_secs(60), async {
            while running(&mark) < 3 {
                assert!(futures_util::poll!(&mut run).is_pending());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("the command never started");
        drop(run);
        assert!(mark.may_run());
        mark.end(&ThisMachine).await.unwrap();
        assert_eq!((running(&mark), mark.may_run()), (0, false));
    }

    #[tokio::test]
    async fn s5_a_mark_that_does_not_arrive_whole_ends_nothing() {
        let script = format!("kill() {{ echo killed; }}; {END_SCRIPT}");
        for shell in ["bash", "dash"] {
            for stdin in ["", "\n", "DOCKMASTER_OPERATION=\n", "DOCKMASTER_OPERATION=0", "x\n"] {
                let command = Command { stdin: stdin.into(), ..Command::new([shell, "-c", &script]) };
                let output = process::run(&command).await.unwrap();
                assert_eq!((output.status, output.stdout), (Some(2), vec![]), "{shell} {stdin:?}");
            }
        }
        assert!(END_SCRIPT.contains(&format!(" {VARIABLE}=?*)")), "the variable has another name");
    }

    #[tokio::test]
    async fn s5_a_command_that_is_only_about_to_start_is_ended_too() {
        let mark = ProcessMark::new(format!("test-{:x}", rand::random::<u64>()));
        // As sshd starts it: a shell that has the mark in its words and not yet in its environment.
        let early = format!("sleep 0.3; while :; do sleep 600; done; env {} true", mark.word);
        let late = format!("sleep 0.5; exec env {} sleep 600", mark.word);
        let (early, late) = (Command::new(["sh", "-c", &early]), Command::new(["sh", "-c", &late]));
        let (ended, early, late) =
            tokio::join!(mark.end(&ThisMachine), process::run(&early), process::run(&late));
        assert!(ended.is_ok());
        assert_eq!((early.unwrap().status, late.unwrap().status), (None, None), "ended by a signal");
    }

    #[tokio::test]
    async fn s5_a_command_that_ended_leaves_nothing_to_do() {
        let mark = ProcessMark::new("test-ended");
        let link = mark.on(Arc::new(ThisMachine));
        let output = link.exec(&Command::new(["sh", "-c", "echo $DOCKMASTER_OPERATION"])).await.unwrap();
        assert_eq!(output.stdout, b"test-ended\n");
        assert!(!mark.may_run());
    }
}
