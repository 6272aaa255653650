//! Which lines make up one entry, and what of it may be shown.
//!
//! A line goes on with the entry before it in the same stream when
//!
//! * it is empty or begins with white space, unless its first word is a level in capitals (`  INFO ready`);
//! * it begins with `at `, `Caused by`, `Suppressed:`, `... `, or a closing `}`, `]` or `)`;
//! * it begins with `Traceback (most recent call last)` behind an error, or tells what chained two of them;
//! * it is the line that ends such a traceback (`ValueError: …`);
//! * it is inside a private key that the entry began.

use super::{LogLine, Mark};
use crate::domain::redact;
use crate::domain::text::clean;
use jiff::Timestamp;

/// How much a line matters, as its writer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For those who look for a fault.
    Debug,
    /// As things should be.
    Info,
    /// Something is unusual.
    Warn,
    /// Something failed.
    Error,
}

impl Level {
    /// The level a line names near its start, in the words loggers use.
    pub fn detect(line: &str) -> Option<Self> {
        let words = line.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
        words.take(12).find_map(|word| match word.to_ascii_lowercase().as_str() {
            "trace" | "debug" | "dbg" => Some(Self::Debug),
            "info" | "notice" | "inf" => Some(Self::Info),
            "warn" | "warning" | "wrn" => Some(Self::Warn),
            "error" | "err" | "fatal" | "panic" | "critical" | "crit" | "exception" | "traceback" => {
                Some(Self::Error)
            }
            _ => None,
        })
    }
}

/// What an entry has begun and not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Nothing: the next line goes on with it by its own shape alone.
    Nothing,
    /// A private key.
    Key,
    /// A traceback, which a line without indentation ends.
    Traceback,
}

/// What begins a private key, for a piece of one whose beginning was given before.
const KEY_BEGINS: &str = "-----BEGIN PRIVATE KEY-----";

/// An entry, or what has come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its lines, without control characters. One at least.
    pub lines: Vec<LogLine>,
    /// Its level; that of the entry before, where it names none.
    pub level: Option<Level>,
    /// Whether its first line goes on with what was given before.
    pub goes_on: bool,
    /// Whether it begins inside a private key.
    pub(super) in_key: bool,
    /// What is open behind each of its lines.
    pub(super) open: Vec<Open>,
}

impl Entry {
    /// When it began.
    pub fn time(&self) -> Timestamp {
        self.lines.first().map_or(Timestamp::MIN, |line| line.time)
    }

    /// What may be shown of its first `count` lines, each with the line it came with. What is secret over
    /// several lines becomes fewer.
    pub fn shown(&self, count: usize) -> Vec<(usize, String)> {
        let lines = &self.lines[..count.min(self.lines.len())];
        let last = lines.len().saturating_sub(1);
        if let ([line], false) = (lines, self.in_key) {
            return vec![(0, redact::text(&line.text))];
        }
        let mut whole = String::new();
        if self.in_key {
            whole.push_str(KEY_BEGINS);
            whole.push('\n');
        }
        for (number, line) in lines.iter().enumerate() {
            if number > 0 {
                whole.push('\n');
            }
            whole.push_str(&line.text);
        }
        let masked = redact::text(&whole);
        let masked = masked.strip_prefix(KEY_BEGINS).filter(|_| self.in_key).unwrap_or(&masked);
        // What no line shows by itself was looked for first; now what one does.
        let lines = masked.split('\n').map(redact::text).enumerate();
        lines.map(|(number, text)| (number.min(last), text)).collect()
    }
}

/// The entries of one stream whose lines are `lines`, read on from `mark`.
pub(super) fn entries(lines: impl IntoIterator<Item = LogLine>, mark: &Mark) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let (mut open, mut level) = (mark.open, mark.level);
    let fresh = mark.admitted.is_none();
    for line in lines {
        let text = clean(&line.text).replace('\n', "\\n");
        let in_key = open == Open::Key;
        let goes_on = goes_on(&text, &mut open, level);
        begins(&text, &mut open);
        let line = LogLine { text, ..line };
        match entries.last_mut() {
            Some(entry) if goes_on => {
                entry.lines.push(line);
                entry.open.push(open);
            }
            _ => {
                level = Level::detect(&line.text).filter(|_| !goes_on).or(level);
                entries.push(Entry {
                    in_key: in_key && goes_on,
                    goes_on,
                    level,
                    open: vec![open],
                    lines: vec![line],
                });
            }
        }
    }
    if fresh { with_beheaded_key(entries) } else { entries }
}

