//! Pages of growing logs, checked against the logs: no line twice, none lost, no entry cut that fits a page.

use super::*;
use proptest::prelude::*;
use regex::Regex;
use std::collections::BTreeMap;

/// A line to come: how many milliseconds after the one before, in which container and stream, and whether it
/// goes on with the entry before.
type Step = (u8, usize, bool, bool);

const CONTAINERS: usize = 3;

fn at(millisecond: i64) -> Timestamp {
    Timestamp::from_millisecond(millisecond).unwrap()
}

/// The logs of the containers; every line is told apart by its number.
fn logs(steps: &[Step]) -> Vec<Vec<LogLine>> {
    let mut logs = vec![Vec::new(); CONTAINERS];
    let mut time = 1_000_000;
    for (number, (wait, container, stderr, goes_on)) in steps.iter().enumerate() {
        time += i64::from(*wait);
        let text = if *goes_on { format!("  at {number}") } else { format!("line {number}") };
        logs[*container].push(LogLine { time: at(time), stderr: *stderr, text });
    }
    logs
}

/// As an engine reads a log: behind the marks, `most` lines.
fn read(log: &[LogLine], marks: &[Mark; 2], most: usize) -> Read {
    let mut given = Given::up_to(places(marks));
    let mut lines: Vec<LogLine> = log.iter().filter(|line| given.is_new(line)).cloned().collect();
    let is_cut = lines.len() > most;
    lines.truncate(most);
    Read { lines, is_cut, ..Read::default() }
}

fn room(lines: usize) -> Room {
    Room { lines, characters: 100_000, frame: 10, is_empty: true }
}

/// The numbers of the shown lines.
fn numbers(page: &Page) -> Vec<usize> {
    let lines = page.shown.iter().flat_map(|shown| &shown.lines);
    lines.map(|(_, _, text)| text.rsplit(' ').next().unwrap().parse().unwrap()).collect()
}

/// The head of the entry that a line belongs to: the last line of its stream that goes on with nothing.
fn heads(steps: &[Step]) -> Vec<usize> {
    let mut last: BTreeMap<(usize, bool), usize> = BTreeMap::new();
    let head = |(number, (_, container, stderr, goes_on)): (usize, &Step)| {
        let head = last.entry((*container, *stderr)).or_insert(number);
        if !goes_on {
            *head = number;
        }
        *head
    };
    steps.iter().enumerate().map(head).collect()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Equal times are common, and a pause now and then is longer than a line may be late.
    let wait = prop_oneof![6 => Just(0_u8), 3 => 1..4_u8, 1 => Just(255_u8)];
    proptest::collection::vec((wait, 0..CONTAINERS, any::<bool>(), prop::bool::weighted(0.3)), 1..80)
}

