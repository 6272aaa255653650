//! A part of a file, redacted as the whole of it would be.

use super::redact;
use super::text::clean;

/// `shown` redacted with what stands around it in mind: the end of a key's block may lie in it and its
/// beginning `before`. `None` when a secret lies across one of its two ends; at the ends of lines none does.
pub fn excerpt(before: &str, shown: &str, after: &str) -> Option<String> {
    let redacted = |text: &str| redact::file(&clean(text));
    let (start, middle) = (redacted(before), redacted(&format!("{before}{shown}")));
    let whole = redacted(&format!("{before}{shown}{after}"));
    let part = middle.strip_prefix(&start)?;
    whole.starts_with(&middle).then(|| part.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "a: 1\npassword: |\n  hunter1\n  hunter1\nTOKEN=hunter2 hunter2\n-----BEGIN PRIVATE KEY-----\nhunter3\nhunter3\n-----END PRIVATE KEY-----\nurl: x://u:hunter4@h\nghp_0123456789abcdefghijABCDEFGHIJ012345 z\n";

    proptest! {
        #[test]
        fn parts_of_whole_lines_are_the_whole(lines in proptest::collection::vec(0_usize..FILE.len(), 0..4)) {
            let end = |at: usize| FILE[at..].find('\n').map_or(FILE.len(), |more| at + more + 1);
            let mut ends: Vec<usize> = lines.into_iter().map(end).chain([0, FILE.len()]).collect();
            ends.sort_unstable();
            let parts = ends.windows(2).map(|pair| {
                excerpt(&FILE[..pair[0]], &FILE[pair[0]..pair[1]], &FILE[pair[1]..]).unwrap()
            });
            prop_assert_eq!(parts.collect::<String>(), redact::file(FILE));
        }

        #[test]
        fn no_part_shows_a_secret(from in 0..FILE.len(), to in 0..FILE.len()) {
            let (from, to) = (from.min(to), from.max(to));
            let told = excerpt(&FILE[..from], &FILE[from..to], &FILE[to..]).unwrap_or_default();
            for secret in ["hunter", "unter", "ghp_0", "abcdef"] {
                prop_assert!(!told.contains(secret), "{}", told);
            }
        }
    }
}
