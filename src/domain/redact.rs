//! Keeping secrets out of every answer: by the name of a key, and by the shape of a value.
//!
//! A hash, an e-mail address, a path or a version is ordinary data and stays.

use regex::{Captures, Regex};
use serde_json::Value;
use std::sync::LazyLock;

/// What stands where a secret was.
pub const MASK: &str = "***";

/// Words that make a key secret wherever they stand in it.
const SECRET_WORDS: [&str; 16] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pass",
    "pwd",
    "pw",
    "secret",
    "secrets",
    "token",
    "tokens",
    "apikey",
    "credential",
    "credentials",
    "jwt",
    "cookie",
];

/// Words that make a following `key` secret: `api_key` is, `public_key` and `sort_key` are not.
const SECRET_KEYS: [&str; 14] = [
    "api",
    "private",
    "access",
    "encryption",
    "signing",
    "secret",
    "master",
    "app",
    "ssh",
    "session",
    "auth",
    "license",
    "account",
    "shared",
];

/// Last words that say a key names something about a secret, not the secret itself.
const ABOUT_WORDS: [&str; 8] = ["file", "path", "dir", "length", "ttl", "expiry", "url", "name"];

/// Whether a variable or setting of this name holds a secret.
pub fn is_secret_key(key: &str) -> bool {
    let words = words(key);
    if words.last().is_some_and(|last| ABOUT_WORDS.contains(&last.as_str())) {
        return false;
    }
    words.iter().any(|word| SECRET_WORDS.contains(&word.as_str()))
        || words.windows(2).any(|pair| pair[1] == "key" && SECRET_KEYS.contains(&pair[0].as_str()))
}

/// The words of a key: split at anything that is no letter or digit, and before a capital that
/// follows a small letter.
fn words(key: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in key.chars() {
        let starts_word = !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase());
        if starts_word && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words
}

/// The value of `key`, masked when the key or the value's own shape says it is secret.
pub fn value(key: &str, value: &str) -> String {
    if is_secret_key(key) && !value.is_empty() { MASK.to_owned() } else { shapes(value) }
}

/// An environment entry `KEY=VALUE`, its value masked when needed.
pub fn env_entry(entry: &str) -> String {
    match entry.split_once('=') {
        Some((key, secret)) => format!("{key}={}", value(key, secret)),
        None => shapes(entry),
    }
}

#[expect(clippy::expect_used, reason = "the patterns are constants that a test compiles")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}

/// `scheme://user:password@`
static URL_PASSWORD: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s/:@]*):([^\s/@]+)@"));

/// A private key in PEM armour, whole or cut off at the end.
static PEM: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?s)-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)")
});

/// Tokens with a telling shape: JSON Web Tokens and the prefixes vendors chose so that they can be found.
static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?x)\b(?:
            eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*
          | gh[pousr]_[A-Za-z0-9]{30,} | github_pat_[A-Za-z0-9_]{30,} | glpat-[A-Za-z0-9_-]{20,}
          | xox[abeoprs]-[A-Za-z0-9-]{10,} | (?:AKIA|ASIA)[0-9A-Z]{16} | AIza[0-9A-Za-z_-]{35}
          | sk-[A-Za-z0-9_-]{20,} | npm_[A-Za-z0-9]{36} | dckr_pat_[A-Za-z0-9_-]{20,}
          | hf_[A-Za-z0-9]{30,} | SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}
        )",
    )
});

/// `Authorization: Bearer …` and `Basic …`
static AUTHORIZATION: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(bearer|basic)(\s+)[A-Za-z0-9._~+/=-]{12,}"));

/// Masks what is secret by its own shape, whatever key it stands under.
fn shapes(text: &str) -> String {
    let text = PEM.replace_all(text, format!("-----BEGIN $1----- {MASK}"));
    let text = URL_PASSWORD.replace_all(&text, format!("$1:{MASK}@"));
    let text = TOKEN.replace_all(&text, MASK);
    AUTHORIZATION.replace_all(&text, format!("$1$2{MASK}")).into_owned()
}

/// `key=value` and `key: value` anywhere in a line.
static PAIR: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"([A-Za-z_][A-Za-z0-9_.-]*)(["']?\s?[=:]\s?)("[^"\n]*"|'[^'\n]*'|[^\s"',;&)}\]]+)"#)
});

/// Free text such as a log line or an error: pairs whose key is secret, and telling shapes.
pub fn text(text: &str) -> String {
    let shaped = shapes(text);
    PAIR.replace_all(&shaped, |found: &Captures<'_>| {
        // `token://…` is a URL and no pair; `${TOKEN}` names a secret and does not hold it.
        if is_secret_key(&found[1]) && !found[3].starts_with("//") && !found[3].starts_with("${") {
            format!("{}{}{MASK}", &found[1], &found[2])
        } else {
            found[0].to_owned()
        }
    })
    .into_owned()
}

/// A line of a compose or env file: indentation, key, separator, value to the end of the line.
static FILE_LINE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"^(\s*(?:-\s+)?(?:export\s+)?["']?)([A-Za-z_][A-Za-z0-9_.-]*)(["']?\s*[:=]\s*)(\S.*)$"#)
});

/// The words of a command: each by its own shape, and what follows a flag that names a secret.
pub fn command(words: &[String]) -> Vec<String> {
    let mut is_value = false;
    let masked = words.iter().map(|word| {
        let flag = word.starts_with('-').then(|| word.trim_start_matches('-'));
        let hides = std::mem::replace(&mut is_value, flag.is_some_and(is_secret_key)) && flag.is_none();
        // As mysql and its kin take a password.
        let joined = word.strip_prefix("-p").is_some_and(|rest| rest.len() > 2 && !rest.starts_with('-'));
        if hides || joined { MASK.to_owned() } else { text(word) }
    });
    masked.collect()
}

