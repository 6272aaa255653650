//! Logs of a container.

use super::{Engine, EngineError};
use crate::domain::container::ContainerName;
use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use std::collections::VecDeque;

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When the engine took it.
    pub time: Timestamp,
    /// Whether it came from standard error; always `false` with a terminal.
    pub stderr: bool,
    /// The line without its end.
    pub text: String,
}

/// Which lines to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Only lines at or after this time.
    pub since: Option<Timestamp>,
    /// Only lines before this time.
    pub until: Option<Timestamp>,
    /// At most this many lines, the newest.
    pub tail: usize,
}

/// A line longer than this is cut: some programs log a whole document as one line.
const LONGEST_LINE: usize = 16 * 1024;

impl Engine {
    /// The newest lines that `query` asks for, oldest first. Reads the whole range when `since` is
    /// set, and keeps the last `tail` lines of it.
    pub async fn logs(
        &self,
        container: &ContainerName,
        query: &LogQuery,
    ) -> Result<Vec<LogLine>, EngineError> {
        let seconds = |time: Timestamp| i32::try_from(time.as_second()).unwrap_or(i32::MAX);
        // The engine counts `tail` over the whole log and applies the times afterwards, so a range
        // is read whole and cut here.
        let range = query.since.is_some() || query.until.is_some();
        let tail = if range { "all".to_owned() } else { query.tail.to_string() };
        let mut options = LogsOptionsBuilder::new().stdout(true).stderr(true).timestamps(true).tail(&tail);
        if let Some(since) = query.since {
            options = options.since(seconds(since));
        }
        if let Some(until) = query.until {
            // The engine reads whole seconds; the exact cut is made below.
            options = options.until(seconds(until).saturating_add(1));
        }
        let mut stream = self.docker.logs(container.as_str(), Some(options.build()));
        let mut assembler = Assembler::default();
        let mut lines: VecDeque<LogLine> = VecDeque::new();
        while let Some(chunk) = stream.try_next().await? {
            for line in assembler.push(chunk) {
                keep(&mut lines, line, query);
            }
        }
        for line in assembler.finish() {
            keep(&mut lines, line, query);
        }
        Ok(lines.into())
    }
}

fn keep(lines: &mut VecDeque<LogLine>, line: LogLine, query: &LogQuery) {
    let early = query.since.is_some_and(|since| line.time < since);
    let late = query.until.is_some_and(|until| line.time >= until);
    if early || late {
        return;
    }
    lines.push_back(line);
    if lines.len() > query.tail {
        lines.pop_front();
    }
}

/// Puts lines together from the pieces a stream comes in, each of the two streams for itself.
#[derive(Default)]
struct Assembler {
    pending: [Vec<u8>; 2],
}

impl Assembler {
    fn push(&mut self, chunk: LogOutput) -> Vec<LogLine> {
        let stderr = matches!(chunk, LogOutput::StdErr { .. });
        let pending = &mut self.pending[usize::from(stderr)];
        pending.extend_from_slice(&chunk.into_bytes());
        let mut lines = Vec::new();
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            lines.extend(parse(&line, stderr));
        }
        lines
    }

    fn finish(self) -> Vec<LogLine> {
        let [out, err] = self.pending;
        parse(&out, false).into_iter().chain(parse(&err, true)).collect()
    }
}

/// A line as the engine sends it: RFC 3339 time, a space, the text.
fn parse(line: &[u8], stderr: bool) -> Option<LogLine> {
    let line = String::from_utf8_lossy(line);
    let (time, text) = line.trim_end_matches(['\n', '\r']).split_once(' ')?;
    let time = time.parse().ok()?;
    let (text, _) = crate::domain::text::cut(text, LONGEST_LINE);
    Some(LogLine { time, stderr, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(stderr: bool, text: &str) -> LogOutput {
        let message = text.to_owned().into();
        if stderr { LogOutput::StdErr { message } } else { LogOutput::StdOut { message } }
    }

    #[test]
    fn lines_are_put_together_across_chunks_and_streams() {
        let mut assembler = Assembler::default();
        assert!(assembler.push(chunk(false, "2026-01-01T00:00:00.5Z hel")).is_empty());
        let error = assembler.push(chunk(true, "2026-01-01T00:00:01Z bad\n"));
        assert_eq!((error[0].text.as_str(), error[0].stderr), ("bad", true));
        let lines = assembler.push(chunk(false, "lo\r\n2026-01-01T00:00:02Z \n2026-01-01T00:00:03Z rest"));
        assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["hello", ""]);
        assert_eq!(assembler.finish()[0].text, "rest");
    }

    #[test]
    fn the_newest_lines_of_the_range_stay() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let query = LogQuery { since: Some(at(2)), until: Some(at(9)), tail: 3 };
        let mut kept = VecDeque::new();
        for second in 0..12 {
            keep(&mut kept, LogLine { time: at(second), stderr: false, text: second.to_string() }, &query);
        }
        assert_eq!(kept.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["6", "7", "8"]);
    }
}
