//! Resources: what a client may read without calling a tool.

use crate::actors::changes::ChangeDesk;
use crate::journal::JournalError;
use rmcp::ErrorData;
use rmcp::model::{ReadResourceResult, Resource, ResourceContents};

/// Who asked for which change.
const AUDIT: &str = "dockmaster://audit";

/// The newest entries that are shown; `dockmaster audit` shows them all.
const AUDIT_ENTRIES: u32 = 200;

/// Every resource there is.
pub(super) fn all() -> Vec<Resource> {
    let audit = Resource::new(AUDIT, "audit")
        .with_title("Audit")
        .with_description("Who asked for which change of a host, and what was refused: the newest 200, a JSON object a line.")
        .with_mime_type("application/x-ndjson");
    vec![audit]
}

/// What stands in the resource `uri`.
pub(super) async fn read(changes: &ChangeDesk, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    if uri != AUDIT {
        return Err(ErrorData::resource_not_found(
            format!("there is no resource {uri:?}; {AUDIT} is one"),
            None,
        ));
    }
    let read = async {
        match changes.journal().reader().await?.audit(AUDIT_ENTRIES, None).await {
            Err(JournalError::Absent { .. }) => Ok(vec![]),
            read => read,
        }
    };
    let records =
        read.await.map_err(|error: JournalError| ErrorData::internal_error(error.to_string(), None))?;
    let lines: Vec<String> = records.iter().map(|record| record.to_json().to_string()).collect();
    let contents = ResourceContents::text(lines.join("\n"), AUDIT).with_mime_type("application/x-ndjson");
    Ok(ReadResourceResult::new(vec![contents]))
}
