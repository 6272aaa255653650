//! Lists: filtered by a glob, cut by rows and by size, continued by an opaque cursor.
//!
//! A cursor holds the key of the last row given, not its number: rows that come or go between two
//! pages make no other row appear twice or not at all.

use super::error::{ErrorKind, ToolError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use globset::{Glob, GlobMatcher};
use serde::Serialize;

/// Clients cut or spill answers beyond this; Gemini CLI at 40,000 characters is the first.
pub(super) const MOST_CHARACTERS: usize = 40_000;

/// What a page may use of that: the rest is for errors and the frame around the rows.
pub(super) const PAGE_CHARACTERS: usize = 32_000;

/// Rows of a page when the call does not say.
pub(super) fn default_limit() -> u16 {
    50
}

/// Rows of a page at most; the schemas say the same, but bind only clients that check them.
const MOST_ROWS: u16 = 500;

/// A page.
#[derive(Debug)]
pub(super) struct Page<R> {
    pub(super) rows: Vec<R>,
    pub(super) total: usize,
    pub(super) next_cursor: Option<String>,
}

/// Which rows a call wants.
#[derive(Debug)]
pub(super) struct Window {
    limit: usize,
    after: Option<Vec<String>>,
}

impl Window {
    /// The `limit` rows after `cursor`. Checked before any host is asked.
    pub(super) fn parse(limit: u16, cursor: Option<&str>) -> Result<Self, ToolError> {
        if !(1..=MOST_ROWS).contains(&limit) {
            let message = format!("limit is {limit}; it must lie between 1 and {MOST_ROWS}");
            return Err(ToolError::new(ErrorKind::InvalidArguments, message));
        }
        Ok(Self { limit: limit.into(), after: cursor.map(decode).transpose()? })
    }

    /// Cuts the page from `rows`, in the order of their keys, of which no two are alike.
    pub(super) fn cut<R: Serialize>(&self, mut rows: Vec<(Vec<String>, R)>) -> Page<R> {
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        let total = rows.len();
        let mut page = Vec::new();
        let mut characters = 0;
        let mut last = None;
        let mut more = false;
        for (key, row) in rows {
            if self.after.as_ref().is_some_and(|after| key <= *after) {
                continue;
            }
            characters += length(&row);
            if page.len() == self.limit || (characters > PAGE_CHARACTERS && !page.is_empty()) {
                more = true;
                break;
            }
            page.push(row);
            last = Some(key);
        }
        let next_cursor = last.filter(|_| more).map(|key| encode(&key));
        Page { rows: page, total, next_cursor }
    }
}

/// Leaves out the rows at the end that go beyond so many characters, never the first, and says how many
/// those are.
pub(super) fn cap<R: Serialize>(rows: &mut Vec<R>, characters: usize) -> usize {
    let mut used = 0;
    let goes_beyond = |row: &R| {
        used += length(row);
        used > characters
    };
    let count = rows.iter().position(goes_beyond).map_or(rows.len(), |count| count.max(1));
    let more = rows.len() - count;
    rows.truncate(count);
    more
}

/// Characters of a row as JSON.
pub(super) fn length<R: Serialize>(row: &R) -> usize {
    serde_json::to_string(row).map_or(0, |json| json.len())
}

/// A name glob: `*`, `?`, `[…]` and `{a,b}`.
pub(super) fn glob(pattern: &str) -> Result<GlobMatcher, ToolError> {
    let glob = Glob::new(pattern).map_err(|error| {
        ToolError::new(ErrorKind::InvalidArguments, format!("match: {error}"))
            .with_hint("write a glob such as web*")
    })?;
    Ok(glob.compile_matcher())
}

/// An opaque cursor for these words.
pub(super) fn encode(words: &[String]) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(words).unwrap_or_default())
}

/// The words of a cursor.
pub(super) fn decode(cursor: &str) -> Result<Vec<String>, ToolError> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(|| {
        ToolError::new(ErrorKind::InvalidArguments, "cursor is not one that an earlier answer gave")
            .with_hint("leave cursor out to start from the beginning")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn pages_give_every_row_once_in_order(names in proptest::collection::btree_set("[a-z]{1,6}", 0..60), limit in 1_u16..20) {
            let rows = || names.iter().map(|name| (vec![name.clone()], name.clone())).collect::<Vec<_>>();
            let (mut seen, mut cursor) = (Vec::new(), None);
            loop {
                let page = Window::parse(limit, cursor.as_deref()).unwrap().cut(rows());
                prop_assert!(page.rows.len() <= usize::from(limit));
                seen.extend(page.rows);
                cursor = page.next_cursor;
                if cursor.is_none() { break; }
            }
            prop_assert_eq!(&seen, &names.iter().cloned().collect::<Vec<_>>());
            prop_assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), names);
        }
    }

    #[test]
    fn a_page_is_also_cut_by_its_size() {
        let rows = (0..100).map(|n| (vec![format!("{n:03}")], "x".repeat(1000))).collect();
        let page = Window::parse(100, None).unwrap().cut(rows);
        assert!(page.rows.len() < 40 && page.next_cursor.is_some());
    }

    #[test]
    fn a_list_is_capped_and_keeps_its_first() {
        for (characters, kept) in [(0, 1), (10, 1), (24, 2), (30, 3), (1000, 3)] {
            let mut rows = vec!["x".repeat(8); 3];
            assert_eq!((cap(&mut rows, characters), rows.len()), (3 - kept, kept), "{characters}");
        }
        assert_eq!(cap(&mut Vec::<u8>::new(), 0), 0);
    }

    #[test]
    fn a_limit_outside_the_schema_is_refused() {
        for limit in [0, 501] {
            assert!(Window::parse(limit, None).is_err());
        }
    }

    #[test]
    fn a_foreign_cursor_is_refused() {
        assert!(Window::parse(1, Some("nonsense!")).is_err());
    }
}
