//! Pages of several logs in the order of time. Whatever a page takes or passes over moves the marks; what it
//! leaves is found again by them.

use super::entry::entries;
use super::{Entry, Level, LogLine, Mark, Place};
use crate::domain::text::cut;
use jiff::{SignedDuration, Timestamp};
use regex::Regex;
use std::collections::VecDeque;

/// A line may reach the log so much later than its time says.
const LATE: SignedDuration = SignedDuration::from_secs(10);

/// What was read of a container's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// Each stream's lines in order.
    pub lines: Vec<LogLine>,
    /// Whether there is more, which was not read: newer lines behind a mark, older ones without.
    pub is_cut: bool,
    /// The engine's own words, where it could not give all of it.
    pub trouble: Option<String>,
    /// Whether nothing of it could be read.
    pub is_failed: bool,
}

/// Which entries are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// What a line, or the whole, must match.
    pub grep: Option<Regex>,
    /// The lowest level.
    pub level: Option<Level>,
}

impl Filter {
    /// Whether all are.
    pub fn is_open(&self) -> bool {
        self.grep.is_none() && self.level.is_none()
    }

    fn admits(&self, entry: &Entry) -> bool {
        if self.level.is_some_and(|lowest| entry.level.is_none_or(|level| level < lowest)) {
            return false;
        }
        let Some(grep) = &self.grep else { return true };
        let found = |lines: &[&str]| {
            lines.iter().any(|line| grep.is_match(line))
                || (lines.len() > 1 && grep.is_match(&lines.join("\n")))
        };
        // As it is shown: what is hidden cannot be guessed letter by letter.
        let shown = entry.shown(usize::MAX);
        found(&shown.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>())
    }
}

/// How much may be shown.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// Lines.
    pub lines: usize,
    /// Bytes.
    pub characters: usize,
    /// Bytes that every line costs beside its text.
    pub frame: usize,
    /// Whether all of it is there.
    pub is_empty: bool,
}

impl Room {
    fn has(&self, lines: &[(usize, String)]) -> bool {
        lines.len() <= self.lines && self.cost(lines) <= self.characters
    }

    fn cost(&self, lines: &[(usize, String)]) -> usize {
        lines.iter().map(|(_, text)| text.len() + self.frame).sum()
    }

    fn take(&mut self, lines: &[(usize, String)]) {
        self.characters = self.characters.saturating_sub(self.cost(lines));
        self.lines = self.lines.saturating_sub(lines.len());
        self.is_empty = false;
    }
}

/// An entry as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Which of the containers.
    pub container: usize,
    /// Time, whether of standard error, text.
    pub lines: Vec<(Timestamp, bool, String)>,
}

impl Shown {
    fn of(source: usize, entry: &Entry, lines: Vec<(usize, String)>) -> Self {
        let line = |(number, text): (usize, String)| {
            let line = entry.lines.get(number);
            (line.map_or(Timestamp::MIN, |line| line.time), source % 2 == 1, text)
        };
        Self { container: source / 2, lines: lines.into_iter().map(line).collect() }
    }
}

/// A page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// What is shown, in order.
    pub shown: Vec<Shown>,
    /// How many wanted lines were read and found no room.
    pub left: usize,
    /// Whether a wanted entry found no room.
    pub is_full: bool,
    /// Lines that were neither shown nor passed over, by container.
    pub rest: Vec<Vec<LogLine>>,
}

/// What is not taken although it was read.
#[derive(Debug, Clone, Copy)]
pub enum Held<'a> {
    /// Nothing.
    Nothing,
    /// The last entry of each stream of these containers: it may go on.
    Last(&'a [bool]),
}

/// The streams of all containers, each an ordered list of entries: standard output of the first container,
/// its standard error, and so on.
struct Streams(Vec<VecDeque<Entry>>);

impl Streams {
    fn new(reads: Vec<Read>, marks: &[[Mark; 2]]) -> Self {
        let mut streams = Vec::new();
        for (read, marks) in reads.into_iter().zip(marks) {
            let (err, out): (Vec<_>, Vec<_>) = read.lines.into_iter().partition(|line| line.stderr);
            streams
                .extend([out, err].into_iter().zip(marks).map(|(lines, mark)| entries(lines, mark).into()));
        }
        Self(streams)
    }

