//! Keeping secrets out of every answer: by the name of a key, and by the shape of a value.
//!
//! A hash, an e-mail address, a path or a version is ordinary data and stays. What must vanish and
//! what must stay is written down in `tests/redaction/`.

mod keys;
mod pairs;
mod rules;
mod values;

pub use keys::is_secret_key;

use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

/// What stands where a secret was.
pub const MASK: &str = "***";

#[expect(clippy::expect_used, reason = "the patterns are constants that a test compiles")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}

/// The value of `key`, masked when the key or the value's own shape says it is secret.
pub fn value(key: &str, value: &str) -> String {
    values::hidden(key, value).unwrap_or_else(|| text(value))
}

/// An environment entry `KEY=VALUE`, its value masked when needed.
pub fn env_entry(entry: &str) -> String {
    match entry.split_once('=') {
        Some((key, secret)) if is_name(key) => format!("{}={}", text(key), value(key, secret)),
        _ => text(entry),
    }
}

/// Whether `key` can be the name of a variable, a label or a flag.
fn is_name(key: &str) -> bool {
    key.chars().all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c))
}

/// Free text such as a log line or an error, without the secrets that a key or a shape gives away.
pub fn text(text: &str) -> String {
    rules::apply(text).into_owned()
}

/// The words of a command, as many as given: each by its own shape, and what follows a flag that
/// names a secret.
pub fn command(words: &[String]) -> Vec<String> {
    // What a flag means depends on the program.
    let mut program = "";
    let mut flag: Option<&str> = None;
    let mut masked = Vec::with_capacity(words.len());
    for word in words {
        let before = flag.take();
        program = named_program(word).unwrap_or(program);
        let shown = match before {
            Some(flag) if !word.starts_with('-') => behind_flag(program, flag, word),
            _ => joined(program, word),
        };
        flag = (word.starts_with('-') && is_name(word)).then_some(word);
        masked.push(shown.or_else(|| assignment(word)).unwrap_or_else(|| text(word)));
    }
    masked
}

/// Programs whose short flags take a password.
fn named_program(word: &str) -> Option<&str> {
    let name = word.rsplit('/').next().unwrap_or(word);
    let known = ["curl", "sshpass", "redis-cli", "login"].contains(&name);
    (known || name.starts_with("mysql") || name.starts_with("mariadb")).then_some(name)
}

/// What to show of the word behind `flag`, when it is secret.
fn behind_flag(program: &str, flag: &str, word: &str) -> Option<String> {
    match (program, flag) {
        ("curl", "-u" | "-U" | "--user" | "--proxy-user") => {
            word.split_once(':').map(|(user, _)| format!("{user}:{MASK}"))
        }
        ("sshpass" | "login", "-p") | ("redis-cli", "-a") => Some(MASK.to_owned()),
        _ => values::hidden(flag.trim_start_matches('-'), word),
    }
}

/// What to show of `--flag=value` or `KEY=value`, whose value may have spaces. A script is free text.
fn assignment(word: &str) -> Option<String> {
    let (name, given) = word.split_once('=')?;
    let one = is_name(name) && !given.starts_with(MASK) && !given.contains([';', '|', '&']);
    let masked = values::hidden(name.trim_start_matches('-'), given).filter(|_| one)?;
    Some(format!("{}={masked}", text(name)))
}

/// What to show of a word that is a flag and its password in one, as mysql takes it.
fn joined(program: &str, word: &str) -> Option<String> {
    let rest = word.strip_prefix("-p").filter(|rest| rest.len() > 2 && !rest.starts_with('-'))?;
    let known = ["mysql", "mariadb", "sshpass"].iter().any(|name| program.starts_with(name));
    // `-path`, `-port=80` and `-p8080:80` are flags of other programs.
    let flag = rest.split('=').next().unwrap_or(rest).chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let ports = rest.chars().all(|c| c.is_ascii_digit() || ":./".contains(c));
    (known || !(flag || ports)).then(|| MASK.to_owned())
}

