//! Secrets that stand behind their name in free text: `key=value`, `key: value`, `--flag value`.

use super::MASK;
use super::keys::{is_auth, is_secret_key, lists_names};
use super::rules::Hidden;
use super::values::{hidden, is_scheme, is_ssh_public};
use regex::Captures;
use std::ops::Range;

/// Words that follow `password:` or `--password` in a sentence.
const PROSE: [&str; 48] = [
    "is",
    "was",
    "are",
    "must",
    "may",
    "can",
    "cannot",
    "should",
    "has",
    "have",
    "needs",
    "requires",
    "required",
    "not",
    "no",
    "and",
    "or",
    "to",
    "for",
    "from",
    "in",
    "on",
    "of",
    "with",
    "without",
    "as",
    "if",
    "the",
    "a",
    "an",
    "too",
    "flag",
    "option",
    "value",
    "expired",
    "invalid",
    "missing",
    "wrong",
    "incorrect",
    "unknown",
    "unexpected",
    "failed",
    "denied",
    "rejected",
    "mismatch",
    "empty",
    "malformed",
    "permission",
];

/// A key whose name may be secret, and its separator; whether it is one is for [`is_secret_key`].
pub(super) const KEY: &str = r#"(?P<key>(?:[A-Za-z_][A-Za-z0-9_.-]*)?(?i:pass|pwd|pw|psk|secret|token|key|cred|jwt|cookie|auth|bearer|mnemonic|salt|sessid)[A-Za-z0-9_.-]*)(?P<sep>\\?["']?\]?(?: is| was)?[ \t]*(?::=|=>|==?|:)[ \t]*)"#;

/// A flag of such a name and the space before its value, also between the items of a list.
pub(super) const FLAG: &str = r#"(?:^|[ \t\n"'\[(,=])(?P<key>--?(?:[A-Za-z][A-Za-z0-9_.-]*)?(?i:pass|pwd|pw|psk|secret|token|key|cred|jwt|cookie|auth|bearer|mnemonic|salt|sessid)[A-Za-z0-9_.-]*)(?P<sep>\\?["']?,?[ \t]+)"#;

/// What stands behind a key: the secret part of its value.
pub(super) fn after_key(text: &str, found: &Captures<'_>) -> Hidden {
    let (key, sep) = (found.name("key")?, &found["sep"]);
    let before = &text[..key.start()];
    let mut name = key.as_str();
    // A line feed written as `\n` is no part of the name.
    if before.ends_with('\\') && name.starts_with(['n', 'r', 't']) {
        name = &name[1..];
    }
    // `API key: x`
    let spaced;
    if name.eq_ignore_ascii_case("key") {
        let word = before.trim_end_matches([' ', '-']).rsplit(|c: char| !c.is_ascii_alphanumeric()).next()?;
        spaced = format!("{word}_{name}");
        name = &spaced;
    }
    if !(is_secret_key(name) || is_auth(name)) || before.ends_with("${") {
        return None;
    }
    let start = found.get(0)?.end();
    let rest = &text[start..];
    let colon = sep.contains(':') && !sep.contains('=');
    let bare = !sep.contains(['"', '\'']);
    if colon && bare {
        let glued = !sep.ends_with([' ', '\t']);
        let code = before.ends_with("::") || rest.starts_with(':');
        if code || before.ends_with('@') || is_in_path(before, glued) || (glued && is_place(name, rest)) {
            return None;
        }
    }
    let skipped = match rest.as_bytes().first() {
        Some(b'[') if colon && lists_names(name) => return None,
        Some(b'{') if colon && !rest.starts_with("{{") => return None,
        Some(b'[') if colon => match list(name, &rest[1..]) {
            Some((length, masked)) => return Some((start + 1..start + 1 + length, masked)),
            None => 1,
        },
        Some(b'[') => 1,
        _ => 0,
    };
    let enclosing = before.chars().next_back().filter(|c| bare && ['"', '\''].contains(c));
    let range = value(text, start + skipped, enclosing, sep.contains('='))?;
    let shown = &text[range.clone()];
    // `Set-Cookie: name=***` is done.
    let done = is_cookie(name) && shown.ends_with("=***");
    if done || is_ssh_public(&text[range.start..]) || (colon && bare && sep.ends_with(' ') && is_prose(shown))
    {
        return None;
    }
    hidden(name, shown).map(|masked| (range, masked))
}