    /// The stream whose next entry is the oldest of those that are `free`.
    fn next(&self, free: impl Fn(usize) -> bool) -> Option<(usize, Timestamp)> {
        let fronts =
            self.0.iter().enumerate().filter_map(|(source, entries)| Some((entries.front()?.time(), source)));
        fronts.filter(|(_, source)| free(*source)).min().map(|(time, source)| (source, time))
    }

    fn into_rest(self) -> Vec<Vec<LogLine>> {
        let mut streams = self.0.into_iter().map(|entries| entries.into_iter().flat_map(|entry| entry.lines));
        let mut rest = Vec::new();
        while let (Some(out), Some(err)) = (streams.next(), streams.next()) {
            rest.push(out.chain(err).collect());
        }
        rest
    }
}

/// Passes over the first `count` lines of an entry.
fn pass(marks: &mut [[Mark; 2]], source: usize, entry: &Entry, count: usize, admitted: bool) {
    let mark = &mut marks[source / 2][source % 2];
    for line in &entry.lines[..count] {
        mark.place.pass(line);
    }
    (mark.level, mark.admitted) = (entry.level, Some(admitted));
    mark.open = entry.open[count - 1];
}

fn is_admitted(marks: &[[Mark; 2]], source: usize, entry: &Entry, filter: &Filter) -> bool {
    // What goes on with an entry that was given before goes its way.
    let before = marks[source / 2][source % 2].admitted.filter(|_| entry.goes_on);
    before.unwrap_or_else(|| filter.admits(entry))
}

/// The oldest entries behind the marks, as many as there is room for; the marks move on.
pub fn forward(
    reads: Vec<Read>,
    marks: &mut [[Mark; 2]],
    filter: &Filter,
    room: &mut Room,
    held: Held<'_>,
) -> Page {
    // Behind the last line that was read of a log that has more, the order is not known.
    let cuts: Vec<bool> = reads.iter().map(|read| read.is_cut).collect();
    let failed: Vec<bool> = reads.iter().map(|read| read.is_failed).collect();
    let ends = reads.iter().filter(|read| read.is_cut).filter_map(|read| read.lines.last());
    let horizon = ends.map(|line| line.time).min();
    let mut streams = Streams::new(reads, marks);
    let mut page = Page::default();
    let (mut reached, mut moved) = (None, false);
    loop {
        let is_last = |source: usize| streams.0[source].len() == 1;
        let is_held = |source: usize| match held {
            Held::Nothing => false,
            Held::Last(held) => held[source / 2] && is_last(source),
        };
        let Some((source, time)) = streams.next(|source| !is_held(source)) else { break };
        // An entry whose end may not have been read waits, unless nothing else is there.
        let unread = cuts[source / 2] && is_last(source);
        if moved && (unread || horizon.is_some_and(|horizon| time > horizon)) {
            break;
        }
        let Some(entry) = streams.0[source].front() else { break };
        let admitted = is_admitted(marks, source, entry, filter);
        let mut count = entry.lines.len();
        if admitted {
            let mut lines = entry.shown(count);
            if !room.has(&lines) {
                page.is_full = true;
                if !room.is_empty {
                    break;
                }
                // Larger than a page: cut inside.
                (count, lines) = beginning(entry, room);
            }
            room.take(&lines);
            page.shown.push(Shown::of(source, entry, lines));
        }
        pass(marks, source, entry, count, admitted);
        (reached, moved) = (reached.max(Some(time)), true);
        let whole = count == entry.lines.len();
        if let Some(mut entry) = streams.0[source].pop_front().filter(|_| !whole) {
            entry.lines.drain(..count);
            entry.open.drain(..count);
            page.left += entry.lines.len();
            entry.goes_on = true;
            streams.0[source].push_front(entry);
        }
        if page.is_full {
            break;
        }
    }
    if let Held::Nothing = held {
        let is_read = |source: usize| !cuts[source / 2] && !failed[source / 2];
        settle(marks, reached, |source| is_read(source) && streams.0[source].is_empty());
    }
    if page.is_full {
        let entries = |source: usize| streams.0[source].iter().filter(move |entry| !entry.goes_on);
        let wanted = (0..streams.0.len()).flat_map(entries).filter(|entry| filter.admits(entry));
        page.left += wanted.map(|entry| entry.lines.len()).sum::<usize>();
    }
    page.rest = streams.into_rest();
    page
}