/// Arguments and other values: by the names of their fields, and by telling shapes.
pub fn json(given: &Value) -> Value {
    match given {
        // More than one line is most likely a file.
        Value::String(words) if words.contains('\n') => file(words).into(),
        Value::String(words) => text(words).into(),
        Value::Array(items) => {
            let words: Option<Vec<String>> =
                items.iter().map(|item| item.as_str().map(ToOwned::to_owned)).collect();
            // A list of words may be a command.
            words.map_or_else(|| items.iter().map(json).collect(), |words| command(&words).into())
        }
        Value::Object(fields) => {
            fields.iter().map(|(key, field)| (text(key), json_field(key, field))).collect()
        }
        other => other.clone(),
    }
}

fn json_field(key: &str, field: &Value) -> Value {
    match field {
        Value::String(words) => values::hidden(key, words).map_or_else(|| json(field), Into::into),
        Value::Number(number) => values::hidden(key, &number.to_string()).map_or(field.clone(), Into::into),
        Value::Array(items) if is_secret_key(key) && !keys::lists_names(key) => {
            items.iter().map(|item| json_field(key, item)).collect()
        }
        other => json(other),
    }
}

/// A line of a compose or env file: indentation, key, separator, value to the end of the line.
static FILE_LINE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"^(\s*(?:-\s+)?(?:(?:export|ENV|ARG)\s+)?(["']?))([A-Za-z_][A-Za-z0-9_./-]*)(["']?\s*(?:=|:\s)\s*|["']\s*:)(\S.*)$"#,
    )
});

/// What the next lines of a file belong to.
enum Open {
    /// The block scalar of a secret key with this indentation.
    Block(usize),
    /// A secret in this quote.
    Quote(char),
    /// The value of a flag that is the item before it.
    Item,
    /// The items of a secret key's list with this indentation, until a line is none: in brackets, or each behind a dash.
    List { indent: usize, bracket: bool },
}

/// A compose or env file: values of secret keys to the end of their line or block, and telling
/// shapes. References such as `${DB_PASSWORD}` stay: they name a secret and do not hold it.
pub fn file(text: &str) -> String {
    let whole = rules::across_lines(text);
    let mut out = String::with_capacity(whole.len());
    let mut open = None;
    for line in whole.split_inclusive('\n') {
        let body = line.trim_end_matches(['\n', '\r']);
        let shown = match open.take() {
            Some(state) => continued(body, state, &mut open),
            None => file_line(body, &mut open),
        };
        out.push_str(&shown);
        out.push_str(&line[body.len()..]);
    }
    out
}

/// A line while something is open.
fn continued(body: &str, state: Open, open: &mut Option<Open>) -> String {
    let indent = indent(body);
    match state {
        Open::Block(key) if body.trim().is_empty() || indent > key => {
            *open = Some(state);
            if body.trim().is_empty() { body.to_owned() } else { format!("{}{MASK}", &body[..indent]) }
        }
        Open::Quote(quote) => {
            let Some(at) = pairs::closing(body, quote) else {
                *open = Some(state);
                return MASK.to_owned();
            };
            format!("{MASK}{}", text(&body[at..]))
        }
        Open::Item => match item(body) {
            Some((start, word)) if !word.starts_with('-') && !values::is_reference(word) => {
                format!("{}{MASK}{}", &body[..start], &body[start + word.len()..])
            }
            _ => file_line(body, open),
        },
        Open::List { indent: key, bracket } => match list_item(body, key, bracket) {
            Some(word) => {
                *open = Some(state);
                // A secret of several lines goes on as it would elsewhere.
                let shown = if values::is_reference(word) { word } else { MASK };
                body.replacen(word, shown, 1)
            }
            None => file_line(body, open),
        },
        Open::Block(_) => file_line(body, open),
    }
}

