//! Logs of a container.

use super::{Engine, EngineError};
use crate::domain::container::ContainerName;
use crate::domain::log::{Given, LogLine, Place, Read};
use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use std::collections::VecDeque;

/// Which lines to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    /// Where to read from, in each of the two streams; the beginning when it is not given.
    pub from: Option<[Place; 2]>,
    /// Only lines before this time.
    pub until: Option<Timestamp>,
    /// Which of them when there are more.
    pub most: Most,
}

/// A bound for what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Most {
    /// So many of the newest lines.
    Newest(usize),
    /// So many of the oldest lines.
    Oldest(usize),
}

/// A line longer than this is cut: some programs log a whole document as one line.
const LONGEST_LINE: usize = 16 * 1024;

/// No more than this is kept of one log, whatever its lines are like.
const MOST_BYTES: usize = 16 << 20;

impl Engine {
    /// The lines that `query` asks for, oldest first.
    pub async fn logs(&self, container: &ContainerName, query: &LogQuery) -> Result<Read, EngineError> {
        // The engine counts `tail` over the whole log and applies the times afterwards, so a range
        // is read whole and cut here.
        let tail = match query {
            LogQuery { from: None, until: None, most: Most::Newest(most) } => Some(*most),
            _ => None,
        };
        let mut options = options(query.from.as_ref(), tail);
        if let Some(until) = query.until {
            // The engine reads whole seconds; the exact cut is made below.
            options = options.until(seconds(until).saturating_add(1));
        }
        let mut stream = self.docker.logs(container.as_str(), Some(options.build()));
        let mut assembler = Assembler::default();
        let mut kept = Kept::new(query);
        'all: while let Some(chunk) = stream.try_next().await? {
            for line in assembler.push(chunk) {
                if !kept.take(line) {
                    break 'all;
                }
            }
        }
        for line in assembler.finish() {
            kept.take(line);
        }
        let is_tail = tail.is_some_and(|most| kept.lines.len() >= most);
        Ok(Read { lines: kept.lines.into(), is_cut: kept.is_cut || is_tail })
    }

    /// Lines from these places on, as they come; ends when the container does. The connection is its own and
    /// goes when the stream is dropped.
    pub fn followed_logs(
        &self,
        container: &ContainerName,
        from: [Place; 2],
    ) -> BoxStream<'static, Result<LogLine, EngineError>> {
        let options = options(Some(&from), None).follow(true).build();
        let chunks = self.long.logs(container.as_str(), Some(options));
        let (mut assembler, mut given) = (Some(Assembler::default()), Given::up_to(from));
        // What has no end yet comes when the stream ends.
        let ended = stream::once(async { Ok(None) });
        let lines = chunks.map_ok(Some).chain(ended).map_ok(move |chunk| {
            let lines = match chunk {
                Some(chunk) => assembler.as_mut().map(|assembler| assembler.push(chunk)),
                None => assembler.take().map(Assembler::finish),
            };
            let new = lines.unwrap_or_default().into_iter().filter(|line| given.is_new(line));
            stream::iter(new.map(Ok).collect::<Vec<_>>())
        });
        lines.map_err(EngineError::from).try_flatten().boxed()
    }
}

fn seconds(time: Timestamp) -> i32 {
    i32::try_from(time.as_second()).unwrap_or(i32::MAX)
}

fn options(from: Option<&[Place; 2]>, tail: Option<usize>) -> LogsOptionsBuilder {
    let tail = tail.map_or_else(|| "all".to_owned(), |tail| tail.to_string());
    let options = LogsOptionsBuilder::new().stdout(true).stderr(true).timestamps(true).tail(&tail);
    match from {
        Some(from) => options.since(seconds(Given::up_to(*from).since())),
        None => options,
    }
}

/// What is kept of a log while it is read.
struct Kept<'a> {
    query: &'a LogQuery,
    given: Option<Given>,
    lines: VecDeque<LogLine>,
    bytes: usize,
    is_cut: bool,
}

impl<'a> Kept<'a> {
    fn new(query: &'a LogQuery) -> Self {
        let given = query.from.map(Given::up_to);
        Self { query, given, lines: VecDeque::new(), bytes: 0, is_cut: false }
    }

    /// Takes the next line; `false` when no more is wanted.
    fn take(&mut self, line: LogLine) -> bool {
        let late = self.query.until.is_some_and(|until| line.time >= until);
        if late || self.given.as_mut().is_some_and(|given| !given.is_new(&line)) {
            return true;
        }
        let is_over =
            |lines: usize, bytes: usize, most: usize| lines > most || (bytes > MOST_BYTES && lines > 1);
        let bytes = self.bytes + line.text.len();
        match self.query.most {
            Most::Oldest(most) if is_over(self.lines.len() + 1, bytes, most) => {
                self.is_cut = true;
                return false;
            }
            Most::Oldest(_) | Most::Newest(_) => {}
        }
        self.bytes = bytes;
        self.lines.push_back(line);
        if let Most::Newest(most) = self.query.most {
            while is_over(self.lines.len(), self.bytes, most) {
                self.is_cut = true;
                self.bytes -= self.lines.pop_front().map_or(0, |line| line.text.len());
            }
        }
        true
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

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// The seconds that are kept of a log of 12, and whether it was cut.
    fn kept(query: &LogQuery) -> (Vec<i64>, bool) {
        let mut kept = Kept::new(query);
        for second in 0..12 {
            if !kept.take(LogLine { time: at(second), stderr: false, text: second.to_string() }) {
                break;
            }
        }
        (kept.lines.iter().map(|line| line.time.as_second()).collect(), kept.is_cut)
    }

    #[test]
    fn the_newest_or_the_oldest_lines_of_the_range_stay() {
        let from = Some([Place::before(at(2)); 2]);
        let query = |most| LogQuery { from, until: Some(at(9)), most };
        assert_eq!(kept(&query(Most::Newest(3))), (vec![6, 7, 8], true));
        assert_eq!(kept(&query(Most::Oldest(3))), (vec![2, 3, 4], true));
        assert_eq!(kept(&query(Most::Oldest(7))), ((2..9).collect(), false));
        assert_eq!(kept(&query(Most::Newest(7))), ((2..9).collect(), false));
    }

    #[test]
    fn long_lines_fill_no_memory() {
        for most in [Most::Newest(5000), Most::Oldest(5000)] {
            let query = LogQuery { from: None, until: None, most };
            let mut kept = Kept::new(&query);
            for second in 0..2000 {
                kept.take(LogLine { time: at(second), stderr: false, text: "x".repeat(LONGEST_LINE) });
            }
            assert!(kept.is_cut && kept.bytes <= MOST_BYTES && kept.lines.len() == 1024, "{most:?}");
        }
    }
}
