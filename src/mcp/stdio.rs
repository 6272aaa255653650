//! Standard input and output: one JSON-RPC message per line.
//!
//! The library passes over a line that is no JSON in silence; JSON-RPC 2.0 (section 5.1) wants an
//! answer to it, and whoever writes a client wants to know. And it takes a notification before the
//! client's greeting for a failed greeting, although clients send such things, for example to cancel
//! a probe whose answer they found too slow. So each line is looked at on its way in.

use serde::Deserialize;
use serde::de::IgnoredAny;
use std::io;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
    BufReader,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The longest line taken in: as much as the library takes.
const LONGEST_LINE: u64 = 16 << 20;

/// Complaints waiting to be written; a client that sends garbage faster than it reads waits.
const COMPLAINTS: usize = 8;

/// Passes messages between a peer (`input`, `output`) and a server (`to_server`, `from_server`) until
/// both have ended, and answers lines that are no JSON. When the peer says no more, it has `left`.
pub(super) async fn relay(
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    to_server: impl AsyncWrite + Unpin,
    from_server: impl AsyncRead + Unpin,
    left: &CancellationToken,
) -> io::Result<()> {
    let (complain, complaints) = mpsc::channel(COMPLAINTS);
    let inward = carry_in(BufReader::new(input), to_server, complain);
    let outward = carry_out(BufReader::new(from_server), complaints, output);
    tokio::pin!(inward, outward);
    tokio::select! {
        // The input has ended: what the server still has to say is carried out.
        inward = &mut inward => {
            left.cancel();
            inward.and(outward.await)
        }
        // The server has ended: nobody reads any more.
        outward = &mut outward => outward,
    }
}

/// What of a message tells its kind.
#[derive(Deserialize)]
struct Kind {
    id: Option<IgnoredAny>,
    method: Option<String>,
}

/// What becomes of a line.
enum Verdict {
    Pass,
    Drop,
    Complain(String),
}

/// Looks at the lines of a peer, in order.
#[derive(Default)]
struct Inspector {
    /// Whether the peer has sent a request other than the probes that may precede its greeting.
    greeted: bool,
}

impl Inspector {
    fn judge(&mut self, line: &[u8]) -> Verdict {
        if line.trim_ascii().is_empty() {
            return Verdict::Drop;
        }
        if let Err(fault) = serde_json::from_slice::<IgnoredAny>(line) {
            return Verdict::Complain(format!("the line is no JSON ({fault})"));
        }
        // What is JSON and no message is the library's to refuse.
        let Ok(Kind { id, method }) = serde_json::from_slice(line) else { return Verdict::Pass };
        match (id, method) {
            (Some(_), Some(method)) => {
                self.greeted |= !matches!(method.as_str(), "server/discover" | "ping");
                Verdict::Pass
            }
            // Notifications and answers: before the greeting they mean nothing.
            (None, Some(_)) | (Some(_), None) if !self.greeted => Verdict::Drop,
            _ => Verdict::Pass,
        }
    }
}

/// Takes the server's side of the input with it when it ends: the server then sees the end too.
async fn carry_in(
    mut input: impl AsyncBufRead + Unpin,
    mut to_server: impl AsyncWrite + Unpin,
    complain: mpsc::Sender<String>,
) -> io::Result<()> {
    let (mut line, mut inspector) = (Vec::new(), Inspector::default());
    loop {
        line.clear();
        if (&mut input).take(LONGEST_LINE).read_until(b'\n', &mut line).await? == 0 {
            return to_server.shutdown().await;
        }
        let whole =
            line.ends_with(b"\n") || u64::try_from(line.len()).is_ok_and(|length| length < LONGEST_LINE);
        let verdict =
            if whole { inspector.judge(&line) } else { Verdict::Complain(skip_rest(&mut input).await?) };
        let sent = match verdict {
            Verdict::Pass => to_server.write_all(&line).await.is_ok(),
            Verdict::Drop => true,
            Verdict::Complain(fault) => complain.send(fault).await.is_ok(),
        };
        if !sent {
            // The server has ended first.
            return Ok(());
        }
    }
}