proptest! {
    #[test]
    fn pages_give_every_line_once_and_keep_entries_whole(
        steps in steps(),
        grown in proptest::collection::vec(1..12_usize, 1..40),
        most in 1..30_usize,
        tail in 1..12_usize,
    ) {
        let heads = heads(&steps);
        let sizes = heads.iter().fold(BTreeMap::new(), |mut sizes: BTreeMap<usize, usize>, head| {
            *sizes.entry(*head).or_default() += 1;
            sizes
        });
        let all = logs(&steps);
        let mut marks = vec![[Mark::before(Timestamp::UNIX_EPOCH); 2]; CONTAINERS];
        let (mut seen, mut written) = (Vec::new(), 0);
        let mut grown = grown.into_iter().cycle();
        for _ in 0..1_000 {
            // The logs grow between two pages, and in the end no more.
            written = steps.len().min(written + grown.next().unwrap());
            let there = |log: &[LogLine]| -> Vec<LogLine> {
                let number = |line: &LogLine| line.text.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
                log.iter().filter(|line| number(line) < written).cloned().collect()
            };
            let reads: Vec<Read> =
                all.iter().zip(&marks).map(|(log, marks)| read(&there(log), marks, most)).collect();
            let is_cut = reads.iter().any(|read| read.is_cut);
            let nothing = reads.iter().all(|read| read.lines.is_empty());
            let page = forward(reads, &mut marks, &Filter::default(), &mut room(tail), Held::Nothing);
            let given = numbers(&page);
            prop_assert!(nothing || !given.is_empty(), "a page that does not go on");
            prop_assert!(given.len() <= tail);
            let times: Vec<Timestamp> = page.shown.iter().map(|shown| shown.lines[0].0).collect();
            prop_assert!(times.is_sorted(), "{times:?}");
            if written == steps.len() && !is_cut && page.is_full {
                // The last entry is whole, unless it is larger than the page.
                let head = heads[*given.last().unwrap()];
                let whole = given.iter().filter(|number| heads[**number] == head).count();
                let before = seen.iter().filter(|number| heads[**number] == head).count();
                prop_assert!(whole + before == sizes[&head] || sizes[&head] > tail, "{head} of {given:?}");
            }
            seen.extend(given);
            if nothing && written == steps.len() {
                break;
            }
        }
        let mut sorted = seen.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..steps.len()).collect::<Vec<_>>());
        // Every stream in its own order.
        for container in 0..CONTAINERS {
            for stderr in [false, true] {
                let mine = |number: &&usize| (steps[**number].1, steps[**number].2) == (container, stderr);
                prop_assert!(seen.iter().filter(mine).is_sorted());
            }
        }
    }

    #[test]
    fn the_newest_are_followed_by_what_comes_after_and_nothing_else(
        steps in steps(),
        first in 0..80_usize,
        tail in 1..12_usize,
    ) {
        let first = first.min(steps.len());
        let (before, all) = (logs(&steps[..first]), logs(&steps));
        let mut marks = vec![[Mark::before(Timestamp::UNIX_EPOCH); 2]; CONTAINERS];
        let newest_of = |log: &Vec<LogLine>| {
            let mut from = log.len().saturating_sub(tail + 5);
            while from > 0 && log[from..].iter().all(|line| line.time == log[from].time) {
                from -= 1;
            }
            Read { lines: log[from..].to_vec(), is_cut: from > 0, ..Read::default() }
        };
        let page =
            newest(before.iter().map(newest_of).collect(), &mut marks, &Filter::default(), &mut room(tail));
        let shown = numbers(&page);
        prop_assert!(shown.len() <= tail && (first == 0 || !shown.is_empty()));
        let reads = all.iter().zip(&marks).map(|(log, marks)| read(log, marks, 1000)).collect();
        let page = forward(reads, &mut marks, &Filter::default(), &mut room(1000), Held::Nothing);
        let mut next = numbers(&page);
        next.sort_unstable();
        prop_assert_eq!(next, (first..steps.len()).collect::<Vec<_>>());
    }

    #[test]
    fn a_filter_admits_or_drops_whole_entries_wherever_pages_end(
        steps in steps(),
        most in 1..30_usize,
        tail in 1..12_usize,
    ) {
        let (heads, all) = (heads(&steps), logs(&steps));
        let filter = Filter { grep: Some(Regex::new("^line .*[13579]$").unwrap()), level: None };
        let mut marks = vec![[Mark::before(Timestamp::UNIX_EPOCH); 2]; CONTAINERS];
        let mut seen = Vec::new();
        for round in 0.. {
            prop_assert!(round < 1_000, "pages that do not go on");
            let reads: Vec<Read> =
                all.iter().zip(&marks).map(|(log, marks)| read(log, marks, most)).collect();
            if reads.iter().all(|read| read.lines.is_empty()) { break; }
            seen.extend(numbers(&forward(reads, &mut marks, &filter, &mut room(tail), Held::Nothing)));
        }
        seen.sort_unstable();
        let wanted = |number: &usize| heads[*number] % 2 == 1 && !steps[heads[*number]].3;
        prop_assert_eq!(seen, (0..steps.len()).filter(wanted).collect::<Vec<_>>());
    }
}

/// What is followed comes in pieces; the last entry of a stream is held until it is known to be whole.
#[test]
fn followed_entries_wait_for_their_end() {
    let line = |millisecond, text: &str| LogLine { time: at(millisecond), stderr: false, text: text.into() };
    let mut marks = vec![[Mark::before(Timestamp::UNIX_EPOCH); 2]];
    let mut room = room(100);
    let mut take = |lines: Vec<LogLine>, held: bool| {
        let reads = vec![Read { lines, ..Read::default() }];
        let page = forward(reads, &mut marks, &Filter::default(), &mut room, Held::Last(&[held]));
        let texts = page.shown.iter().flat_map(|shown| &shown.lines).map(|(_, _, text)| text.clone());
        (texts.collect::<Vec<_>>(), page.rest.into_iter().next().unwrap())
    };
    let (told, rest) = take(vec![line(1, "one"), line(2, "ERROR"), line(2, "  at x")], true);
    assert_eq!((told.as_slice(), rest.len()), (["one".to_owned()].as_slice(), 2));
    let (told, rest) = take([rest, vec![line(3, "  at y"), line(4, "two")]].concat(), true);
    assert_eq!((told.len(), rest.len()), (3, 1));
    let (told, rest) = take(rest, false);
    assert_eq!((told.as_slice(), rest.len()), (["two".to_owned()].as_slice(), 0));
}