/// Arguments and other values: by the names of their fields, and by telling shapes.
pub fn json(given: &Value) -> Value {
    match given {
        Value::String(words) => text(words).into(),
        Value::Array(items) => items.iter().map(json).collect(),
        Value::Object(fields) => {
            let field = |(key, field): (&String, &Value)| match field {
                Value::String(_) if is_secret_key(key) => (key.clone(), MASK.into()),
                other => (key.clone(), json(other)),
            };
            Value::Object(fields.iter().map(field).collect())
        }
        other => other.clone(),
    }
}

/// A compose or env file: values of secret keys to the end of their line or block, and telling
/// shapes. References such as `${DB_PASSWORD}` stay: they name a secret and do not hold it.
pub fn file(text: &str) -> String {
    let shaped = shapes(text);
    let mut out = String::with_capacity(shaped.len());
    // While inside the block scalar of a secret key: the indentation of that key.
    let mut block: Option<usize> = None;
    for line in shaped.split_inclusive('\n') {
        let (body, end) = line.strip_suffix('\n').map_or((line, ""), |body| (body, "\n"));
        let indent = body.len() - body.trim_start().len();
        if block.is_some_and(|key| !body.trim().is_empty() && indent > key) {
            out.push_str(&body[..indent]);
            out.push_str(MASK);
            out.push_str(end);
            continue;
        }
        if !body.trim().is_empty() {
            block = None;
        }
        match FILE_LINE.captures(body) {
            Some(found) if is_secret_key(&found[2]) && holds_secret(&found[4]) => {
                if matches!(found[4].chars().next(), Some('|' | '>')) {
                    block = Some(indent);
                    out.push_str(body);
                } else {
                    out.push_str(&found[1]);
                    out.push_str(&found[2]);
                    out.push_str(&found[3]);
                    out.push_str(MASK);
                }
            }
            _ => out.push_str(&self::text(body)),
        }
        out.push_str(end);
    }
    out
}

/// Whether a file's value is a secret and not a list, a mapping or a mere reference to a variable.
fn holds_secret(value: &str) -> bool {
    let bare = value.trim().trim_matches(['"', '\'']);
    let reference = bare.starts_with("${") && bare.ends_with('}') && !bare.contains(":-");
    !reference && !bare.starts_with(['[', '{', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_hold_secrets_are_told_from_those_that_do_not() {
        for secret in [
            "DB_PASSWORD",
            "MYSQL_ROOT_PASSWORD",
            "apiKey",
            "API-KEY",
            "githubToken",
            "AWS_SECRET_ACCESS_KEY",
            "secret",
            "JWT_SECRET",
            "PGPASS",
            "x.private.key",
        ] {
            let expected = secret != "PGPASS"; // one word without a boundary: a name nobody can split
            assert_eq!(is_secret_key(secret), expected, "{secret}");
        }
        for plain in [
            "PATH",
            "PUBLIC_KEY",
            "KEYBOARD",
            "PASSWORD_FILE",
            "TOKEN_URL",
            "COMPASS",
            "BYPASS",
            "author",
            "sort_key",
        ] {
            assert!(!is_secret_key(plain), "{plain}");
        }
    }

    #[test]
    fn telling_shapes_vanish_whatever_their_key() {
        for (given, masked) in [
            ("DSN=postgres://app:hunter2@db/app", "DSN=postgres://app:***@db/app"),
            ("X=ghp_0123456789abcdefghijABCDEFGHIJ012345", "X=***"),
            ("H=Bearer abcdefghijklmnop", "H=Bearer ***"),
        ] {
            assert_eq!(env_entry(given), masked);
        }
        let pem = "a\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blb\n-----END OPENSSH PRIVATE KEY-----\nz";
        assert_eq!(text(pem), "a\n-----BEGIN OPENSSH PRIVATE KEY----- ***\nz");
    }

    #[test]
    fn ordinary_data_survives() {
        for plain in [
            "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "mail to admin@example.org",
            "see https://example.org/a:b/c@1.2.3",
            "listening on 0.0.0.0:8080",
            "/run/secrets/db_password",
        ] {
            assert_eq!(text(plain), plain);
            assert_eq!(file(plain), plain);
        }
    }

    #[test]
    fn a_file_keeps_everything_but_the_secrets() {
        let given = "services:\n  db:\n    environment:\n      - MYSQL_PASSWORD=hunter two\n      POSTGRES_PASSWORD: \"s3cr3t\" # c\n      DB_PASSWORD: ${DB_PASSWORD}\n      LEVEL: info\n    secrets:\n      - db_password\n    labels:\n      private_key: |\n        line one\n\n        line two\n      next: kept\n";
        let expected = "services:\n  db:\n    environment:\n      - MYSQL_PASSWORD=***\n      POSTGRES_PASSWORD: ***\n      DB_PASSWORD: ${DB_PASSWORD}\n      LEVEL: info\n    secrets:\n      - db_password\n    labels:\n      private_key: |\n        ***\n\n        ***\n      next: kept\n";
        assert_eq!(file(given), expected);
        assert_eq!(file("TOKEN=abc\r\nNAME=x"), "TOKEN=***\nNAME=x");
    }

    #[test]
    fn pairs_in_free_text_are_masked_up_to_their_end() {
        assert_eq!(text("login failed password=hunter2, user=bob"), "login failed password=***, user=bob");
        assert_eq!(text(r#"{"token":"abc def","n":1}"#), r#"{"token":***,"n":1}"#);
    }
}
