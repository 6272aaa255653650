//! Deeds on containers that are no jobs: whether they are permitted, and to which container exactly.

use super::error::{ErrorKind, HostFailure, ToolError};
use super::fleet::{Patience, on_host};
use super::tool::ToolContext;
use crate::actors::directory::HostDirectory;
use crate::actors::host::HostHandle;
use crate::changes::container_affected;
use crate::domain::change::Affected;
use crate::domain::container::ContainerName;
use crate::domain::host::HostId;
use crate::domain::policy::Policy;
use crate::domain::protection::Protected;
use crate::engine::containers::ContainerDetail;
use std::time::Duration;

/// A deed waits so long for the line to its host.
pub(super) const LINE_LIMIT: Duration = Duration::from_secs(10);

/// The container of this name, when a deed that may do anything to it is permitted: the host is held to nothing, and
/// nothing protects it. Whoever does it goes by the identifier.
pub(super) async fn permit(
    context: &ToolContext,
    host: &HostHandle,
    container: &ContainerName,
) -> Result<ContainerDetail, ToolError> {
    let id = &host.spec().id;
    let permit = || match context.directory.policy(id) {
        Policy::ReadWrite => Ok(()),
        policy => Err(denied(
            &context.directory,
            id,
            policy,
            "which permits nothing to be done inside a container; nothing was",
        )),
    };
    permit()?;
    let session = host.session(LINE_LIMIT).await;
    session.map_err(|error| HostFailure::of(host, &error, context.directory.clock()))?;
    // With the line its engine is known, which other names of it may hold to a stricter policy.
    permit()?;
    let found = on_host(Patience::Quick, context, host, |operation| {
        let container = container.clone();
        async move { Ok(operation.engine().container(&container).await?) }
    })
    .await?;
    let thing = container_affected(found.clone());
    match context.directory.protection(id).of(&thing) {
        Some(why) => Err(guarded(&thing, &why)),
        None => Ok(found),
    }
}

/// What the policy of a host does not permit, with the names of its engine that hold it to that.
pub(super) fn denied(directory: &HostDirectory, id: &HostId, policy: Policy, why: &str) -> ToolError {
    let holders = directory.holders(id);
    let by = match holders.first() {
        Some((holder, _)) if holder != id => format!(" by {holder}, another name of its engine"),
        _ => String::new(),
    };
    let mut names: Vec<&HostId> = holders.iter().map(|(holder, _)| holder).collect();
    if names.is_empty() {
        names.push(id);
    }
    let ways: Vec<_> = names.iter().map(|name| format!("dockmaster hosts edit {name} --policy rw")).collect();
    ToolError::new(ErrorKind::PolicyDenied, format!("{id} is held to {policy}{by}, {why}"))
        .with_hint(format!("A person can loosen it: {}.", ways.join("; ")))
}

/// What is done to nothing that is protected.
pub(super) fn guarded(thing: &Affected, why: &Protected) -> ToolError {
    let message =
        format!("the {} {} is protected: {why}; nothing was changed", thing.kind.word(), thing.name);
    ToolError::new(ErrorKind::PolicyDenied, message).with_hint(why.way_out())
}
