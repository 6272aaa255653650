//! The loader of hosts files and the reader of ssh configurations, tried with the seeds of
//! `tests/corpus` and with a fixed number of mutations of them. `make fuzz` lets libFuzzer look further,
//! from the same seeds and for the same rules.

#![allow(clippy::unwrap_used, reason = "a test speaks by panicking")]

#[path = "fuzz/targets.rs"]
mod targets;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use std::path::Path;

/// Enough to reach every fault once found by libFuzzer, few enough to be no burden.
const MUTATIONS: u64 = 3000;

/// Words that mean something to one of the readers.
const WORDS: [&str; 32] = [
    "hosts:",
    "server:",
    "  ",
    "\n",
    "\t",
    ": ",
    "- ",
    "&a ",
    "*a",
    "<<: *a",
    "!!str ",
    "!x ",
    "|\n",
    ">-\n",
    "'",
    "\"",
    "\\",
    "#",
    "{",
    "}",
    "[",
    "]",
    "null",
    "~",
    "port: 70000",
    "${HOME}",
    "\r\n",
    "\u{feff}",
    "Host ",
    "Include ",
    "Match all\n",
    "hostname = x",
];

/// Tries `target` with every seed and with mutations of them; the seed of the numbers is fixed, so that a
/// failure comes again.
fn attack(corpus: &str, target: fn(&Path, &[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(corpus);
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(seeds.len() >= 8, "{corpus} has {} seeds", seeds.len());
    let directory = tempfile::tempdir().unwrap();
    let attempt = |bytes: &[u8]| {
        let outcome =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| target(directory.path(), bytes)));
        assert!(outcome.is_ok(), "for the input {:?}", String::from_utf8_lossy(bytes));
    };
    for seed in &seeds {
        attempt(seed);
    }
    for number in 0..MUTATIONS {
        let mut random = SmallRng::seed_from_u64(number);
        let mut bytes = seeds.choose(&mut random).unwrap().clone();
        for _ in 0..random.random_range(1..5) {
            mutate(&mut bytes, &seeds, &mut random);
        }
        attempt(&bytes);
    }
}

fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut SmallRng) {
    let at = random.random_range(0..=bytes.len());
    let end = random.random_range(at..=bytes.len().min(at + 40));
    match random.random_range(0..6) {
        0 => drop(bytes.drain(at..end)),
        1 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        2 => drop(bytes.splice(at..at, WORDS.choose(random).unwrap().bytes())),
        3 => bytes.truncate(at),
        4 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
        _ => {
            let other = seeds.choose(random).unwrap();
            let from = random.random_range(0..=other.len());
            bytes.splice(at.., other[from..].iter().copied());
        }
    }
}

#[test]
fn any_hosts_file_loads_or_is_refused_in_words() {
    attack("hosts", targets::hosts_file);
}

#[test]
fn any_ssh_configuration_is_read_to_its_end() {
    attack("ssh_config", targets::ssh_config);
}
