//! Whether the name of a variable, setting, header or flag says that it holds a secret.

/// Words that make a key secret wherever they stand in it.
const SECRET_WORDS: [&str; 26] = [
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "passcode",
    "passkey",
    "pass",
    "pwd",
    "pw",
    "psk",
    "secret",
    "secrets",
    "token",
    "tokens",
    "apikey",
    "authkey",
    "credential",
    "credentials",
    "creds",
    "jwt",
    "cookie",
    "cookies",
    "authorization",
    "bearer",
    "mnemonic",
    "masterauth",
];

/// Endings that make one word secret: `PGPASSWORD`, `authToken` in small letters. Shorter ones would
/// take `compass` for a secret.
const SECRET_ENDINGS: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "secretkey",
    "accesskey",
    "privatekey",
    "encryptionkey",
    "credentials",
    "requirepass",
    "sessid",
];

/// Words of one piece that end in `pass` and are no compass.
const GLUED: [&str; 8] =
    ["dbpass", "pgpass", "mysqlpass", "smtppass", "mailpass", "userpass", "rootpass", "sshpass"];

/// Words that make a following `key` secret: `api_key` is, `public_key` and `sort_key` are not.
const SECRET_KEYS: [&str; 18] = [
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
    "preshared",
    "client",
    "deploy",
    "fernet",
];

/// Last words that say a key names something about a secret, not the secret itself.
const ABOUT_WORDS: [&str; 53] = [
    "file",
    "files",
    "path",
    "paths",
    "dir",
    "directory",
    "length",
    "ttl",
    "expiry",
    "expires",
    "expiration",
    "expire",
    "in",
    "timeout",
    "age",
    "lifetime",
    "interval",
    "url",
    "uri",
    "endpoint",
    "host",
    "port",
    "name",
    "type",
    "header",
    "field",
    "prefix",
    "format",
    "domain",
    "enabled",
    "disabled",
    "required",
    "count",
    "limit",
    "size",
    "min",
    "max",
    "policy",
    "issuer",
    "audience",
    "algorithm",
    "alg",
    "rounds",
    "service",
    "server",
    "provider",
    "store",
    "mode",
    "method",
    "stdin",
    "ref",
    "env",
    "through",
];

/// Whether a variable or setting of this name holds a secret.
pub fn is_secret_key(key: &str) -> bool {
    let words = words(key);
    let Some(last) = words.last().map(String::as_str) else { return false };
    if ABOUT_WORDS.contains(&last) {
        return false;
    }
    last == "salt" || words.iter().any(|word| is_secret_word(word)) || words.windows(2).any(is_secret_pair)
}

fn is_secret_word(word: &str) -> bool {
    // The second of several: `password2`.
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
    SECRET_WORDS.contains(&word)
        || GLUED.contains(&word)
        || SECRET_ENDINGS.iter().any(|ending| word.ends_with(ending))
}

fn is_secret_pair(pair: &[String]) -> bool {
    ["key", "keys"].contains(&pair[1].as_str()) && SECRET_KEYS.contains(&pair[0].as_str())
}

/// Whether a number under this key counts secrets: `tokens: 512`.
pub(super) fn counts(key: &str) -> bool {
    words(key).iter().any(|word| ["tokens", "secrets", "passwords", "cookies"].contains(&word.as_str()))
}

/// Whether the key is `auth`, as in a docker `config.json` or an `.npmrc`.
pub(super) fn is_auth(key: &str) -> bool {
    key.trim_start_matches('_').eq_ignore_ascii_case("auth")
}

/// Whether the key lists the names of secrets, as `secrets:` of a compose file does.
pub(super) fn lists_names(key: &str) -> bool {
    words(key).last().is_some_and(|word| word == "secrets")
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
    // A separator at the end starts no word.
    if words.last().is_some_and(String::is_empty) {
        words.pop();
    }
    words
}

/// Every word that alone makes a key secret, and `key`.
#[cfg(test)]
pub(super) fn every_word() -> impl Iterator<Item = &'static str> {
    SECRET_WORDS.into_iter().chain(SECRET_ENDINGS).chain(GLUED).chain(["salt", "key", "auth"])
}
