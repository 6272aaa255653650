//! Lines of a log out of the bytes an engine sends. No more of a line is held than is told: a program may
//! write for hours without ending one.

use crate::domain::log::LogLine;
use crate::domain::text::cut;
use crate::engine::EngineError;
use std::mem::take;

/// A line longer than this is cut: some programs log a whole document as one line.
pub(super) const LONGEST_LINE: usize = 16 * 1024;

/// Stands where a line was cut.
const CUT: &str = " [cut]";

/// Room for the time in front of a line, and for a character that the bound would split.
const LONGEST_TIME: usize = 64;

/// Words of the engine's own are short.
const LONGEST_TROUBLE: usize = 1024;

/// A frame's head: the stream, three bytes of nothing, the length of what follows.
const HEAD: usize = 8;

/// Puts lines together from the pieces an answer comes in, each of the two streams for itself.
#[derive(Default)]
pub(super) struct Lines {
    at: At,
    /// Of each source.
    pending: [Pending; 3],
}

/// How an engine begins to say that it cannot read on: in frames of its own, or in the one stream of a terminal.
const TROUBLE: &str = "Error grabbing logs: ";

/// What the next byte is.
#[derive(Clone, Copy, Default)]
enum At {
    /// The first. Each line begins with the digit of a year, so a stream without frames tells itself apart.
    #[default]
    Start,
    /// Of the one stream that a terminal has.
    Terminal,
    /// Of a frame's head, of which so much has come.
    Head([u8; HEAD], usize),
    /// Of a frame's text, of which so much is to come.
    Text { of: Source, left: usize },
}

/// Whose a frame is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Out,
    Err,
    /// The engine's own: it cannot read on.
    Engine,
}

impl Lines {
    /// The lines that end in the next piece.
    pub(super) fn push(&mut self, mut piece: &[u8]) -> Result<Vec<LogLine>, EngineError> {
        let mut lines = Vec::new();
        while let Some(first) = piece.first() {
            self.at = match self.at {
                At::Start if *first > 3 => At::Terminal,
                At::Start | At::Text { left: 0, .. } => At::Head([0; HEAD], 0),
                At::Terminal => {
                    self.pending[0].push(take(&mut piece), false, &mut lines);
                    At::Terminal
                }
                At::Head(mut head, count) => {
                    head[count] = *first;
                    piece = &piece[1..];
                    if count + 1 == HEAD { text_of(head)? } else { At::Head(head, count + 1) }
                }
                At::Text { of, left } => {
                    let (text, rest) = piece.split_at(left.min(piece.len()));
                    self.pending[of as usize].push(text, of == Source::Err, &mut lines);
                    piece = rest;
                    At::Text { of, left: left - text.len() }
                }
            };
        }
        Ok(lines)
    }

    /// What has no end, and what the engine says of what it cannot give.
    pub(super) fn finish(self) -> (Vec<LogLine>, Option<String>) {
        let [mut out, mut err, mut engine] = self.pending;
        let rest = [out.line(false), err.line(true), engine.line(false)];
        let trouble = [out.trouble, err.trouble, engine.trouble].into_iter().flatten().next();
        (rest.into_iter().flatten().collect(), trouble)
    }
}

fn text_of(head: [u8; HEAD]) -> Result<At, EngineError> {
    let [stream, _, _, _, length @ ..] = head;
    let of = match stream {
        0 | 1 => Source::Out,
        2 => Source::Err,
        3 => Source::Engine,
        other => return Err(EngineError::Garbled(format!("a log has no stream {other}"))),
    };
    let left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    Ok(At::Text { of, left })
}

/// A line that has no end yet.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    is_cut: bool,
    /// What the engine said of what it cannot give.
    trouble: Option<String>,
}

impl Pending {
    fn push(&mut self, text: &[u8], stderr: bool, lines: &mut Vec<LogLine>) {
        let mut parts = text.split(|byte| *byte == b'\n');
        self.hold(parts.next().unwrap_or_default());
        for part in parts {
            lines.extend(self.line(stderr));
            self.hold(part);
        }
    }

    fn hold(&mut self, part: &[u8]) {
        let room = LONGEST_TIME + LONGEST_LINE - self.bytes.len();
        self.is_cut |= part.len() > room;
        self.bytes.extend_from_slice(&part[..part.len().min(room)]);
    }