/// A first look may begin inside a private key: then its end comes without a beginning, and what stands
/// before that is of the key.
fn with_beheaded_key(mut entries: Vec<Entry>) -> Vec<Entry> {
    let telling = |line: &LogLine| begins_key(&line.text) || ends_key(&line.text);
    let Some(end) = entries.iter().position(|entry| entry.lines.iter().any(telling)) else { return entries };
    let beheaded = entries[end].lines.iter().find(|line| telling(line)).is_some_and(|line| {
        let begin = line.text.find("-----BEGIN ");
        line.text.find("-----END ").is_some_and(|end| begin.is_none_or(|begin| end < begin))
    });
    if !beheaded {
        return entries;
    }
    let of_key = |entry: &Entry| entry.lines.iter().all(|line| is_armour(&line.text));
    let start = entries[..end].iter().rposition(|entry| !of_key(entry)).map_or(0, |before| before + 1);
    let mut pieces = entries.drain(start..=end).collect::<Vec<_>>().into_iter();
    if let Some(mut key) = pieces.next() {
        key.in_key = true;
        for piece in pieces {
            key.open.fill(Open::Key);
            key.lines.extend(piece.lines);
            key.open.extend(piece.open);
        }
        entries.insert(start, key);
    }
    entries
}

/// Whether a line goes on with the entry before it, of this `level`, that has left something `open`.
fn goes_on(text: &str, open: &mut Open, level: Option<Level>) -> bool {
    match *open {
        Open::Key if ends_key(text) => {
            *open = Open::Nothing;
            return true;
        }
        Open::Key if is_armour(text) => return true,
        Open::Traceback if text.is_empty() || text.starts_with(char::is_whitespace) => return true,
        Open::Traceback if is_exception(text) => {
            *open = Open::Nothing;
            return true;
        }
        _ => *open = Open::Nothing,
    }
    if text.trim().is_empty() {
        return true;
    }
    if text.starts_with(char::is_whitespace) {
        let word = text.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        return !["TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "FATAL"].contains(&word);
    }
    let behind_error = level == Some(Level::Error);
    ["at ", "Caused by", "Suppressed:", "... ", "}", "]", ")"].iter().any(|start| text.starts_with(start))
        || (behind_error
            && [
                "Traceback (most recent call last)",
                "During handling of the above",
                "The above exception was",
            ]
            .iter()
            .any(|start| text.starts_with(start)))
}

/// What a line begins that goes on behind it.
fn begins(text: &str, open: &mut Open) {
    if begins_key(text) {
        *open = Open::Key;
    } else if text.contains("Traceback (most recent call last)") {
        *open = Open::Traceback;
    }
}

fn begins_key(text: &str) -> bool {
    let begin = text.rfind("-----BEGIN ").filter(|at| text[*at..].contains("PRIVATE KEY"));
    begin.is_some_and(|at| !text[at..].contains("-----END "))
}

fn ends_key(text: &str) -> bool {
    text.find("-----END ").is_some_and(|at| text[at..].contains("PRIVATE KEY"))
}

/// Whether a line can stand inside a private key.
fn is_armour(text: &str) -> bool {
    let text = text.trim();
    let header = text
        .split_once(": ")
        .is_some_and(|(name, _)| ["Proc-Type", "DEK-Info", "Version", "Comment", "Hash"].contains(&name));
    header || text.chars().all(|c| c.is_ascii_alphanumeric() || "+/=".contains(c))
}

/// `ValueError: …`, `package.module.Error`.
fn is_exception(text: &str) -> bool {
    let name = text.split(':').next().unwrap_or_default();
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<LogLine> {
        let line = |(text, n): (&&str, i64)| LogLine {
            time: Timestamp::from_millisecond(n).unwrap(),
            stderr: false,
            text: (*text).to_owned(),
        };
        texts.iter().zip(0..).map(line).collect()
    }

    fn fresh() -> Mark {
        Mark::before(Timestamp::UNIX_EPOCH)
    }

    /// How many lines each entry has.
    fn sizes(texts: &[&str]) -> Vec<usize> {
        entries(lines(texts), &fresh()).iter().map(|entry| entry.lines.len()).collect()
    }

    #[test]
    fn stack_traces_stay_with_their_entry() {
        let java = [
            "INFO up",
            "ERROR request failed",
            "java.lang.IllegalStateException: no",
            "\tat app.Main.run(Main.java:7)",
            "Caused by: java.io.IOException: gone",
            "\t... 3 more",
            "INFO next",
        ];
        assert_eq!(sizes(&java), [1, 1, 4, 1]);
        let python = [
            "ERROR:root:failed",
            "Traceback (most recent call last):",
            "  File \"app.py\", line 3, in <module>",
            "    run()",
            "ValueError: no number",
            "",
            "During handling of the above exception, another exception occurred:",
            "",
            "Traceback (most recent call last):",
            "  File \"app.py\", line 5",
            "app.errors.Late",
            "INFO:root:next",
        ];
        assert_eq!(sizes(&python), [11, 1]);
        // Behind something harmless a traceback is an entry of its own, or it would be of that level.
        let alone = ["INFO up", "Traceback (most recent call last):", "  File", "KeyError: 'x'", "INFO"];
        assert_eq!(sizes(&alone), [1, 3, 1]);
        assert_eq!(entries(lines(&alone), &fresh())[1].level, Some(Level::Error));
        let json = ["{", "  \"level\": \"info\"", "}", "{", "}"];
        assert_eq!(sizes(&json), [3, 2]);
        let node = ["Error: no", "    at run (app.js:1)", "at <anonymous>", "ok"];
        assert_eq!(sizes(&node), [3, 1]);
    }

    #[test]
    fn a_line_that_is_indented_with_its_level_is_an_entry() {
        assert_eq!(sizes(&[" INFO up", "  WARN slow", " ERROR: x", "   error: of a compiler"]), [1, 1, 2]);
        assert_eq!(sizes(&["\u{1b}[32m INFO\u{1b}[0m up", "\u{1b}[33m WARN\u{1b}[0m slow"]), [1, 1]);
    }

    #[test]
    fn entries_without_a_level_have_that_of_the_one_before() {
        let levels: Vec<_> = entries(lines(&["?", "INFO up", "more", "level=warn", "x"]), &fresh())
            .iter()
            .map(|entry| entry.level)
            .collect();
        assert_eq!(
            levels,
            [None, Some(Level::Info), Some(Level::Info), Some(Level::Warn), Some(Level::Warn)]
        );
        let mark = Mark { level: Some(Level::Error), admitted: Some(true), ..fresh() };
        let on = entries(lines(&["  at x", "?"]), &mark);
        assert!(on[0].goes_on && !on[1].goes_on);
        assert_eq!(on.iter().map(|entry| entry.level).collect::<Vec<_>>(), [Some(Level::Error); 2]);
        assert_eq!(Level::detect("\u{1b}[31m"), None);
    }

    const BODY: &str = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7";

    fn told(entry: &Entry) -> String {
        entry.shown(usize::MAX).into_iter().map(|(_, text)| text + "\n").collect()
    }

    #[test]
    fn a_private_key_is_one_entry_and_never_shown() {
        let key = [
            "key: -----BEGIN RSA PRIVATE KEY-----",
            "Proc-Type: 4,ENCRYPTED",
            "",
            BODY,
            BODY,
            "abc=",
            "-----END RSA PRIVATE KEY-----",
            "after",
        ];
        let all = entries(lines(&key), &fresh());
        assert_eq!(sizes(&key), [7, 1]);
        assert_eq!(told(&all[0]), "key: -----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----\n");
        // Cut inside, neither piece shows any of it, wherever the cut is.
        for cut in 1..7 {
            let shown = all[0].shown(cut).into_iter().map(|(_, text)| text).collect::<String>();
            assert!(!shown.contains("MII") && !shown.contains("abc"), "{cut}: {shown}");
            let mark = Mark { open: all[0].open[cut - 1], admitted: Some(true), ..fresh() };
            let rest = entries(lines(&key[cut..]), &mark);
            let shown: String = rest.iter().map(told).collect();
            assert!(!shown.contains("MII") && !shown.contains("abc"), "{cut}: {shown}");
            assert!(shown.ends_with("after\n") && rest[0].goes_on, "{cut}: {shown}");
            // The first look that begins there.
            let shown: String = entries(lines(&key[cut..]), &fresh()).iter().map(told).collect();
            assert!(!shown.contains("MII") && !shown.contains("abc="), "{cut}: {shown}");
            assert!(shown.ends_with("after\n"), "{cut}: {shown}");
        }
        // What began as a key and goes on as something else hides no more than that.
        let cut_off = entries(lines(&["-----BEGIN PRIVATE KEY-----", BODY, "INFO: going on"]), &fresh());
        assert_eq!(told(&cut_off[1]), "INFO: going on\n");
        assert!(!told(&cut_off[0]).contains("MII"));
    }

    #[test]
    fn secrets_of_single_lines_vanish_inside_entries_too() {
        let all = entries(lines(&["ERROR login", "  password=hunter2 x", "  at y"]), &fresh());
        assert_eq!(told(&all[0]), "ERROR login\n  password=*** x\n  at y\n");
    }
}