/// The word of a list's line; `None` for one that belongs to no list.
fn list_item(body: &str, key: usize, bracket: bool) -> Option<&str> {
    let rest = body.trim();
    let word = if bracket { rest.trim_end_matches(',') } else { rest.strip_prefix("- ")?.trim() };
    let word = word.trim_matches(['"', '\'']);
    let is_item = indent(body) >= key && !word.is_empty() && !word.starts_with([']', '[', '{', '}']);
    (is_item && !word.contains(": ")).then_some(word)
}

/// The list that a line opens under the key of a secret, with nothing on its own line.
fn opened_list(body: &str) -> Option<Open> {
    let line = body.trim_end();
    let bracket = line.ends_with('[');
    let key = line.trim_end_matches('[').trim_end().strip_suffix(':')?.trim_start();
    let key = key.strip_prefix("- ").unwrap_or(key).trim_matches(['"', '\'']);
    let is_one = is_name(key) && is_secret_key(key) && !keys::lists_names(key);
    is_one.then(|| Open::List { indent: indent(body), bracket })
}

fn file_line(body: &str, open: &mut Option<Open>) -> String {
    if let Some(list) = opened_list(body) {
        *open = Some(list);
        return body.to_owned();
    }
    let Some(found) = FILE_LINE.captures(body) else {
        let flag = item(body).filter(|(_, word)| word.starts_with('-') && is_secret_key(word));
        *open = flag.map(|_| Open::Item);
        return text(body);
    };
    let (key, sep, given) = (&found[3], &found[4], &found[5]);
    let colon = sep.contains(':');
    let assigned = !colon && !found[2].is_empty() && !sep.starts_with(&found[2]);
    let block = colon && given.starts_with(['|', '>']);
    if block && is_secret_key(key) {
        *open = Some(Open::Block(indent(body)));
        return body.to_owned();
    }
    // A list, a mapping, a comment or an alias.
    if colon && (given.starts_with(['[', '{', '#', '*']) || block) && !given.starts_with("{{") {
        return if given.starts_with('*') { body.to_owned() } else { text(body) };
    }
    let quote = given.chars().next().filter(|c| ['"', '\''].contains(c));
    let (before, inside, after) = match quote {
        Some(quote) => match pairs::closing(&given[1..], quote) {
            Some(end) => (&given[..1], &given[1..=end], &given[1 + end..]),
            None => (&given[..1], &given[1..], ""),
        },
        None if assigned => match given.rfind(&found[2]) {
            Some(end) if end > 0 => ("", &given[..end], &given[end..]),
            _ => ("", given, ""),
        },
        None => ("", given, ""),
    };
    let (inside, after) = if quote.is_none() && !assigned && sep.contains('"') && inside.ends_with(',') {
        (&inside[..inside.len() - 1], ",")
    } else {
        (inside, after)
    };
    let Some(masked) = values::hidden(key, inside.trim_end()) else { return text(body) };
    if let Some(quote) = quote.filter(|_| after.is_empty()) {
        *open = Some(Open::Quote(quote));
    }
    format!("{}{}{sep}{before}{masked}{}", &found[1], text(key), text(after))
}

fn indent(body: &str) -> usize {
    body.len() - body.trim_start().len()
}

