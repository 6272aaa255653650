//! What a secret key's value becomes: most vanish, some hold no secret.

use super::keys::{counts, is_auth, is_secret_key};
use super::{MASK, pattern};
use base64::Engine as _;
use regex::Regex;
use std::sync::LazyLock;

/// Schemes of an `Authorization` header; they stay before what they announce.
const SCHEMES: [&str; 5] = ["bearer", "basic", "token", "negotiate", "bot"];

/// Values that answer yes or no, or say that there is none.
const SWITCHES: [&str; 8] = ["true", "false", "yes", "no", "null", "nil", "none", "undefined"];

/// Where a value that is a path begins. A secret may begin with a slash too, so any path will not do.
static PATH: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:~|\.{1,2}|/run|/var|/etc|/home|/root|/opt|/srv|/mnt|/data|/config|/app|/tmp|/usr|/certs|/secrets)/[A-Za-z0-9._/@-]*$",
    )
});

/// A whole value that only names variables: `${A}`, `${A:?why}`, `$A`, `{{ a }}`.
static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:\$?\$\{[A-Za-z_][A-Za-z0-9_]*(?::?\?[^}]*)?\}|\$?\$[A-Z_][A-Z0-9_]*|\$\{\{[^{}]*\}\}|\{\{[^{}]*\}\})+$",
    )
});

/// `$name` in small letters: a reference when the name itself is that of a secret.
static SMALL_REFERENCE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\$([a-z_][a-z0-9_]*)$"));

/// A whole value that is a variable with a default.
static DEFAULT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^(\$?\$\{[A-Za-z_][A-Za-z0-9_]*:?-)((?:[^{}]|\{[^{}]*\})*)\}$"));

/// Whether `value` only names a variable.
pub(super) fn is_reference(value: &str) -> bool {
    REFERENCE.is_match(value) || SMALL_REFERENCE.captures(value).is_some_and(|found| is_secret_key(&found[1]))
}

/// What to show instead of `value` under `key`; nothing when it can be shown as it is.
pub(super) fn hidden(key: &str, value: &str) -> Option<String> {
    let is_secret = is_secret_key(key) || (is_auth(key) && holds_credentials(value));
    if !is_secret || is_harmless(key, value) {
        return None;
    }
    if let Some(found) = DEFAULT.captures(value) {
        let harmless = found[2].is_empty() || is_reference(&found[2]);
        return (!harmless).then(|| format!("{}{MASK}}}", &found[1]));
    }
    match value.split_once(' ') {
        Some((scheme, secret)) if is_scheme(scheme) && !secret.trim().is_empty() => {
            (!is_reference(secret.trim())).then(|| format!("{scheme} {MASK}"))
        }
        _ => Some(MASK.to_owned()),
    }
}

/// Whether `word` announces what follows it in an `Authorization` header.
pub(super) fn is_scheme(word: &str) -> bool {
    SCHEMES.iter().any(|scheme| scheme.eq_ignore_ascii_case(word))
}

/// Whether `text` begins with a public key as ssh writes it.
pub(super) fn is_ssh_public(text: &str) -> bool {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"-@.".contains(c)).unwrap_or(text.len());
    let kind = &text[..end];
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|prefix| kind.starts_with(prefix))
        && text[end..].starts_with(" AAAA")
}

fn is_harmless(key: &str, value: &str) -> bool {
    let value = value.trim();
    value.is_empty()
        || SWITCHES.iter().any(|word| word.eq_ignore_ascii_case(value))
        || is_reference(value)
        || PATH.is_match(value)
        || is_ssh_public(value)
        || (counts(key) && value.chars().all(|c| c.is_ascii_digit() || "._,".contains(c)))
        // The directory a shell stands in, not a password.
        || (["PWD", "OLDPWD"].contains(&key) && value.starts_with('/'))
}

/// Whether `value` is `user:password` in base64.
pub(super) fn holds_credentials(value: &str) -> bool {
    base64::engine::general_purpose::STANDARD
        .decode(value)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .is_some_and(|text| text.contains(':') && !text.chars().any(char::is_control))
}
