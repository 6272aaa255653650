//! The run: every contestant does the same work in turn, again and again.

use crate::contestant::{Call, Contestant, checked, checked_fan_out};
use anyhow::{Context as _, Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Callers at once.
const CALLERS: usize = 16;

/// In a round a contestant does a piece of work until it has used this much time for it, or has done it
/// [`MOST`] times: what takes long is measured once per round, and the run stays short.
const SHARE: Duration = Duration::from_millis(100);
const MOST: usize = 10;

/// What takes longer has failed.
const LIMIT: Duration = Duration::from_secs(40);

/// A piece of work that is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// One call about the first host.
    One(Call),
    /// 16 lists of the first host at once.
    Crowd,
    /// The lists of all hosts at once.
    FanOut,
    /// The list of one host alone, for comparison with all.
    Alone(usize),
}

impl Work {
    /// The columns of the tables.
    pub(crate) const COLUMNS: [(Self, &str); 7] = [
        (Self::One(Call::Ping), "ping"),
        (Self::One(Call::List), "list"),
        (Self::One(Call::Inspect), "inspect"),
        (Self::One(Call::Logs), "100 log lines"),
        (Self::Crowd, "16 lists at once"),
        (Self::One(Call::ComposePs), "compose ps"),
        (Self::FanOut, "list on all hosts"),
    ];
}

/// What one contestant took for one piece of work.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    seconds: Vec<f64>,
    /// Calls made.
    pub(crate) calls: usize,
    /// Those that failed.
    pub(crate) failed: usize,
    /// What the first of them said.
    pub(crate) first_error: Option<String>,
}

impl Samples {
    /// How many times it was timed.
    pub(crate) fn count(&self) -> usize {
        self.seconds.len()
    }

    /// The time that half of them stayed within, in seconds.
    pub(crate) fn median(&self) -> Option<f64> {
        percentile(&self.seconds, 50)
    }

    /// The time that 95 of 100 stayed within, in seconds.
    pub(crate) fn p95(&self) -> Option<f64> {
        percentile(&self.seconds, 95)
    }

    fn add(&mut self, took: Duration, outcomes: Vec<Result<()>>) {
        let (calls, crowd) = (outcomes.len(), outcomes.len() > 1);
        let errors: Vec<Error> = outcomes.into_iter().filter_map(Result::err).collect();
        self.calls += calls;
        self.failed += errors.len();
        // The time of a crowd is that of its slowest, whoever failed; one failed call has no time.
        if errors.is_empty() || crowd {
            self.seconds.push(took.as_secs_f64());
        }
        if let Some(error) = errors.first().filter(|_| self.first_error.is_none()) {
            self.first_error = Some(format!("{error:#}"));
        }
    }
}

/// The nearest-rank percentile.
fn percentile(values: &[f64], percent: usize) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// All that was measured on one line.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Contestants in the order of the tables.
    pub(crate) names: Vec<&'static str>,
    /// A bare round trip of the line, in seconds, where it has one.
    pub(crate) round_trip: Option<f64>,
    cells: BTreeMap<(&'static str, Work), Samples>,
}

impl Figures {
    /// What a contestant took for a piece of work; `None` when it cannot do it.
    pub(crate) fn of(&self, name: &'static str, work: Work) -> Option<&Samples> {
        self.cells.get(&(name, work))
    }

    /// The samples of all its work.
    pub(crate) fn all_of(&self, name: &'static str) -> impl Iterator<Item = &Samples> {
        self.cells.iter().filter(move |((of, _), _)| *of == name).map(|(_, samples)| samples)
    }
}

/// A pass over the contestants in each round begins with another one. The first round warms up and is not
/// counted. `alone` are those whose lists of single hosts are needed; `echo` is a server that sends back what
/// it gets.
pub(crate) async fn run(
    contestants: &[Arc<dyn Contestant>],
    alone: &[&str],
    rounds: usize,
    echo: Option<std::net::SocketAddr>,
) -> Result<Figures> {
    let names = contestants.iter().map(|contestant| contestant.name()).collect();
    let mut figures = Figures { names, ..Figures::default() };
    let (mut bare, mut round_trips) = (None, Vec::new());
    if let Some(echo) = echo {
        let stream = TcpStream::connect(echo).await.context("the echo takes no connection")?;
        stream.set_nodelay(true)?;
        bare = Some(stream);
    }
    let hosts = contestants.first().map_or(0, |contestant| contestant.hosts());
    let work = Work::COLUMNS.map(|(work, _)| work).into_iter().chain((1..hosts).map(Work::Alone));
    let work: Vec<Work> = work.collect();
    for round in 0..=rounds {
        for &work in &work {
            let takes_part = |contestant: &Arc<dyn Contestant>| match work {
                Work::One(call) => contestant.can(call),
                Work::Crowd | Work::FanOut => contestant.can(Call::List),
                Work::Alone(_) => alone.contains(&contestant.name()),
            };
            let mut turns: Vec<_> =
                contestants.iter().filter(|it| takes_part(it)).map(|it| (it, Duration::ZERO)).collect();
            let first = round % turns.len().max(1);
            turns.rotate_left(first);
            for _ in 0..MOST {
                if turns.iter().all(|(_, used)| *used >= SHARE) {
                    break;
                }
                if let Some(bare) = &mut bare {
                    round_trips.push(round_trip(bare).await.context("the echo is gone")?);
                }
                for (contestant, used) in turns.iter_mut().filter(|(_, used)| *used < SHARE) {
                    let (took, outcomes) = once(contestant, work).await;
                    *used += took;
                    if round > 0 {
                        figures.cells.entry((contestant.name(), work)).or_default().add(took, outcomes);
                    }
                }
            }
        }
    }
    figures.round_trip = percentile(&round_trips, 50);
    Ok(figures)
}

/// Does a piece of work and times it; the outcome of each of its calls.
async fn once(contestant: &Arc<dyn Contestant>, work: Work) -> (Duration, Vec<Result<()>>) {
    let started = Instant::now();
    let outcomes = match work {
        Work::One(call) => vec![limited(checked(contestant.as_ref(), call, 0)).await],
        Work::Alone(host) => vec![limited(checked(contestant.as_ref(), Call::List, host)).await],
        Work::FanOut => vec![limited(checked_fan_out(contestant.as_ref())).await],
        Work::Crowd => {
            let call = |contestant: Arc<dyn Contestant>| async move {
                limited(checked(contestant.as_ref(), Call::List, 0)).await
            };
            let callers: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(call(Arc::clone(contestant)))).collect();
            let mut outcomes = Vec::new();
            for caller in callers {
                outcomes.push(caller.await.unwrap_or_else(|error| Err(error.into())));
            }
            outcomes
        }
    };
    (started.elapsed(), outcomes)
}

async fn limited(work: impl Future<Output = Result<()>>) -> Result<()> {
    timeout(LIMIT, work).await?
}

/// One byte to and fro; the time in seconds.
async fn round_trip(stream: &mut TcpStream) -> Result<f64> {
    let started = Instant::now();
    stream.write_all(b"?").await?;
    stream.read_u8().await?;
    Ok(started.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 50), Some(10.0));
        assert_eq!(percentile(&values, 95), Some(19.0));
        assert_eq!(percentile(&values[..1], 95), Some(20.0));
        assert_eq!(percentile(&[], 50), None);
    }
}