/// Longer than any list of secrets that a person writes on a line.
const LONGEST_LIST: usize = 2_000;

/// The items of a list that closes on its line, when they are more than one: how long they are, and each of them
/// masked in its quotes.
fn list(name: &str, inside: &str) -> Option<(usize, String)> {
    let end = inside.char_indices().take(LONGEST_LIST).find(|(_, c)| [']', '\n'].contains(c))?.0;
    let items = inside[..end].strip_suffix('\\').unwrap_or(&inside[..end]);
    let is_open = inside[end..].starts_with('\n');
    if is_open || !items.contains(',') {
        return None;
    }
    let mut changed = false;
    let masked = items.split(',').map(|item| {
        let word = item.trim_matches([' ', '\t', '"', '\'', '\\']);
        let Some(masked) = hidden(name, word) else { return item.to_owned() };
        changed = true;
        item.replacen(word, &masked, 1)
    });
    let masked = masked.collect::<Vec<_>>().join(",");
    changed.then_some((items.len(), masked))
}

/// What stands behind a flag: its value, unless that is the next flag or the rest of a sentence.
pub(super) fn after_flag(text: &str, found: &Captures<'_>) -> Hidden {
    let name = found.name("key")?.as_str().trim_start_matches('-');
    if !is_secret_key(name) {
        return None;
    }
    let range = value(text, found.get(0)?.end(), None, false)?;
    let shown = &text[range.clone()];
    if shown.starts_with('-') || is_prose(shown) {
        return None;
    }
    hidden(name, shown).map(|masked| (range, masked))
}

fn is_cookie(name: &str) -> bool {
    name.len() >= 6
        && name.is_char_boundary(name.len() - 6)
        && name[name.len() - 6..].eq_ignore_ascii_case("cookie")
}

fn is_prose(value: &str) -> bool {
    PROSE.contains(&value.trim_end_matches(['.', '!', '?']))
}

/// Whether what follows `before` is the last part of a path, and not of a key such as
/// `example.org/token`.
fn is_in_path(before: &str, glued: bool) -> bool {
    let word = before.rsplit([' ', '\t', '\n', '"', '\'']).next().unwrap_or(before);
    word.ends_with('/') && (glued || word.starts_with(['/', '.', '~']))
}

/// Whether `name:rest` is a place and no pair: a port, a tag, a mounted path, an address.
fn is_place(name: &str, rest: &str) -> bool {
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c)).unwrap_or(rest.len());
    let word = &rest[..end];
    let digits = word.chars().all(|c| c.is_ascii_digit());
    let tag = word.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    rest.starts_with('/')
        || (digits && word.len() <= 5 && name.contains(['-', '.']))
        || tag
        || ["latest", "stable", "alpine", "main", "edge"].contains(&word)
}

