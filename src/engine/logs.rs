//! Logs of a container.

mod lines;

use super::{Engine, EngineError};
use crate::domain::container::ContainerName;
use crate::domain::log::{Given, LogLine, Place, Read};
use futures_util::future;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use lines::Lines;
use std::collections::VecDeque;
use std::fmt::Write as _;

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
        let mut path = path(container, query.from.as_ref(), tail);
        if let Some(until) = query.until {
            // The engine reads whole seconds; the exact cut is made below.
            let _ = write!(path, "&until={}", until.as_second().saturating_add(1));
        }
        let mut stream = self.pool.read(self.api, path);
        let mut lines = Lines::default();
        let mut kept = Kept::new(query);
        'all: while let Some(piece) = stream.try_next().await? {
            for line in lines.push(&piece)? {
                if !kept.take(line) {
                    break 'all;
                }
            }
        }
        let (rest, trouble) = lines.finish();
        for line in rest {
            kept.take(line);
        }
        let is_tail = tail.is_some_and(|most| kept.lines.len() >= most);
        Ok(Read { lines: kept.lines.into(), is_cut: kept.is_cut || is_tail, trouble, is_failed: false })
    }

    /// Lines from these places on, as they come; ends when the container does. The connection is its own and
    /// goes when the stream is dropped.
    pub fn followed_logs(
        &self,
        container: &ContainerName,
        from: [Place; 2],
    ) -> BoxStream<'static, Result<LogLine, EngineError>> {
        let path = path(container, Some(&from), None) + "&follow=true";
        let pieces = self.long_pool.read(self.api, path);
        let (mut lines, mut given) = (Some(Lines::default()), Given::up_to(from));
        // What has no end yet comes when the stream ends.
        let ended = stream::once(async { Ok(None) });
        let lines = pieces.map_ok(Some).chain(ended).and_then(move |piece| {
            let lines = match piece {
                Some(piece) => lines.as_mut().map_or(Ok(vec![]), |lines| lines.push(&piece)),
                None => match lines.take().map(Lines::finish).unwrap_or_default() {
                    (_, Some(trouble)) => Err(EngineError::Garbled(trouble)),
                    (rest, None) => Ok(rest),
                },
            };
            let new = lines.map(|lines| lines.into_iter().filter(|line| given.is_new(line)).map(Ok));
            future::ready(new.map(|new| stream::iter(new.collect::<Vec<_>>())))
        });
        lines.try_flatten().boxed()
    }
}

/// Where the engine gives a container's log, with times and both streams. A name needs no escapes.
fn path(container: &ContainerName, from: Option<&[Place; 2]>, tail: Option<usize>) -> String {
    let tail = tail.map_or_else(|| "all".to_owned(), |tail| tail.to_string());
    let mut path =
        format!("/containers/{container}/logs?stdout=true&stderr=true&timestamps=true&tail={tail}");
    if let Some(from) = from {
        let _ = write!(path, "&since={}", Given::up_to(*from).since().as_second());
    }
    path
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

#[cfg(test)]
mod tests {
    use super::lines::LONGEST_LINE;
    use super::*;

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
