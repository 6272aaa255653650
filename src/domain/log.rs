//! Logs of containers: lines as the engine keeps them, the entries they make up, places to read on from, and
//! pages of several logs in one order.
//!
//! A container writes two streams, and each is in order for itself; between the two, and between containers,
//! only the time tells. So every stream is read on from a place of its own.

mod entry;
mod page;
#[cfg(test)]
mod properties;

pub use entry::{Entry, Level, Open};
pub use page::{Filter, Held, Page, Read, Room, Shown, forward, newest};

use jiff::Timestamp;

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

/// How far a stream was given: the lines before this time, and this many of those at exactly this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The time of the last line given.
    pub time: Timestamp,
    /// Lines at that time.
    pub count: usize,
}

impl Place {
    /// Before all lines at or after `time`.
    pub fn before(time: Timestamp) -> Self {
        Self { time, count: 0 }
    }

    fn pass(&mut self, line: &LogLine) {
        if line.time == self.time {
            self.count += 1;
        } else {
            *self = Self { time: line.time, count: 1 };
        }
    }
}

/// Leaves out what was given of a container's log before: asked of every line from the place's time on.
#[derive(Debug, Clone)]
pub struct Given {
    places: [Place; 2],
    met: [usize; 2],
}

impl Given {
    /// What was given up to these places, of standard output and standard error.
    pub fn up_to(places: [Place; 2]) -> Self {
        Self { places, met: [0; 2] }
    }

    /// From when on lines have to be looked at.
    pub fn since(&self) -> Timestamp {
        self.places[0].time.min(self.places[1].time)
    }

    /// Whether the next line of the log is a new one.
    pub fn is_new(&mut self, line: &LogLine) -> bool {
        let stream = usize::from(line.stderr);
        let place = self.places[stream];
        if line.time == place.time {
            self.met[stream] += 1;
            return self.met[stream] > place.count;
        }
        line.time > place.time
    }
}

/// Where a stream is read on from: how far it was given, and what the next line may belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// How far it was given.
    pub place: Place,
    /// The level of its last entry.
    pub level: Option<Level>,
    /// Whether its last entry was admitted; none when there was no entry yet.
    pub admitted: Option<bool>,
    /// What its last entry had begun and not ended.
    pub open: Open,
}

impl Mark {
    /// The mark of a stream of which nothing was given, to be read from `time` on.
    pub fn before(time: Timestamp) -> Self {
        Self { place: Place::before(time), level: None, admitted: None, open: Open::Nothing }
    }
}

/// The places of a container's two streams.
pub fn places(marks: &[Mark; 2]) -> [Place; 2] {
    marks.map(|mark| mark.place)
}