#[test]
fn an_entry_larger_than_a_page_is_cut_inside_and_goes_on() {
    let log: Vec<LogLine> = (0..10)
        .map(|n| LogLine {
            time: at(n),
            stderr: false,
            text: if n == 0 { "ERROR boom".into() } else { format!("  at {n}") },
        })
        .collect();
    let filter = Filter { level: Some(Level::Error), grep: None };
    let mut marks = vec![[Mark::before(Timestamp::UNIX_EPOCH); 2]];
    let mut sizes = Vec::new();
    loop {
        let reads = vec![read(&log, &marks[0], 100)];
        let page = forward(reads, &mut marks, &filter, &mut room(4), Held::Nothing);
        if page.shown.is_empty() {
            break;
        }
        sizes.push(page.shown[0].lines.len());
    }
    assert_eq!(sizes, [4, 4, 2]);
    let mut marks = vec![[Mark::before(Timestamp::UNIX_EPOCH); 2]];
    let page = newest(vec![Read { lines: log, ..Read::default() }], &mut marks, &filter, &mut room(4));
    assert_eq!((page.shown[0].lines[0].2.as_str(), page.left), ("  at 6", 6));
}

/// Only so much of a log is read at once: an entry whose end was not read waits for the next page.
#[test]
fn an_entry_whose_end_was_not_read_waits() {
    let texts = ["one", "two", "  at x", "  at y", "three"];
    let log: Vec<LogLine> = texts
        .iter()
        .zip(0..)
        .map(|(text, n)| LogLine { time: at(n), stderr: false, text: (*text).into() })
        .collect();
    let mut marks = vec![[Mark::before(Timestamp::UNIX_EPOCH); 2]];
    let mut pages = Vec::new();
    while pages.len() < 3 {
        let reads = vec![read(&log, &marks[0], 3)];
        let page = forward(reads, &mut marks, &Filter::default(), &mut room(100), Held::Nothing);
        pages.push(page.shown.iter().map(|shown| shown.lines.len()).collect::<Vec<_>>());
    }
    assert_eq!(pages, [vec![1], vec![3], vec![1]]);
}

#[test]
fn a_secret_cannot_be_found_by_a_filter() {
    let log = vec![LogLine { time: at(1), stderr: false, text: "login password=hunter2 ok".into() }];
    let found = |pattern: &str| {
        let filter = Filter { grep: Some(Regex::new(pattern).unwrap()), level: None };
        let mut marks = vec![[Mark::before(Timestamp::UNIX_EPOCH); 2]];
        let read = Read { lines: log.clone(), ..Read::default() };
        newest(vec![read], &mut marks, &filter, &mut room(9)).shown.len()
    };
    assert_eq!((found("hunter"), found("password"), found("ok$")), (0, 1, 1));
    // nor letter by letter, beside what stands in its place
    assert_eq!((found(r"password=(h|\*\*\*)"), found(r"password=(x|\*\*\*)")), (1, 1));
}

#[test]
fn a_log_that_could_not_be_read_is_read_from_there_again() {
    let line =
        |second: i64| LogLine { time: at(second * 1000), stderr: false, text: format!("line {second}") };
    let well = Read { lines: vec![line(1000)], ..Read::default() };
    let failed = Read { is_failed: true, ..Read::default() };
    let before = Mark::before(Timestamp::from_second(5).unwrap());
    for is_forward in [true, false] {
        let mut marks = vec![[before; 2]; 2];
        let (reads, filter) = (vec![well.clone(), failed.clone()], Filter::default());
        if is_forward {
            forward(reads, &mut marks, &filter, &mut room(9), Held::Nothing);
        } else {
            newest(reads, &mut marks, &filter, &mut room(9));
        }
        assert_eq!(marks[1], [before; 2], "{is_forward}");
        assert!(marks[0][0].place.time > before.place.time);
    }
}

/// An engine may count whole seconds: how many lines of the first one were read cannot be told.
#[test]
fn lines_of_a_moment_that_was_cut_are_told_as_left_out() {
    let line =
        |second: i64, n: usize| LogLine { time: at(second * 1000), stderr: false, text: format!("line {n}") };
    let lines: Vec<LogLine> = (0..104).map(|n| line(1, n)).chain([line(2, 104)]).collect();
    let mut marks = vec![[Mark::before(Timestamp::UNIX_EPOCH); 2]];
    let read = Read { lines, is_cut: true, ..Read::default() };
    let page = newest(vec![read], &mut marks, &Filter::default(), &mut room(5));
    assert_eq!((numbers(&page), page.is_full, page.left), (vec![104], true, 104));
}