/// Where the value that starts at `start` lies. `enclosing` is the quote that the whole pair stands in.
/// Nothing here looks further than the value goes: a line can be the whole text.
fn value(text: &str, start: usize, enclosing: Option<char>, assigned: bool) -> Option<Range<usize>> {
    let rest = &text[start..];
    let escaped = rest.starts_with("\\\"") || rest.starts_with("\\'");
    let quoted = &rest[usize::from(escaped)..];
    if let Some(quote) = quoted.chars().next().filter(|c| ['"', '\''].contains(c)) {
        let from = start + usize::from(escaped) + 1;
        let inside = &quoted[1..];
        let end = if escaped { closing_escaped(inside, quote) } else { closing(inside, quote) };
        // A value that was cut off goes to the end of its line.
        let end = end.unwrap_or_else(|| inside.find('\n').unwrap_or(inside.len()));
        return (end > 0).then(|| from..from + end);
    }
    // What was masked before is done, whatever follows it.
    if rest.strip_prefix(MASK).is_some_and(|more| !more.starts_with(|c: char| c.is_alphanumeric())) {
        return None;
    }
    let mut end = bare_end(rest);
    if is_scheme(&rest[..end]) && rest[end..].starts_with(' ') {
        let next = bare_end(&rest[end + 1..]);
        end += if next > 0 { next + 1 } else { 0 };
    }
    // `"KEY=two words"`
    if let Some(quote) = enclosing.filter(|_| assigned)
        && let Some(more) = rest[end..].find([quote, '=', '\n'])
        && rest[end + more..].starts_with(quote)
    {
        end += more;
    }
    (end > 0).then(|| start..start + end)
}

/// Where the quote closes on its line, past escaped ones.
pub(super) fn closing(inside: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    let (at, found) = inside.char_indices().find(|(_, c)| {
        let ends = (*c == quote && !escaped) || *c == '\n';
        escaped = *c == '\\' && !escaped;
        ends
    })?;
    (found == quote).then_some(at)
}

/// Where the escaped quote closes on its line.
fn closing_escaped(inside: &str, quote: char) -> Option<usize> {
    let (at, found) = inside
        .char_indices()
        .find(|(at, c)| *c == '\n' || (*c == '\\' && inside[at + 1..].starts_with(quote)))?;
    (found == '\\').then_some(at)
}

/// Where a value without quotes ends: at a space or a quote, and at punctuation that ends more than
/// the value.
fn bare_end(rest: &str) -> usize {
    // The message of `${A:?some words}` has spaces.
    let braced = rest.starts_with("${") || rest.starts_with("{{");
    let from = if braced { closing_brace(rest).unwrap_or(0) } else { 0 };
    rest[from..]
        .char_indices()
        .find(|(at, c)| {
            let more = &rest[from + at + c.len_utf8()..];
            match c {
                ' ' | '\t' | '\n' | '\r' | '"' | '\'' | '<' | '`' => true,
                ',' | ';' | '&' | ')' | '}' | ']' => ends_value(more),
                '\\' => {
                    more.starts_with(['"', '\''])
                        || (more.starts_with(['n', 'r', 't']) && ends_value(&more[1..]))
                }
                _ => false,
            }
        })
        .map_or(rest.len(), |(at, _)| from + at)
}

/// Longer than any reference to a variable that a person writes.
const LONGEST_REFERENCE: usize = 500;

/// Behind the brace that closes the first one, on its line.
fn closing_brace(rest: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let (at, found) = rest.char_indices().take(LONGEST_REFERENCE).find(|(_, c)| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        *c == '\n' || (*c == '}' && depth == 0)
    })?;
    (found == '}').then_some(at + 1)
}

/// Longest name looked at behind punctuation.
const LONGEST_NAME: usize = 100;

/// Whether what follows punctuation is something else than more of the value.
fn ends_value(rest: &str) -> bool {
    let Some(next) = rest.chars().next() else { return true };
    if next.is_whitespace() || "\"'`,;)}].\\<".contains(next) {
        return true;
    }
    let in_name = |c: &u8| c.is_ascii_alphanumeric() || b"_.-".contains(c);
    let name = rest.bytes().take(LONGEST_NAME).take_while(in_name).count();
    name > 0 && rest[name..].starts_with(['=', ':'])
}

#[cfg(test)]
mod tests {
    use super::super::{keys, pattern};
    use super::*;

    #[test]
    fn the_patterns_find_every_name_that_is_secret() {
        for name in keys::every_word() {
            assert!(pattern(KEY).is_match(&format!("{name}=x")), "{name}");
            assert!(pattern(FLAG).is_match(&format!("--{name} x")), "{name}");
        }
    }
}
