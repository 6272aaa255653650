//! "Did you mean": the nearest known words to one that is unknown.

/// Below this similarity (Jaro-Winkler, 0 to 1) a suggestion misleads more than it helps.
const NEAR: f64 = 0.75;

/// How many suggestions a message can carry and still be read.
const MOST: usize = 3;

/// The known words nearest to `word`, best first, at most three.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let word = word.to_lowercase();
    let mut scored: Vec<(f64, &str)> = known
        .into_iter()
        .map(|candidate| (similarity(&word, &candidate.to_lowercase()), candidate))
        .filter(|(score, _)| *score >= NEAR)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.into_iter().take(MOST).map(|(_, candidate)| candidate).collect()
}

fn similarity(word: &str, candidate: &str) -> f64 {
    // A known word that contains what was typed is what people mean when they shorten a name.
    if word.len() >= 3 && candidate.contains(word) {
        return 1.0;
    }
    // One slip of the finger: in short names Jaro-Winkler alone would not see it.
    let slip = if strsim::osa_distance(word, candidate) <= 1 { 0.9 } else { 0.0 };
    strsim::jaro_winkler(word, candidate).max(slip)
}

/// The sentence for an error message: " Did you mean \"nas\" or \"nas2\"?", or nothing.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = nearest(word, known).iter().map(|near| format!("{near:?}")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        near => format!(" Did you mean {}?", near.join(" or ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_comes_first_and_strangers_not_at_all() {
        let hosts = ["nas", "nas2", "proxmox", "edge"];
        assert_eq!(nearest("nsa", hosts), ["nas", "nas2"]);
        assert_eq!(nearest("PROX", hosts), ["proxmox"]);
        assert!(nearest("zzz", hosts).is_empty());
        assert_eq!(did_you_mean("egde", hosts), " Did you mean \"edge\"?");
        assert_eq!(did_you_mean("zzz", hosts), "");
    }
}
