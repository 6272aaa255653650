//! Answers in sections: the caller names those it wants, and one that cannot be read is named beside the others.

use super::error::{ErrorKind, ToolError};
use schemars::JsonSchema;
use serde::Serialize;

/// Those that are asked for; an empty list asks for the usual ones, as none does.
pub(super) fn chosen<S: Clone>(asked: Option<Vec<S>>, usual: &[S]) -> Vec<S> {
    asked.filter(|asked| !asked.is_empty()).unwrap_or_else(|| usual.to_vec())
}

/// A section that could not be read.
#[derive(Serialize, JsonSchema)]
pub(super) struct SectionFailure<S> {
    section: S,
    kind: ErrorKind,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl<S> SectionFailure<S> {
    /// What `error` says of `section`.
    pub(super) fn new(section: S, error: ToolError) -> Self {
        let ToolError { kind, message, hint, .. } = error;
        Self { section, kind, message, hint }
    }
}
