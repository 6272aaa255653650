//! What ssh prints on its standard error, collected beside everything else.

use super::classify::{classify, classify_session};
use crate::domain::fault::Fault;
use crate::transport::process::Lines;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::process::ChildStderr;
use tokio::sync::watch;
use tokio::time::timeout;

/// ssh's last words are awaited this long after its end.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A longer line says nothing that anybody waits for.
const MAX_LINE: usize = 16 * 1024;

/// How much is kept: the last of it, because a link may chatter for months before its last words.
const MAX_KEPT: usize = 64 * 1024;

/// Collects ssh's standard error.
pub(super) struct Stderr {
    text: Arc<Mutex<String>>,
    authenticated: watch::Receiver<bool>,
    host_key: Arc<OnceLock<String>>,
    settled: Arc<AtomicBool>,
    reader: tokio_util::task::AbortOnDropHandle<()>,
}

impl Stderr {
    pub(super) fn collect(stderr: ChildStderr) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let (seen, authenticated) = watch::channel(false);
        let settled = Arc::<AtomicBool>::default();
        let (kept, is_settled) = (Arc::clone(&text), Arc::clone(&settled));
        let host_key = Arc::<OnceLock<String>>::default();
        let shown = Arc::clone(&host_key);
        let read = async move {
            let mut lines = Lines::new(stderr, MAX_LINE);
            while let Ok(Some(line)) = lines.next().await {
                let mut text = kept.lock().unwrap_or_else(PoisonError::into_inner);
                // The first is the host's own, those of jump hosts belong to processes of their own.
                if let Some((_, key)) = line.split_once("Server host key: ")
                    && let Some(fingerprint) = key.split_whitespace().last()
                {
                    let _ = shown.set(fingerprint.to_owned());
                }
                if line.starts_with("Authenticated to ") {
                    // What went wrong on the way to a login that worked explains nothing later.
                    text.clear();
                    seen.send_replace(true);
                }
                let of_channel = line.contains(": open failed: ") || line.contains("open refused by peer");
                if !(of_channel && is_settled.load(Ordering::SeqCst)) {
                    keep(&mut text, line.trim_end());
                }
            }
        };
        #[expect(clippy::disallowed_methods, reason = "ends with the pipe, and is aborted with its owner")]
        let reader = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(read));
        Self { text, authenticated, host_key, settled, reader }
    }

    /// The fingerprint of the host's key, which was checked before the login.
    pub(super) fn host_key(&self) -> Option<String> {
        self.host_key.get().cloned()
    }

    /// What ssh says of refused channels explains nothing later: whoever asked for one is told.
    pub(super) fn forget_channels(&self) {
        self.settled.store(true, Ordering::SeqCst);
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether the login succeeded; waits until it did or ssh closed its standard error.
    pub(super) async fn authenticated(&mut self) -> bool {
        self.authenticated.wait_for(|seen| *seen).await.is_ok()
    }

    /// The cause in what ssh printed, once it has printed everything.
    pub(super) async fn last_words(&mut self) -> Fault {
        classify(&self.all().await)
    }

    /// The same, of an ssh that ended before its shell answered, and maybe before anybody has noticed
    /// that the login succeeded.
    pub(super) async fn last_words_of_start(&mut self) -> Fault {
        let text = self.all().await;
        if *self.authenticated.borrow() { classify_session(&text) } else { classify(&text) }
    }

    /// The same, of a first session that ended before its shell answered.
    pub(super) async fn last_words_of_session(&mut self) -> Fault {
        classify_session(&self.all().await)
    }

    /// What ssh printed since the login, once it has printed everything.
    async fn all(&mut self) -> String {
        let _ = timeout(LAST_WORDS, &mut self.reader).await;
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Adds a line; of too much text the older half goes.
fn keep(text: &mut String, line: &str) {
    if text.len() + line.len() > MAX_KEPT {
        let middle = text.len() / 2;
        let end = text.as_bytes()[middle..].iter().position(|byte| *byte == b'\n');
        text.drain(..end.map_or(text.len(), |at| middle + at + 1));
    }
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fault::FaultKind;
    use std::process::Stdio;

    async fn start(words: &str) -> Fault {
        let mut ssh = crate::transport::process::command("sh");
        let mut ssh =
            ssh.args(["-c", "printf \"$0\" >&2", words]).stderr(Stdio::piped()).spawn().expect("sh");
        let mut stderr = Stderr::collect(ssh.stderr.take().expect("a pipe"));
        ssh.wait().await.expect("its end");
        stderr.last_words_of_start().await
    }

    #[tokio::test]
    async fn a_session_refused_at_once_is_one_although_its_ssh_has_ended() {
        let refusal = "channel 1: open failed: connect failed: open failed\\n";
        let fault = start(&format!("Authenticated to nas.\\n{refusal}")).await;
        assert_eq!(fault.kind, FaultKind::SessionsExhausted, "{fault}");
        let fault = start("ssh: connect to host nas port 22: Connection refused\\n").await;
        assert_eq!(fault.kind, FaultKind::Refused, "{fault}");
        assert_eq!(start(refusal).await.kind, FaultKind::LinkLost, "nobody was logged in");
    }

    #[test]
    fn of_too_much_text_the_last_lines_stay() {
        let mut text = String::new();
        for number in 0..10_000 {
            keep(&mut text, &format!("line {number} é"));
        }
        assert!(text.len() <= MAX_KEPT && text.starts_with("line ") && text.ends_with("line 9999 é\n"));
    }
}
