//! What the design promised, as ratios of one run.

use crate::contestant::{Call, names};
use crate::measure::{Figures, Samples, Work};
use crate::report::{factor, milliseconds};

/// A promise and what became of it.
#[derive(Debug)]
pub(crate) struct Goal {
    /// What is compared.
    pub(crate) what: String,
    /// What was promised.
    pub(crate) asked: String,
    /// What was measured.
    pub(crate) measured: String,
    /// Whether that is kept.
    pub(crate) met: bool,
}

const LIST: Work = Work::One(Call::List);

/// All promises.
pub(crate) fn all(near: &Figures, far: &Figures) -> Vec<Goal> {
    let lines = [("loopback", near), ("20 ms", far)];
    let mut goals = Vec::new();
    for (line, figures) in lines {
        goals.push(close(line, figures, "list at the link", names::LINK, names::DIRECT));
        goals.push(close(line, figures, "list through MCP", names::MCP, names::MCP_LOCAL));
    }
    for ((line, figures), least) in lines.into_iter().zip([50.0, 15.0]) {
        let what = format!("list at the link against `docker ps` over ssh://, {line}");
        goals.push(faster(what, figures, names::LINK, names::DIRECT, least));
    }
    for (line, figures) in lines {
        let what = format!("`docker ps` over our local socket against that over ssh://, {line}");
        goals.push(faster(what, figures, names::DOCKER_OURS, names::DOCKER_DIRECT, 8.0));
    }
    for (line, figures) in lines {
        for name in [names::LINK, names::MCP, names::DOCKER_OURS] {
            goals.push(no_errors(line, figures, name));
        }
    }
    goals.extend([names::LINK, names::MCP].map(|name| fan_out("20 ms", far, name)));
    goals
}

fn median(figures: &Figures, name: &'static str, work: Work) -> f64 {
    figures.of(name, work).and_then(Samples::median).unwrap_or(f64::NAN)
}

/// Within 1.5 times the same at a local engine, plus one round trip where there is one.
fn close(line: &str, figures: &Figures, what: &str, ours: &'static str, local: &'static str) -> Goal {
    let (ours, local) = (median(figures, ours, LIST), median(figures, local, LIST));
    let what = format!("{what}, {line}");
    let both = format!("{} ms against {} ms", milliseconds(ours), milliseconds(local));
    let Some(trip) = figures.round_trip else {
        let (ratio, asked) = (ours / local, "≤ 1.5 × the same at a local engine".to_owned());
        return Goal { what, asked, measured: format!("{}: {both}", factor(ratio)), met: ratio <= 1.5 };
    };
    let (ratio, trips) = ((ours - trip) / local, (ours - local) / trip);
    Goal {
        what,
        asked: "≤ 1.5 × the same at a local engine + one round trip".to_owned(),
        measured: format!("{} + one round trip: {both}, {trips:.2} round trips more", factor(ratio)),
        met: ratio <= 1.5,
    }
}

/// The list at least so many times as fast as the docker client's over ssh; `local` is ours at a local engine.
fn faster(what: String, figures: &Figures, ours: &'static str, local: &'static str, least: f64) -> Goal {
    let local = median(figures, local, LIST);
    let (ours, theirs) = (median(figures, ours, LIST), median(figures, names::DOCKER_SSH, LIST));
    let ratio = theirs / ours;
    let mut measured =
        format!("{}: {} ms against {} ms", factor(ratio), milliseconds(ours), milliseconds(theirs));
    if let Some(trip) = figures.round_trip {
        let trips = (ours - local) / trip;
        measured.push_str(&format!(", {trips:.2} round trips more than at a local engine"));
    }
    Goal { what, asked: format!("≥ {least} × as fast"), measured, met: ratio >= least }
}

fn no_errors(line: &str, figures: &Figures, name: &'static str) -> Goal {
    let crowd = figures.of(name, Work::Crowd);
    let (failed, calls) = crowd.map_or((0, 0), |samples| (samples.failed, samples.calls));
    Goal {
        what: format!("16 concurrent callers of *{name}*, {line}"),
        asked: "no errors".to_owned(),
        measured: format!("{failed} of {calls} calls failed"),
        met: failed == 0 && calls > 0,
    }
}

/// All hosts at once, against the slowest of them alone.
fn fan_out(line: &str, figures: &Figures, name: &'static str) -> Goal {
    let all = median(figures, name, Work::FanOut);
    let alone = (1..).map_while(|host| figures.of(name, Work::Alone(host))?.median());
    let slowest = alone.fold(median(figures, name, LIST), f64::max);
    let ratio = all / slowest;
    Goal {
        what: format!("list on all hosts, *{name}*, {line}"),
        asked: "≤ 1.5 × the slowest host alone".to_owned(),
        measured: format!("{}: {} ms against {} ms", factor(ratio), milliseconds(all), milliseconds(slowest)),
        met: ratio <= 1.5,
    }
}