    /// The line that ends here, as the engine sends it: RFC 3339 time, a space, the text.
    fn line(&mut self, stderr: bool) -> Option<LogLine> {
        let (bytes, was_cut) = (take(&mut self.bytes), take(&mut self.is_cut));
        let line = String::from_utf8_lossy(&bytes);
        if let Some(trouble) = line.strip_prefix(TROUBLE) {
            self.trouble = Some(cut(trouble.trim_end(), LONGEST_TROUBLE).0.to_owned());
        }
        let (time, text) = line.trim_end_matches('\r').split_once(' ')?;
        let time = time.parse().ok()?;
        let (text, is_cut) = cut(text, LONGEST_LINE);
        let mark = if was_cut || is_cut { CUT } else { "" };
        Some(LogLine { time, stderr, text: format!("{text}{mark}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(stream: u8, text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap();
        [&[stream, 0, 0, 0][..], &length.to_be_bytes(), text.as_bytes()].concat()
    }

    fn texts(lines: &[LogLine]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn lines_are_put_together_across_frames_and_streams() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(&frame(1, "2026-01-01T00:00:00.5Z hel")).unwrap(), []);
        let error = lines.push(&frame(2, "2026-01-01T00:00:01Z bad\n")).unwrap();
        assert_eq!((error[0].text.as_str(), error[0].stderr), ("bad", true));
        let rest = frame(1, "lo\r\n2026-01-01T00:00:02Z \n2026-01-01T00:00:03Z rest");
        assert_eq!(texts(&lines.push(&rest).unwrap()), ["hello", ""]);
        assert_eq!(texts(&lines.finish().0), ["rest"]);
    }

    #[test]
    fn what_was_read_stays_when_the_engine_cannot_read_on() {
        let said = "Error grabbing logs: invalid character\n";
        let good = format!("{TIME}good\n");
        let terminal = format!("{good}{said}").into_bytes();
        for bytes in [[frame(1, &good), frame(3, said)].concat(), terminal] {
            let mut lines = Lines::default();
            assert_eq!(texts(&lines.push(&bytes).unwrap()), ["good"]);
            assert_eq!(lines.finish(), (vec![], Some("invalid character".to_owned())));
        }
    }

    #[test]
    fn what_is_no_log_is_told() {
        let mut lines = Lines::default();
        lines.push(&frame(1, "")).unwrap();
        assert!(matches!(lines.push(&frame(7, "x")), Err(EngineError::Garbled(_))));
    }

    const TIME: &str = "2026-01-01T00:00:00.123456789Z ";

    #[test]
    fn a_line_without_end_takes_no_memory_and_no_time() {
        let piece = "é".repeat(16 * 1024);
        for of in [|text: &str| frame(1, text), |text: &str| text.as_bytes().to_vec()] {
            let mut lines = Lines::default();
            assert_eq!(lines.push(&of(TIME)).unwrap(), []);
            for _ in 0..3_000 {
                assert_eq!(lines.push(&of(&piece)).unwrap(), []);
                assert!(lines.pending[0].bytes.capacity() <= 4 * LONGEST_LINE);
            }
            let told = lines.push(&of(&format!("end\n{TIME}next\n"))).unwrap();
            assert_eq!(told[0].text, format!("{}{CUT}", "é".repeat(LONGEST_LINE / 2)));
            assert_eq!(texts(&told[1..]), ["next"]);
        }
    }

    #[test]
    fn only_a_line_that_is_too_long_is_cut() {
        for (length, is_cut) in [(LONGEST_LINE, false), (LONGEST_LINE + 1, true), (LONGEST_LINE + 99, true)] {
            let mut lines = Lines::default();
            lines.push(format!("{TIME}{}", "x".repeat(length)).as_bytes()).unwrap();
            let text = lines.finish().0.remove(0).text;
            assert_eq!((text.len() > LONGEST_LINE, text.ends_with(CUT)), (is_cut, is_cut), "{length}");
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            said in proptest::collection::vec((any::<bool>(), "[a-z\n]{0,40}"), 0..20),
            terminal: bool,
            sizes in proptest::collection::vec(1..50_usize, 1..20),
        ) {
            let bytes: Vec<u8> = said.iter().flat_map(|(stderr, text)| {
                let text = format!("{TIME}{text}\n");
                if terminal { text.into_bytes() } else { frame(1 + u8::from(*stderr), &text) }
            }).collect();
            let whole = Lines::default().push(&bytes).unwrap();
            let mut lines = Lines::default();
            let (mut rest, mut pieced) = (&bytes[..], vec![]);
            for size in sizes.iter().cycle() {
                let (piece, more) = rest.split_at(rest.len().min(*size));
                pieced.extend(lines.push(piece).unwrap());
                rest = more;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(pieced, whole);
        }
    }
}
