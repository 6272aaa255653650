//! What a program prints, kept within bounds: its beginning and its end, both streams in the order they came in.

use super::excerpt::excerpt;
use super::redact;
use super::text::cut;
use std::collections::VecDeque;

/// So much of the beginning is kept, and as much of the end.
const KEPT: usize = 24 * 1024;

/// So much of each is shown when there is more than both: the rest tells where a secret begins or ends.
const SHOWN: usize = 18_000;

/// The same, when every line is told which stream it belongs to.
const LONGEST_PART: usize = 19_000;

/// Where a program prints to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Its standard output.
    Out,
    /// Its standard error.
    Err,
}

/// What one stream had to say before the other.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    stream: Stream,
    bytes: Vec<u8>,
}

/// The output of a program.
#[derive(Debug, Clone, Default)]
pub struct Output {
    head: VecDeque<Run>,
    tail: VecDeque<Run>,
    in_head: usize,
    in_tail: usize,
    /// Bytes between the two.
    dropped: u64,
    has_errors: bool,
}

impl Output {
    /// Takes in what came.
    pub fn push(&mut self, stream: Stream, bytes: &[u8]) {
        self.has_errors |= stream == Stream::Err && !bytes.is_empty();
        let (first, rest) = bytes.split_at(bytes.len().min(KEPT - self.in_head));
        self.in_head += first.len();
        append(&mut self.head, stream, first);
        // Of a piece that is larger than the room only its end stays.
        let skipped = rest.len().saturating_sub(KEPT);
        self.dropped += skipped as u64;
        self.in_tail += rest.len() - skipped;
        append(&mut self.tail, stream, &rest[skipped..]);
        while self.in_tail > KEPT
            && let Some(run) = self.tail.front_mut()
        {
            let gone = (self.in_tail - KEPT).min(run.bytes.len());
            run.bytes.drain(..gone);
            self.in_tail -= gone;
            self.dropped += gone as u64;
            if run.bytes.is_empty() {
                self.tail.pop_front();
            }
        }
    }

    /// Whether anything went to standard error: then every line of the text tells its stream.
    pub fn has_errors(&self) -> bool {
        self.has_errors
    }

    /// It as text, without secrets; `known` are such that no rule would know.
    pub fn text(&self, known: &[String]) -> String {
        let shown = |runs: &[Run], before: &[u8], after: &[u8]| {
            let mut text = String::new();
            for (at, run) in runs.iter().enumerate() {
                let before = if at == 0 { before } else { &[] };
                let after = if at + 1 == runs.len() { after } else { &[] };
                self.tell(&mut text, run, before, after, known);
            }
            text
        };
        let mut head: Vec<Run> = self.head.iter().cloned().collect();
        let tail: Vec<Run> = self.tail.iter().cloned().collect();
        if self.dropped == 0 && self.in_head + self.in_tail <= 2 * SHOWN {
            for run in tail {
                merge(&mut head, run);
            }
            let text = shown(&head, &[], &[]);
            let (first, _) = cut(&text, LONGEST_PART);
            return parts(first, &text[first.len()..], 0);
        }
        let rest = split(&mut head, SHOWN);
        let after = head.last().zip(rest.first()).filter(|(last, next)| last.stream == next.stream);
        let first = shown(&head, &[], after.map_or(&[][..], |(_, next)| &next.bytes));
        let mut unseen = tail;
        let tail = split(&mut unseen, self.in_tail.saturating_sub(SHOWN));
        let before = unseen.last().zip(tail.first()).filter(|(last, next)| last.stream == next.stream);
        let last = shown(&tail, before.map_or(&[][..], |(last, _)| &last.bytes), &[]);
        let size = |runs: &[Run]| runs.iter().map(|run| run.bytes.len() as u64).sum::<u64>();
        parts(&first, &last, self.dropped + size(&rest) + size(&unseen))
    }

    fn tell(&self, text: &mut String, run: &Run, before: &[u8], after: &[u8], known: &[String]) {
        let [before, bytes, after] = [before, &run.bytes, after].map(String::from_utf8_lossy);
        let told = excerpt(&before, &bytes, &after);
        let mut told =
            told.unwrap_or_else(|| format!("{} (a secret lies across an end of this part)\n", redact::MASK));
        // The longest first: one may be the beginning of another.
        let mut known: Vec<&String> = known.iter().filter(|secret| !secret.is_empty()).collect();
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        for secret in known {
            told = told.replace(secret.as_str(), redact::MASK);
        }
        if !self.has_errors {
            text.push_str(&told);
            return;
        }
        // A line that the other stream broke off is told in pieces.
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let mark = if run.stream == Stream::Err { "2> " } else { "1> " };
        for line in told.split_inclusive('\n') {
            text.push_str(mark);
            text.push_str(line);
        }
    }
}

