//! How values are written in answers, in one place for all tools.

use crate::domain::redact;
use crate::domain::text::{clean, is_odd};
use crate::engine::containers::Port;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// A time: RFC 3339 in UTC, whole seconds.
pub(super) fn rfc3339(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// A duration in the words of a person: the largest unit that fits.
pub(super) fn words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// The twelve characters people know an identifier by.
pub(super) fn short_id(id: &str) -> String {
    id.trim_start_matches("sha256:").chars().take(12).collect()
}

/// Text of a host: no control characters, no secrets.
pub(super) fn told(text: &str) -> String {
    redact::text(&clean(text))
}

/// Whether a count says nothing, and is left out.
pub(super) fn is_zero<N: Default + PartialEq>(count: &N) -> bool {
    *count == N::default()
}

/// An answer without control characters, whoever wrote what is in it.
pub(super) fn cleaned(answer: Value) -> Value {
    match answer {
        Value::String(text) if text.chars().any(is_odd) => clean(&text).into(),
        Value::Array(items) => items.into_iter().map(cleaned).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| (if key.chars().any(is_odd) { clean(&key) } else { key }, cleaned(value)))
            .collect(),
        plain => plain,
    }
}

/// Ports as people write them. A port published on all IPv4 and all IPv6 addresses is one.
pub(super) fn ports(ports: &[Port]) -> Vec<String> {
    let written: BTreeSet<(u16, String)> = ports
        .iter()
        .map(|port| {
            let inside = format!("{}/{}", port.private, port.protocol);
            let text = match (&port.ip, port.public) {
                (_, None) => inside,
                (Some(ip), Some(public)) if !matches!(ip.as_str(), "0.0.0.0" | "::") => {
                    let ip = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
                    format!("{ip}:{public}->{inside}")
                }
                (_, Some(public)) => format!("{public}->{inside}"),
            };
            (port.private, text)
        })
        .collect();
    written.into_iter().map(|(_, text)| text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_answer_has_control_characters() {
        let escape = "\u{1b}[31mred\u{1b}[0m\u{7}\u{202e}";
        let answer = json!({"rows": [{"labels": {escape: escape}, "count": 1}], "note": "two\nlines\té"});
        let expected = json!({"rows": [{"labels": {"red": "red"}, "count": 1}], "note": "two\nlines\té"});
        assert_eq!(cleaned(answer), expected);
    }

    #[test]
    fn ports_are_written_once_for_both_families() {
        let port = |ip: Option<&str>, public, private| Port {
            ip: ip.map(ToOwned::to_owned),
            public,
            private,
            protocol: "tcp".into(),
        };
        let written = ports(&[
            port(Some("0.0.0.0"), Some(8080), 80),
            port(Some("::"), Some(8080), 80),
            port(Some("127.0.0.1"), Some(5432), 5432),
            port(Some("fd00::1"), Some(53), 53),
            port(None, None, 9000),
        ]);
        assert_eq!(written, ["[fd00::1]:53->53/tcp", "8080->80/tcp", "127.0.0.1:5432->5432/tcp", "9000/tcp"]);
    }

    #[test]
    fn durations_are_told_in_their_largest_unit() {
        let told: Vec<String> = [5, 119, 720, 7200, 400_000].map(Duration::from_secs).map(words).to_vec();
        assert_eq!(told, ["5 s", "119 s", "12 min", "2 h", "4 days"]);
    }
}
