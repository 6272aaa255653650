//! The rules for text: what a secret looks like, or what stands around it.

use super::keys::is_secret_key;
use super::pairs::{FLAG, KEY, after_flag, after_key};
use super::values::{holds_credentials, is_reference};
use super::{MASK, pattern};
use regex::{Captures, Regex, RegexSet};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

/// What to replace, and by what; nothing when the match holds no secret.
pub(super) type Hidden = Option<(Range<usize>, String)>;

/// A pattern, and what of its match is secret.
struct Rule {
    pattern: &'static str,
    hide: fn(&str, &Captures<'_>) -> Hidden,
}

const fn rule(pattern: &'static str, hide: fn(&str, &Captures<'_>) -> Hidden) -> Rule {
    Rule { pattern, hide }
}

/// In this order. `(?P<s>…)` is the secret where nothing has to be weighed. Bounds of words are
/// those of ASCII: the engine is slow at others.
const RULES: [Rule; 21] = [
    // A private key in PEM armour, whole or cut off at the end; certificates are public.
    rule(
        r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?P<s>.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)",
        |_, found| found.name("s").map(|secret| (secret.range(), MASK.to_owned())),
    ),
    // A file of netrc, whose words may stand on lines of their own.
    rule(r"(?-u:\b)machine\s+[^\s]+\s+login\s+[^\s]+\s+password\s+(?P<s>[^\s]+)", secret),
    // `${DB_PASSWORD:-default}`
    rule(r"\$\{(?P<key>[A-Za-z_][A-Za-z0-9_]*):?-(?P<s>(?:[^{}\n]|\{[^{}\n]*\})+)\}", default_value),
    // `scheme://user:password@host`; a password with a slash goes to the first at sign.
    rule(
        r#"(?i)(?-u:\b)(?P<scheme>[a-z][a-z0-9+.-]*)://[^ \t\r\n/:@"'<>]*:(?:(?P<s>[^ \t\r\n/?#"'<>]+)|(?P<odd>[^ \t\r\n@:"'<>]*))@(?P<digest>sha256:)?"#,
        url_password,
    ),
    // The same without a scheme, as Go's MySQL driver takes it.
    rule(r#"(?-u:\b)[A-Za-z0-9_.-]+:(?P<s>[^ \t\r\n/@"']+)@(?:tcp|unix)\("#, secret),
    // Shapes chosen by vendors so that they can be found.
    rule(
        r"(?x-u)\b(?P<s>
            eyJ[A-Za-z0-9_-]{8,}\.(?:[A-Za-z0-9_-]{8,}|\.[A-Za-z0-9_-]+)(?:\.[A-Za-z0-9_-]*){0,3}
          | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_[A-Za-z0-9_]{20,}
          | gl(?:pat|ptt|dt|rt|cbt|soat|imt|agent|ft|oas)-[A-Za-z0-9_.-]{20,}
          | xox[abeoprs][.-][A-Za-z0-9.-]{10,} | xapp-[A-Za-z0-9-]{10,}
          | (?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b | AIza[0-9A-Za-z_-]{30,} | ya29\.[0-9A-Za-z_-]{20,}
          | GOCSPX-[0-9A-Za-z_-]{20,}
          | sk-[A-Za-z0-9_-]*[A-Za-z0-9_]{20,}[A-Za-z0-9_-]* | [sr]k_(?:live|test)_[A-Za-z0-9]{10,}
          | whsec_[A-Za-z0-9+/]{16,}=* | npm_[A-Za-z0-9]{30,} | dckr_[po]at_[A-Za-z0-9_-]{20,}
          | (?:hf|api_org)_[A-Za-z0-9]{30,} | SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}
          | shp(?:at|ss|ca|pa)_[A-Fa-f0-9]{32} | (?:AGE-SECRET-KEY-|age-secret-key-)[0-9A-Za-z]{20,}
          | tskey-[a-z]+-[A-Za-z0-9-]{10,} | do[por]_v1_[a-f0-9]{40,} | pypi-AgE[A-Za-z0-9_-]{20,}
          | hv[sbr]\.[A-Za-z0-9_-]{20,} | lin_api_[A-Za-z0-9]{20,} | ntn_[A-Za-z0-9]{30,}
          | rubygems_[a-f0-9]{40,} | sntry[su]_[A-Za-z0-9_=+/-]{30,} | gls[a]_[A-Za-z0-9]{30,}_[a-f0-9]{8}
          | glc_[A-Za-z0-9+/]{30,}=* | gsk_[A-Za-z0-9]{40,} | xai-[A-Za-z0-9]{40,} | r8_[A-Za-z0-9]{30,}
          | nvapi-[A-Za-z0-9_-]{40,} | xkeysib-[a-f0-9]{40,}-[A-Za-z0-9]+ | dapi[a-f0-9]{32}\b
          | key-[0-9a-f]{32}\b | ATATT3x[A-Za-z0-9_=-]{40,} | [A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{40,}
          | pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{20,} | [0-9]{8,10}:AA[A-Za-z0-9_-]{30,}
          | LS0tLS1CRUdJTiB(?:QUklW|SU0E|FQyB|PUEVO|EU0E|FTkNS)[A-Za-z0-9+/]*=* # a private key in base64
          | b3BlbnNzaC1rZXktdjE[A-Za-z0-9+/]*=* # the body of OpenSSH's private key
        )",
        secret,
    ),
    // Addresses that whoever knows them may post to.
    rule(r"(?i)(?-u:\b)hooks\.slack\.com/(?:services|workflows|triggers)/(?P<s>[a-z0-9/_-]{10,})", secret),
    rule(r"(?i)(?-u:\b)(?:discord|discordapp)\.com/api/webhooks/[0-9]+/(?P<s>[a-z0-9_-]{10,})", secret),
    // The signature of a URL that opens by itself.
    rule(r#"(?i)[?&](?:sig|signature|x-amz-signature|x-goog-signature)=(?P<s>[^& \t\r\n"'<>]+)"#, secret),
    // A password's hash as crypt(3) and htpasswd write it; compose doubles the dollar signs.
    rule(r"\$\$?(?:2[abxy]|apr1|[156y]|argon2(?:id|i|d))(?P<s>\$[A-Za-z0-9./$=,+]{20,})", secret),
    // `Bearer …` and `Basic …` without their header.
    rule(r"(?i)(?-u:\b)bearer[ \t]+(?P<s>[a-z0-9._~+/=-]{8,})", |text, found| {
        let secret = found.name("s").filter(|secret| is_opaque(secret.as_str()))?;
        (!text[secret.end()..].starts_with('}')).then(|| (secret.range(), MASK.to_owned()))
    }),
    rule(r"(?i)(?-u:\b)basic[ \t]+(?P<s>[a-z0-9+/]{6,}={0,2})", |_, found| {
        let secret = found.name("s").filter(|secret| holds_credentials(secret.as_str()))?;
        Some((secret.range(), MASK.to_owned()))
    }),
    // Cookies: all that are sent; of one that is set its value, its attributes stay.
    rule(r#"(?i)(?-u:\b)set-cookie["']?[ \t]*[:=][ \t]*["']?[^ \t\r\n=;,"']+=(?P<s>[^ \t\r\n;"']+)"#, secret),
    rule(
        r#"(?i)(?:^|[^a-z0-9_-])cookie["']?[ \t]*[:=][ \t]*["']?(?P<s>[^ \t\r\n=;,"']+=[^ \t\r\n;"']*(?:;[ \t]*[^ \t\r\n=;,"']+=[^ \t\r\n;"']*)*)"#,
        secret,
    ),
    // `<ApiKey>…</ApiKey>`
    rule(r"<(?P<key>[A-Za-z_][A-Za-z0-9_.:-]*)(?:[ \t][^<>\n]*)?>(?P<s>[^<>\n]+)</", |text, found| {
        if is_secret_key(&found["key"]) { secret(text, found) } else { None }
    }),
    // SQL, netrc, and the words of programs that make a first password.
    rule(r"(?i)(?-u:\b)(?:identified by|password) '(?P<s>[^'\n]+)'", secret),
    rule(r"(?i)(?-u:\b)login[ \t]+[^ \t\r\n]+[ \t]+password[ \t]+(?P<s>[^ \t\r\n]+)", secret),
    rule(r"(?i)(?-u:\b)temporary password is [a-z]+ for [^:\n]*: (?P<s>[^ \t\r\n]+)", secret),
    // Short flags of programs that take a password by them, and a setting of Redis without a sign.
    rule(
        r#"(?x)(?-u:\b)(?:
            (?:mysql|mariadb)[a-z-]*["',\ ]+(?:[^\n;|&]*?["',\ ])?-p
          | sshpass["',\ ]+-p["',\ ]*
          | redis-cli["',\ ]+(?:[^\n;|&]*?["',\ ])?-a["',\ ]+
          | (?:docker|podman)["',\ ]+login["',\ ]+(?:[^\n;|&]*?["',\ ])?-p["',\ ]*
          | curl["',\ ]+(?:[^\n;|]*?["',\ ])?(?:-u|--user|-U|--proxy-user)["',=\ ]*[^\ \t\r\n:"'/]+:
          | requirepass["',\ ]+
        )(?P<s>[^\ \t\r\n"',=-][^\ \t\r\n"',]*)"#,
        secret,
    ),
    rule(KEY, after_key),
    rule(FLAG, after_flag),
];

static PATTERNS: LazyLock<Vec<Regex>> =
    LazyLock::new(|| RULES.iter().map(|rule| pattern(rule.pattern)).collect());

#[expect(clippy::expect_used, reason = "the patterns are constants that a test compiles")]
static ANY: LazyLock<RegexSet> =
    LazyLock::new(|| RegexSet::new(RULES.iter().map(|rule| rule.pattern)).expect("constant patterns"));

/// `text` without the secrets that any rule finds.
pub(super) fn apply(text: &str) -> Cow<'_, str> {
    let mut shown = Cow::Borrowed(text);
    for index in ANY.matches(text) {
        if let Some(masked) = replace(&shown, &PATTERNS[index], RULES[index].hide) {
            shown = Cow::Owned(masked);
        }
    }
    shown
}

/// How many rules are about more than one line; they come first.
const ACROSS_LINES: usize = 2;

/// Only what goes over several lines: what else there is may be a matter of each.
pub(super) fn across_lines(text: &str) -> Cow<'_, str> {
    let mut shown = Cow::Borrowed(text);
    for index in 0..ACROSS_LINES {
        if let Some(masked) = replace(&shown, &PATTERNS[index], RULES[index].hide) {
            shown = Cow::Owned(masked);
        }
    }
    shown
}

fn replace(text: &str, pattern: &Regex, hide: fn(&str, &Captures<'_>) -> Hidden) -> Option<String> {
    let mut out = String::new();
    let (mut done, mut at) = (0, 0);
    while let Some(found) = pattern.captures_at(text, at) {
        at = found.get(0).map_or(text.len(), |whole| whole.end()).max(at + 1);
        if let Some((range, masked)) = hide(text, &found) {
            out.push_str(&text[done..range.start]);
            out.push_str(&masked);
            done = range.end;
            at = at.max(done);
        }
        if at >= text.len() {
            break;
        }
    }
    (done > 0).then(|| out + &text[done..])
}

/// The group `s`, unless it only names a variable.
fn secret(_: &str, found: &Captures<'_>) -> Hidden {
    let secret = found.name("s").filter(|secret| !is_reference(secret.as_str()))?;
    Some((secret.range(), MASK.to_owned()))
}

fn default_value(text: &str, found: &Captures<'_>) -> Hidden {
    if is_secret_key(&found["key"]) {
        return secret(text, found);
    }
    // `${HOST:-${DB_PASSWORD:-default}}`
    let inner = found.name("s")?;
    match apply(inner.as_str()) {
        Cow::Owned(masked) => Some((inner.range(), masked)),
        Cow::Borrowed(_) => None,
    }
}

fn url_password(text: &str, found: &Captures<'_>) -> Hidden {
    if found.name("digest").is_some() {
        return None; // `docker://alpine:3.20@sha256:…`
    }
    let Some(odd) = found.name("odd") else { return secret(text, found) };
    // `http://host:8080/a@b` is a port and a path.
    let port = odd.as_str().split(['/', '?', '#']).next().unwrap_or_default();
    let has_port = port.starts_with(['$', '{']) || port.chars().all(|c| c.is_ascii_digit());
    let web = ["http", "https"].iter().any(|scheme| found["scheme"].eq_ignore_ascii_case(scheme));
    (!has_port && !web).then(|| (odd.range(), MASK.to_owned()))
}

/// Whether a word is none of a language: it has a digit, or is long and of letters only.
fn is_opaque(word: &str) -> bool {
    word.contains(|c: char| c.is_ascii_digit())
        || (word.len() >= 16 && word.chars().all(char::is_alphanumeric))
}