/// The beginning and the end, each as long as a part may be, and how much is left out between them. Marks and masks make
/// what is shown longer than what was printed.
fn parts(first: &str, last: &str, left_out: u64) -> String {
    let (beginning, _) = cut(first, LONGEST_PART);
    let from = (last.len().saturating_sub(LONGEST_PART)..=last.len()).find(|at| last.is_char_boundary(*at));
    let end = &last[from.unwrap_or(last.len())..];
    let left_out = left_out + (first.len() - beginning.len() + last.len() - end.len()) as u64;
    if left_out == 0 {
        return format!("{beginning}{end}");
    }
    let line = if beginning.ends_with('\n') { "" } else { "\n" };
    format!("{beginning}{line}[… {left_out} bytes left out …]\n{end}")
}

fn append(runs: &mut VecDeque<Run>, stream: Stream, bytes: &[u8]) {
    match runs.back_mut() {
        _ if bytes.is_empty() => {}
        Some(run) if run.stream == stream => run.bytes.extend_from_slice(bytes),
        _ => runs.push_back(Run { stream, bytes: bytes.to_vec() }),
    }
}

fn merge(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(last) if last.stream == run.stream => last.bytes.extend(run.bytes),
        _ => runs.push(run),
    }
}

/// Leaves the first `at` bytes, less what belongs to a line that does not end there; returns the rest.
fn split(runs: &mut Vec<Run>, at: usize) -> Vec<Run> {
    let mut left = at;
    let Some(place) = runs.iter().position(|run| {
        let is_here = left < run.bytes.len();
        left -= left.min(run.bytes.len());
        is_here
    }) else {
        return vec![];
    };
    let within = at - runs[..place].iter().map(|run| run.bytes.len()).sum::<usize>();
    let mut rest = runs.split_off(place);
    let run = &mut rest[0];
    let line = run.bytes[..within].iter().rposition(|byte| *byte == b'\n').map_or(within, |end| end + 1);
    if line > 0 {
        let later = run.bytes.split_off(line);
        let earlier = std::mem::replace(&mut run.bytes, later);
        runs.push(Run { stream: run.stream, bytes: earlier });
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn output(pieces: &[(Stream, &str)]) -> Output {
        let mut output = Output::default();
        for (stream, text) in pieces {
            output.push(*stream, text.as_bytes());
        }
        output
    }

    #[test]
    fn streams_are_told_apart_in_their_order_only_where_there_are_two() {
        let plain = output(&[(Stream::Out, "one\ntw"), (Stream::Out, "o\n")]);
        assert_eq!(plain.text(&[]), "one\ntwo\n");
        let both = output(&[(Stream::Out, "one\ntw"), (Stream::Err, "oops\n"), (Stream::Out, "o\n")]);
        assert_eq!(both.text(&[]), "1> one\n1> tw\n2> oops\n1> o\n");
    }

    #[test]
    fn secrets_and_control_characters_are_taken_out() {
        let told = output(&[(Stream::Out, "TOKEN=hunter2\n\u{1b}[31mred\u{1b}[0m sesame\n")]);
        assert_eq!(told.text(&["sesame".to_owned()]), "TOKEN=***\nred ***\n");
        assert_eq!(told.text(&["sesa".to_owned(), "sesame".to_owned()]), "TOKEN=***\nred ***\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn the_beginning_and_the_end_stay_whatever_pieces_it_comes_in(
            sizes in proptest::collection::vec((1_usize..9_000, any::<bool>()), 1..60),
            line in 2_usize..60,
        ) {
            let mut output = Output::default();
            let total: usize = sizes.iter().map(|(size, _)| size).sum();
            let letter = |at: usize| if (at + 1).is_multiple_of(line) { '\n' } else { ('a'..='z').cycle().nth(at / line % 26).unwrap() };
            let all: String = (0..total).map(letter).collect();
            let mut at = 0;
            for (size, is_error) in &sizes {
                let stream = if *is_error { Stream::Err } else { Stream::Out };
                output.push(stream, &all.as_bytes()[at..at + size]);
                at += size;
            }
            prop_assert!(output.in_head <= KEPT && output.in_tail <= KEPT);
            let text = output.text(&[]);
            prop_assert!(text.len() <= 2 * LONGEST_PART + 100);
            let left_out = text.contains("bytes left out");
            prop_assert!(left_out || total <= 2 * SHOWN);
            if !output.has_errors {
                prop_assert_eq!(left_out, total > 2 * SHOWN);
            }
            if !left_out {
                let lines = text.lines().map(|line| line.trim_start_matches(['1', '2', '>', ' ']));
                prop_assert_eq!(lines.collect::<String>(), all.replace('\n', ""));
            }
            let last = |text: &str| text.trim_end().chars().last().unwrap();
            prop_assert_eq!(last(&text), if total == 1 || all.ends_with('\n') { last(&all) } else { all.chars().last().unwrap() });
        }

        #[test]
        fn no_secret_shows_wherever_the_cuts_are(before in 17_000_usize..25_000, between in 0_usize..60_000) {
            let secret = "-----BEGIN PRIVATE KEY-----\nhunter2\nhunter2\n-----END PRIVATE KEY-----\nTOKEN=hunter2\n";
            let lines = |count: usize| "plain text\n".repeat(count / 11);
            let all = format!("{}{secret}{}{secret}{}", lines(before), lines(between), lines(18_000));
            let text = output(&[(Stream::Out, &all)]).text(&[]);
            prop_assert!(!text.contains("unter"));
        }
    }
}
