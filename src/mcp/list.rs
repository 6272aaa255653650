//! The frame of a tool that lists: hosts are asked all at once, their answers become rows, a page of the
//! rows is given with the failures of hosts. A tool adds its parameters, its row, and how rows come from an
//! engine's answer.

use super::error::{HostFailure, ToolError};
use super::fleet::{Patience, gather, select};
use super::page::Window;
use super::registry::ToolContext;
use crate::actors::host::{HostError, HostHandle};
use crate::actors::operation::Operation;
use schemars::JsonSchema;
use serde::Serialize;

/// A row with the words it is sorted by, which no other row has.
pub(super) type Keyed<R> = (Vec<String>, R);

/// What every list's answer has beside its rows.
#[derive(Serialize, JsonSchema)]
pub(super) struct Rest {
    /// How many match on the hosts that answered.
    pub(super) total: usize,
    /// Give it as cursor to read on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
    /// Hosts that did not answer, with cause and age.
    pub(super) errors: Vec<HostFailure>,
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
        let page = self.window.cut(rows.collect());
        Ok((page.rows, Rest { total: page.total, next_cursor: page.next_cursor, errors }))
    }
}
