//! The frame of a tool that lists: hosts are asked all at once, their answers become rows, a page of the
//! rows is given with the failures of hosts. A tool adds its parameters, its row, and how rows come from an
//! engine's answer.

use super::error::{HostFailure, ToolError};
use super::fleet::{Patience, all_failed, ask, gather, select};
use super::page::Window;
use super::shape::rfc3339;
use super::tool::ToolContext;
use crate::actors::host::{HostError, HostHandle};
use crate::actors::operation::Operation;
use crate::engine::inventory::{Inventory, Section};
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;

/// A row with the words it is sorted by, which no other row has.
pub(super) type Keyed<R> = (Vec<String>, R);

/// What every list's answer has beside its rows.
#[derive(Serialize, JsonSchema)]
pub(super) struct Rest {
    /// How many match, on all pages.
    pub(super) total: usize,
    /// Give it as cursor to read on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
    /// Hosts that did not answer, with cause and age.
    pub(super) errors: Vec<HostFailure>,
}

/// A row that may be of the past.
#[derive(Serialize, JsonSchema)]
pub(super) struct Dated<R> {
    #[serde(flatten)]
    pub(super) row: R,
    /// The host does not answer; this is what was last known of it, then (RFC 3339). Absent where it is so now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stale_since: Option<String>,
}

/// A call of a list: of which hosts, and which page.
pub(super) struct List<'a> {
    context: &'a ToolContext,
    pub(super) hosts: Vec<HostHandle>,
    window: Window,
}

impl<'a> List<'a> {
    /// Reads the parameters that every list has. No host is asked yet.
    pub(super) fn of(
        context: &'a ToolContext,
        hosts: Option<&str>,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Self, ToolError> {
        let window = Window::parse(limit, cursor)?;
        Ok(Self { context, hosts: select(&context.directory, hosts)?, window })
    }

    /// Asks the hosts by `call`, makes rows of each one's answer and cuts the page from them.
    pub(super) async fn rows<T, F, R>(
        &self,
        patience: Patience,
        call: impl Fn(Operation) -> F,
        mut rows_of: impl FnMut(&str, T) -> Vec<Keyed<R>>,
    ) -> Result<(Vec<R>, Rest), ToolError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, HostError>> + Send + 'static,
        R: Serialize,
    {
        let (answers, errors) = gather(patience, self.context, &self.hosts, call).await?;
        let rows = answers.into_iter().flat_map(|(host, answer)| rows_of(host.spec().id.as_ref(), answer));
        Ok(self.page(rows.collect(), errors))
    }

    /// As [`Self::rows`], from what there is on the hosts in these sections.
    pub(super) async fn inventory_rows<R: Serialize>(
        &self,
        sections: &'static [Section],
        rows_of: impl FnMut(&str, Arc<Inventory>) -> Vec<Keyed<R>>,
    ) -> Result<(Vec<Dated<R>>, Rest), ToolError> {
        let call = async |operation: Operation| Ok(Arc::new(operation.engine().inventory(sections).await?));
        self.rows_or_known(sections, call, Arc::clone, rows_of).await
    }

    /// As [`Self::rows`]. Of a host that does not answer `recall` tells what the answer was when the last is
    /// known of these sections: its failure is told, and its rows are told as of then.
    pub(super) async fn rows_or_known<T, F, R>(
        &self,
        sections: &[Section],
        call: impl Fn(Operation) -> F,
        recall: impl Fn(&Arc<Inventory>) -> T,
        mut rows_of: impl FnMut(&str, T) -> Vec<Keyed<R>>,
    ) -> Result<(Vec<Dated<R>>, Rest), ToolError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, HostError>> + Send + 'static,
        R: Serialize,
    {
        let (answers, errors) = ask(Patience::Quick, self.context, &self.hosts, call).await;
        let is_told = !answers.is_empty();
        let mut dated = Vec::new();
        let mut add = |host: &HostHandle, answer: T, stale_since: Option<String>| {
            let rows = rows_of(host.spec().id.as_ref(), answer).into_iter();
            dated.extend(rows.map(|(key, row)| (key, Dated { row, stale_since: stale_since.clone() })));
        };
        for (host, answer) in answers {
            add(&host, answer, None);
        }
        let failed = |host: &&HostHandle| errors.iter().any(|error| error.host == host.spec().id.as_ref());
        for host in self.hosts.iter().filter(failed) {
            let known = host.known();
            let seen = known.as_ref().and_then(|known| Some((known, known.seen(sections)?)));
            if let Some((known, as_of)) = seen {
                add(host, recall(&known.inventory), Some(rfc3339(as_of)));
            }
        }
        match errors.as_slice() {
            // Nothing is known to be there: an empty list would tell that nothing is.
            [first, rest @ ..] if !is_told && dated.is_empty() => Err(all_failed(first, rest)),
            _ => Ok(self.page(dated, errors)),
        }
    }

    /// Cuts the page from rows that were made elsewhere.
    pub(super) fn page<R: Serialize>(&self, rows: Vec<Keyed<R>>, errors: Vec<HostFailure>) -> (Vec<R>, Rest) {
        let page = self.window.cut(rows);
        (page.rows, Rest { total: page.total, next_cursor: page.next_cursor, errors })
    }
}