/// The newest entries there is room for; the marks move behind all of them. What is cut should span more than
/// one moment: how many lines there are of its first one cannot be told.
pub fn newest(mut reads: Vec<Read>, marks: &mut [[Mark; 2]], filter: &Filter, room: &mut Room) -> Page {
    let failed: Vec<bool> = reads.iter().map(|read| read.is_failed).collect();
    let mut dropped = 0;
    for (read, marks) in reads.iter_mut().zip(marks.iter_mut()).filter(|(read, _)| read.is_cut) {
        let first = read.lines.first().map(|line| line.time);
        if let Some(whole) = read.lines.iter().position(|line| Some(line.time) != first) {
            read.lines.drain(..whole);
            dropped += whole;
        }
        // What is older is left out, also of a stream that wrote nothing since.
        if let Some(first) = read.lines.first() {
            *marks = marks.map(|mark| Mark { place: Place::before(first.time), ..mark });
        }
    }
    let mut streams = Streams::new(reads, marks);
    let mut wanted = Vec::new();
    let mut reached = None;
    while let Some((source, time)) = streams.next(|_| true) {
        let Some(entry) = streams.0[source].pop_front() else { break };
        let admitted = is_admitted(marks, source, &entry, filter);
        pass(marks, source, &entry, entry.lines.len(), admitted);
        reached = reached.max(Some(time));
        if admitted {
            wanted.push((source, entry));
        }
    }
    settle(marks, reached, |source| !failed[source / 2]);
    let mut page = Page::default();
    while let Some((source, entry)) = wanted.pop() {
        let mut lines = entry.shown(usize::MAX);
        if !room.has(&lines) {
            page.is_full = true;
            if !room.is_empty {
                page.left += entry.lines.len();
                break;
            }
            page.left += entry.lines.len();
            lines = end(lines, room);
            page.left = page.left.saturating_sub(lines.len());
        }
        room.take(&lines);
        page.shown.push(Shown::of(source, &entry, lines));
        if page.is_full {
            break;
        }
    }
    page.left += wanted.iter().map(|(_, entry)| entry.lines.len()).sum::<usize>();
    // Engines that count whole seconds have many lines in one moment.
    if dropped > 0 && filter.is_open() && room.lines > 0 {
        page.is_full = true;
        page.left += dropped;
    }
    page.shown.reverse();
    page
}

/// As many of the first lines of an entry as there is room for, one at least.
fn beginning(entry: &Entry, room: &Room) -> (usize, Vec<(usize, String)>) {
    let (mut fits, mut too_many) = (1, entry.lines.len());
    while fits + 1 < too_many {
        let middle = usize::midpoint(fits, too_many);
        if room.has(&entry.shown(middle)) {
            fits = middle;
        } else {
            too_many = middle;
        }
    }
    (fits, end(entry.shown(fits), room))
}

/// As many of the last lines as there is room for, one at least, which is cut when need be.
fn end(mut lines: Vec<(usize, String)>, room: &Room) -> Vec<(usize, String)> {
    let mut from = 0;
    while from + 1 < lines.len() && !room.has(&lines[from..]) {
        from += 1;
    }
    lines.drain(..from);
    if let [(_, text)] = lines.as_mut_slice() {
        *text = cut(text, room.characters.saturating_sub(room.frame)).0.to_owned();
    }
    lines
}

/// Streams of which nothing is left need not be looked at from their last line on, which may be old.
fn settle(marks: &mut [[Mark; 2]], reached: Option<Timestamp>, is_done: impl Fn(usize) -> bool) {
    let Some(until) = reached.and_then(|reached| reached.checked_sub(LATE).ok()) else { return };
    for (source, mark) in marks.iter_mut().flatten().enumerate() {
        if is_done(source) && mark.place.time < until {
            mark.place = Place::before(until);
        }
    }
}
