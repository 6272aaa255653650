//! The figures as a page.

use crate::contestant::{Call, names};
use crate::goals::Goal;
use crate::measure::{Figures, Samples, Work};

/// The whole page.
pub(crate) fn page(machine: &str, near: &Figures, far: &Figures, goals: &[Goal], rounds: usize) -> String {
    let mut page = format!("{HEAD}\n{machine}\n{}\n", explanation(rounds, far));
    page.push_str("## Goals\n\n| goal | asked | measured | |\n|---|---|---|---|\n");
    for Goal { what, asked, measured, met } in goals {
        let met = if *met { "met" } else { "**missed**" };
        page.push_str(&format!("| {what} | {asked} | {measured} | {met} |\n"));
    }
    for (title, figures) in [("Loopback", near), ("Through a round trip of 20 ms", far)] {
        page.push_str(&format!("\n## {title}\n\nMedian (95th percentile) in milliseconds.\n\n"));
        page.push_str(&table(
            figures,
            "failed calls",
            |name, work| figures.of(name, work).map(times),
            failures,
        ));
        page.push_str(
            "\nAs multiples of the direct socket; `compose ps` of docker's at the direct socket.\n\n",
        );
        page.push_str(&table(figures, "times measured", |name, work| multiple(figures, name, work), counts));
        for (name, error) in errors(figures) {
            page.push_str(&format!("\nA failed call of *{name}* said: `{error}`\n"));
        }
    }
    page
}

const HEAD: &str = "# Benchmarks\n\nWritten by `make bench`, which makes the hosts, takes all figures in one run, and removes the hosts again.\n";

fn explanation(rounds: usize, far: &Figures) -> String {
    let round_trip = far.round_trip.map(milliseconds).unwrap_or_default();
    format!(
        "Three hosts, each with an sshd and an engine of its own, share this machine's cores with all that is measured.
Each runs 20 idle containers, one of them started by compose, and one that has logged 200 lines. After a round to warm up
there are {rounds} more, in which all ways take turns at each piece of work: a slow one once per round, a quick one up to ten times
while it has used less than 100 ms. It is the ratios that count: the milliseconds are this machine's, and those of whatever
else it did.

*Direct socket* and *at the link* are the same client in one process, at the engine's socket and over an ssh link; *through
MCP* is `dockmaster serve` over HTTP, with its hosts by ssh or by their sockets, called without a token by a client that
keeps its connection. For docker, *ping* is `docker version` and *list* is `docker ps --all`. Every way that uses ssh starts
it through the same one-line script, which gives it its configuration. sshd has its default limits. A time of 16 lists at once
or of all hosts is that of the slowest of them.

The far line is a proxy between ssh and sshd that delays each byte by 10 ms each way, and the start of a connection by a
round trip, as TCP's handshake does. A byte through it and back took {round_trip} ms (median, measured in
between); that is the round trip of the goals.
"
    )
}

type Cell<'a> = dyn Fn(&'static str, Work) -> Option<String> + 'a;

/// Contestants in rows, work in columns; the last column is about the contestant as a whole.
fn table(
    figures: &Figures,
    last: &str,
    cell: impl Fn(&'static str, Work) -> Option<String>,
    whole: impl Fn(&Figures, &'static str) -> String,
) -> String {
    let cell: &Cell = &cell;
    let titles = Work::COLUMNS.map(|(_, title)| title).join(" | ");
    let mut table = format!("| | {titles} | {last} |\n|---|{}\n", "---:|".repeat(Work::COLUMNS.len() + 1));
    for &name in &figures.names {
        let cells = Work::COLUMNS.map(|(work, _)| cell(name, work).unwrap_or_else(|| "–".to_owned()));
        table.push_str(&format!("| {name} | {} | {} |\n", cells.join(" | "), whole(figures, name)));
    }
    table
}

fn times(samples: &Samples) -> String {
    match (samples.median(), samples.p95()) {
        (Some(median), Some(p95)) => format!("{} ({})", milliseconds(median), milliseconds(p95)),
        _ => "failed".to_owned(),
    }
}

fn multiple(figures: &Figures, name: &'static str, work: Work) -> Option<String> {
    let base = if work == Work::One(Call::ComposePs) { names::DOCKER_DIRECT } else { names::DIRECT };
    let median = |name| figures.of(name, work)?.median();
    Some(factor(median(name)? / median(base)?))
}

fn failures(figures: &Figures, name: &'static str) -> String {
    let (failed, calls) = figures
        .all_of(name)
        .fold((0, 0), |(failed, calls), samples| (failed + samples.failed, calls + samples.calls));
    format!("{failed} of {calls}")
}

/// The fewest and the most times a piece of work was measured.
fn counts(figures: &Figures, name: &'static str) -> String {
    let counts = || figures.all_of(name).map(Samples::count);
    let (Some(least), Some(most)) = (counts().min(), counts().max()) else { return "0".to_owned() };
    if least == most { most.to_string() } else { format!("{least} to {most}") }
}

fn errors(figures: &Figures) -> impl Iterator<Item = (&'static str, String)> {
    figures.names.iter().filter_map(|&name| {
        let error = figures.all_of(name).find_map(|samples| samples.first_error.as_ref())?;
        let line = error.lines().next().unwrap_or_default().replace('`', "'");
        Some((name, line.chars().take(300).collect()))
    })
}

/// Seconds as milliseconds with three digits that count.
pub(crate) fn milliseconds(seconds: f64) -> String {
    digits(seconds * 1000.0)
}

/// A ratio, with its sign.
pub(crate) fn factor(ratio: f64) -> String {
    format!("{} ×", digits(ratio))
}

fn digits(value: f64) -> String {
    match value {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