async fn skip_rest(input: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    loop {
        let chunk = input.fill_buf().await?;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let (length, done) = (end.map_or(chunk.len(), |at| at + 1), end.is_some() || chunk.is_empty());
        input.consume(length);
        if done {
            return Ok(format!("the line is longer than {LONGEST_LINE} bytes"));
        }
    }
}

async fn carry_out(
    from_server: impl AsyncBufRead + Unpin,
    mut complaints: mpsc::Receiver<String>,
    mut output: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut messages = from_server.split(b'\n');
    loop {
        let mut line = tokio::select! {
            message = messages.next_segment() => match message? {
                Some(message) => message,
                None => return Ok(()),
            },
            Some(fault) = complaints.recv() => parse_error(&fault).into_bytes(),
        };
        line.push(b'\n');
        output.write_all(&line).await?;
        output.flush().await?;
    }
}

/// JSON-RPC's answer to what could not be read; there is no id to answer to.
fn parse_error(fault: &str) -> String {
    let message = format!("{fault}. Send one JSON-RPC message per line.");
    serde_json::json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": message}})
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `input` through a relay to a server that answers every line with itself.
    async fn through_echo(input: &[u8]) -> Vec<String> {
        let (to_server, server_in) = tokio::io::duplex(64);
        let (mut server_out, from_server) = tokio::io::duplex(64);
        let server = async move {
            let mut lines = BufReader::new(server_in).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                server_out.write_all(&line).await.unwrap();
                server_out.write_all(b"\n").await.unwrap();
            }
        };
        let mut output = Vec::new();
        let left = CancellationToken::new();
        let (relayed, ()) = tokio::join!(relay(input, &mut output, to_server, from_server, &left), server);
        assert!(left.is_cancelled());
        relayed.unwrap();
        String::from_utf8(output).unwrap().lines().map(ToOwned::to_owned).collect()
    }

    #[tokio::test]
    async fn garbage_is_answered_and_the_lines_around_it_pass() {
        let mut lines = through_echo(b"{\"a\":1}\n{broken\n\n\xff\xfe\n[2]\n{\"last\":3}").await;
        let is_complaint =
            |line: &String| line.contains("-32700") && line.contains("one JSON-RPC message per line");
        assert_eq!(lines.iter().filter(|line| is_complaint(line)).count(), 2, "{lines:?}");
        lines.retain(|line| !is_complaint(line) && !line.is_empty());
        assert_eq!(lines, ["{\"a\":1}", "[2]", "{\"last\":3}"]);
    }

    #[tokio::test]
    async fn notifications_before_the_greeting_are_dropped() {
        let probe = r#"{"jsonrpc":"2.0","id":0,"method":"server/discover"}"#;
        let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#;
        let greeting = r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#;
        let input = [cancel, probe, cancel, greeting, cancel].join("\n");
        assert_eq!(through_echo(input.as_bytes()).await, [probe, greeting, cancel]);
    }

    #[tokio::test]
    async fn the_end_of_the_server_ends_the_relay() {
        let (silent, _peer) = tokio::io::duplex(64);
        let (to_server, _server_in) = tokio::io::duplex(64);
        let (server_out, from_server) = tokio::io::duplex(64);
        drop(server_out);
        relay(silent, Vec::new(), to_server, from_server, &CancellationToken::new()).await.unwrap();
    }

    #[tokio::test]
    async fn a_line_without_end_is_skipped_and_not_kept() {
        let mut input = vec![b' '; usize::try_from(LONGEST_LINE).unwrap() + 10];
        input.extend_from_slice(b"\n{\"next\":1}\n");
        let lines = through_echo(&input).await;
        assert!(
            lines.iter().any(|line| line.contains("longer than"))
                && lines.contains(&"{\"next\":1}".to_owned())
        );
    }
}