/// The word of a list's item without its quotes, and where it starts.
fn item(body: &str) -> Option<(usize, &str)> {
    let rest = body.trim_start().strip_prefix("- ")?;
    let quoted = rest.trim_start().trim_start_matches(['"', '\'']);
    let word = quoted.trim_end().trim_end_matches(['"', '\'']);
    (!word.is_empty()).then(|| (body.len() - quoted.len(), word))
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
            assert!(is_secret_key(secret), "{secret}");
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
    fn a_private_key_in_a_file_keeps_no_other_secret_from_vanishing() {
        let block = "password: |\n  hunter1\n  hunter1\n";
        let key = "-----BEGIN PRIVATE KEY-----\nhunter3\n-----END PRIVATE KEY-----\n";
        assert_eq!(
            file(&format!("{block}{key}")),
            format!(
                "password: |\n  {MASK}\n  {MASK}\n-----BEGIN PRIVATE KEY-----{MASK}-----END PRIVATE KEY-----\n"
            )
        );
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
        assert_eq!(
            text(pem),
            "a\n-----BEGIN OPENSSH PRIVATE KEY-----***-----END OPENSSH PRIVATE KEY-----\nz"
        );
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
        let expected = "services:\n  db:\n    environment:\n      - MYSQL_PASSWORD=***\n      POSTGRES_PASSWORD: \"***\" # c\n      DB_PASSWORD: ${DB_PASSWORD}\n      LEVEL: info\n    secrets:\n      - db_password\n    labels:\n      private_key: |\n        ***\n\n        ***\n      next: kept\n";
        assert_eq!(file(given), expected);
        assert_eq!(file("TOKEN=abc\r\nNAME=x"), "TOKEN=***\r\nNAME=x");
    }

    #[test]
    fn the_words_of_a_command_are_masked_one_by_one() {
        for (given, masked) in [
            ("app|--password|hunter two|--verbose|x", "app|--password|***|--verbose|x"),
            ("app|--token=hunter two|--log=info", "app|--token=***|--log=info"),
            ("env|DB_PASSWORD=hunter two|app", "env|DB_PASSWORD=***|app"),
            ("sh|-c|PASSWORD=hunter2; app -v", "sh|-c|PASSWORD=***; app -v"),
            ("app|--password|--verbose", "app|--password|--verbose"),
            ("app|--password|${DB_PASSWORD}", "app|--password|${DB_PASSWORD}"),
            ("/usr/bin/mysql|-uroot|-phunter", "/usr/bin/mysql|-uroot|***"),
            ("app|-phunter2", "app|***"),
            ("app|-port=80|-path|x|-p8080:80", "app|-port=80|-path|x|-p8080:80"),
            ("curl|-s|-u|admin:hunter2|http://a/", "curl|-s|-u|admin:***|http://a/"),
            ("docker|login|-p|hunter2|a", "docker|login|-p|***|a"),
            ("docker|run|-u|1000:1000|-p|80:80", "docker|run|-u|1000:1000|-p|80:80"),
            ("redis-cli|-a|hunter2", "redis-cli|-a|***"),
            ("curl|-H|Authorization: Bearer x", "curl|-H|Authorization: Bearer ***"),
        ] {
            let words: Vec<String> = given.split('|').map(ToOwned::to_owned).collect();
            assert_eq!(command(&words).join("|"), masked);
        }
    }

    #[test]
    fn fields_of_arguments_are_masked_by_their_names() {
        let given = serde_json::json!({
            "password": "hunter two", "pin_token": 12345, "tokens": 512, "force": true, "passwords": ["a", "b"],
            "secrets": ["db_password"], "env": {"API_KEY": "x", "LEVEL": "info", "password=hunter2": "y"}, "command": ["app", "--token", "x"],
            "compose": "services:\n  db:\n    environment:\n      PASSWORD: hunter two\n",
        });
        let masked = serde_json::json!({
            "password": "***", "pin_token": "***", "tokens": 512, "force": true, "passwords": ["***", "***"],
            "secrets": ["db_password"], "env": {"API_KEY": "***", "LEVEL": "info", "password=***": "***"}, "command": ["app", "--token", "***"],
            "compose": "services:\n  db:\n    environment:\n      PASSWORD: ***\n",
        });
        assert_eq!(json(&given), masked);
    }

    #[test]
    fn pairs_in_free_text_are_masked_up_to_their_end() {
        assert_eq!(text("login failed password=hunter2, user=bob"), "login failed password=***, user=bob");
        assert_eq!(text(r#"{"token":"abc def","n":1}"#), r#"{"token":"***","n":1}"#);
    }
}
