//! What of logs is asked for, as tools take it.

use super::Wish;
use crate::domain::container::ContainerName;
use crate::domain::log::{Filter, Level};
use crate::mcp::error::{ErrorKind, ToolError};
use jiff::{SignedDuration, Timestamp};
use regex::RegexBuilder;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// A regular expression may not use more memory than this once compiled.
const REGEX_BYTES: usize = 1 << 20;

/// Longer than this nobody keeps a call open.
const LONGEST_FOLLOW: u16 = 600;

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::mcp) enum Lowest {
    Debug,
    Info,
    Warn,
    Error,
}

impl From<Lowest> for Level {
    fn from(lowest: Lowest) -> Self {
        match lowest {
            Lowest::Debug => Self::Debug,
            Lowest::Info => Self::Info,
            Lowest::Warn => Self::Warn,
            Lowest::Error => Self::Error,
        }
    }
}

/// The parameters that every tool has that reads logs, as they were given.
pub(in crate::mcp) struct Asked<'a> {
    pub(in crate::mcp) tail: u16,
    pub(in crate::mcp) since: Option<&'a str>,
    pub(in crate::mcp) until: Option<&'a str>,
    pub(in crate::mcp) grep: Option<&'a str>,
    pub(in crate::mcp) level: Option<Lowest>,
    pub(in crate::mcp) follow: Option<u16>,
    pub(in crate::mcp) cursor: Option<&'a str>,
}

impl Asked<'_> {
    /// The same of these containers, each of which is named once.
    pub(in crate::mcp) fn wish(
        self,
        containers: Vec<ContainerName>,
        now: Timestamp,
    ) -> Result<Wish, ToolError> {
        let invalid = |message: String| ToolError::new(ErrorKind::InvalidArguments, message);
        let Self { tail, since, until, grep, level, follow, cursor } = self;
        if !(1..=5000).contains(&tail) {
            return Err(invalid(format!("tail is {tail}; it must lie between 1 and 5000")));
        }
        if let Some(follow) = follow.filter(|follow| !(1..=LONGEST_FOLLOW).contains(follow)) {
            return Err(invalid(format!(
                "follow is {follow}; it must lie between 1 and {LONGEST_FOLLOW} seconds"
            )));
        }
        if follow.is_some() && until.is_some() {
            return Err(invalid(
                "give follow or until, not both: what comes later is not before until".to_owned(),
            ));
        }
        let since = since.map(|text| moment("since", text, now)).transpose()?;
        let until = until.map(|text| moment("until", text, now)).transpose()?;
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            return Err(invalid(format!("until ({until}) is not later than since ({since})")));
        }
        let grep = grep.map(|pattern| RegexBuilder::new(pattern).size_limit(REGEX_BYTES).build());
        let grep = grep.transpose().map_err(|error| invalid(format!("grep: {error}")))?;
        Ok(Wish {
            stack: None,
            containers,
            tail: tail.into(),
            since,
            until,
            filter: Filter { grep, level: level.map(Level::from) },
            follow: follow.map(|seconds| Duration::from_secs(seconds.into())),
            cursor: cursor.map(ToOwned::to_owned),
        })
    }
}

/// RFC 3339, or an age such as `90s`, `15m`, `2h`, `3d`.
pub(in crate::mcp) fn moment(name: &str, text: &str, now: Timestamp) -> Result<Timestamp, ToolError> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let unit = text.chars().last().unwrap_or_default();
    let seconds = match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3600),
        'd' => Some(86_400),
        _ => None,
    };
    let number: Option<i64> =
        text.strip_suffix(unit).and_then(|number| number.parse().ok()).filter(|number| *number >= 0);
    let age = seconds
        .zip(number)
        .and_then(|(unit, number)| number.checked_mul(unit))
        .map(SignedDuration::from_secs);
    age.and_then(|age| now.checked_sub(age).ok()).ok_or_else(|| {
        ToolError::new(ErrorKind::InvalidArguments, format!("{name}: {text:?} is no time"))
            .with_hint("write RFC 3339 (2026-01-31T12:00:00Z) or an age (90s, 15m, 2h, 3d)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(millisecond).unwrap()
    }

    #[test]
    fn what_ends_before_it_begins_is_refused() {
        let asked = |since, until| {
            let asked = Asked {
                tail: 5,
                since: Some(since),
                until: Some(until),
                grep: None,
                level: None,
                follow: None,
                cursor: None,
            };
            asked.wish(vec![], at(100_000_000)).is_ok()
        };
        assert!(asked("2h", "1h") && !asked("1h", "2h") && !asked("1h", "1h"));
    }

    #[test]
    fn times_are_read_in_both_forms() {
        let now = at(10_000_000);
        assert_eq!(moment("since", "15m", now).unwrap(), at(10_000_000 - 900_000));
        assert_eq!(moment("since", "1970-01-01T00:00:01Z", now).unwrap(), at(1000));
        for bad in ["", "15", "-5m", "5x", "m", "999999999999999999d", "yesterday"] {
            assert!(moment("since", bad, now).is_err(), "{bad}");
        }
    }
}
