//! `container_file_write`

use crate::actors::host::HostError;
use crate::actors::operation::Operation;
use crate::domain::container::ContainerName;
use crate::domain::redact;
use crate::domain::toolset::Toolset;
use crate::engine::EngineError;
use crate::engine::archive::{NewFile, Node, NodeKind};
use crate::engine::exec::ExecSpec;
use crate::mcp::container_path::{absolute, parts, refuse_kernel, refuse_memory, refuse_unkept, resolve};
use crate::mcp::deed;
use crate::mcp::error::{ErrorKind, HostFailure, ToolError};
use crate::mcp::shape::told;
use crate::mcp::tool::{About, Effect, Object, Tool, ToolContext};
use futures_util::StreamExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// Bytes of a file at most.
const MOST: usize = 256 * 1024;

/// Of a file that is replaced so much is read at most, to tell what it was.
const MOST_BEFORE: u64 = 8 << 20;

/// What is there is read before and behind.
const WRITING: Duration = Duration::from_secs(60);

/// A new file's, unless said otherwise.
const USUAL_MODE: u32 = 0o644;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name.
    host: String,
    /// Name or id.
    container: String,
    /// Absolute path.
    path: String,
    /// Text, 256 KiB at most.
    content: String,
    /// Octal, such as 0644 (default: as it is).
    mode: Option<String>,
    /// Write only when the file's is this.
    if_sha256: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    host: String,
    container: String,
    /// Where the links led to.
    path: String,
    bytes: usize,
    /// Absent for a new file.
    #[serde(skip_serializing_if = "Option::is_none")]
    before_sha256: Option<String>,
    after_sha256: String,
    /// Octal.
    mode: String,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "container_file_write",
        title: "Write a file in a container",
        description: "Write a text file inside a container, stopped ones too; an existing one keeps its owner and mode. Returns the hashes before and after.",
        toolset: Toolset::Exec,
        effect: Effect { read_only: false, destructive: true, idempotent: true, open_world: false },
    };
    Tool::structured(about, run).on_host().audited_by(audited)
}

/// What is written may be anybody's secret: the audit has its length and its hash.
fn audited(arguments: &Object) -> Value {
    let mut shown = arguments.clone();
    if let Some(content) = shown.remove("content") {
        let text = content.as_str().map_or_else(|| content.to_string(), ToOwned::to_owned);
        shown.insert(
            "content".into(),
            format!("{} bytes, sha256 {}", text.len(), hash(text.as_bytes())).into(),
        );
    }
    redact::json(&Value::Object(shown))
}

fn hash(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let host = context.directory.host(&parameters.host)?;
    let container: ContainerName = parameters.container.parse()?;
    let wish = Wish::of(&parameters)?;
    let found = deed::permit(&context, &host, &container).await?;
    refuse_memory(&wish.path, &found.tmpfs)?;
    let wish = Wish { memory: found.tmpfs, ..wish };
    let id: ContainerName = found.id.parse()?;
    let written = host
        .change(context.tool, WRITING, move |operation| async move { write(&operation, &id, wish).await })
        .await
        .map_err(|error| ToolError::from(HostFailure::of(&host, &error, context.directory.clock())))?;
    let Written { path, bytes, before, after, mode } = written?;
    Ok(Answer {
        host: host.spec().id.to_string(),
        container: container.to_string(),
        path: told(&path),
        bytes,
        before_sha256: before,
        after_sha256: after,
        mode: format!("{mode:04o}"),
    })
}

/// What is to be written.
struct Wish {
    path: String,
    body: Vec<u8>,
    mode: Option<u32>,
    only_if: Option<String>,
    /// Where the container's memory lies.
    memory: Vec<String>,
}

impl Wish {
    fn of(parameters: &Parameters) -> Result<Self, ToolError> {
        let invalid = |words: String| Err(ToolError::new(ErrorKind::InvalidArguments, words));
        let path = absolute(&parameters.path)?;
        if path == "/" || parameters.path.ends_with('/') {
            return invalid("path: name a file, not a directory".to_owned());
        }
        refuse_kernel(&path)?;
        if parameters.content.len() > MOST {
            return invalid(format!("content: {} bytes; at most {MOST}", parameters.content.len()));
        }
        let mode = parameters.mode.as_deref().map(|text| {
            let is_octal =
                (3..=4).contains(&text.len()) && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
            u32::from_str_radix(text, 8).ok().filter(|mode| is_octal && *mode <= 0o777)
        });
        if mode == Some(None) {
            return invalid("mode: three octal digits, such as 644 or 0600".to_owned());
        }
        let only_if = parameters.if_sha256.as_ref().map(|hash| hash.to_ascii_lowercase());
        if only_if
            .as_ref()
            .is_some_and(|hash| hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            return invalid("if_sha256: 64 hexadecimal digits".to_owned());
        }
        let body = parameters.content.as_bytes().to_vec();
        Ok(Self { path, body, mode: mode.flatten(), only_if, memory: vec![] })
    }
}

/// What was written.
struct Written {
    path: String,
    bytes: usize,
    before: Option<String>,
    after: String,
    mode: u32,
}

async fn write(
    operation: &Operation,
    container: &ContainerName,
    wish: Wish,
) -> Result<Result<Written, ToolError>, HostError> {
    let conflict = |words: String| Ok(Err(ToolError::new(ErrorKind::Conflict, words)));
    let resolved = resolve(operation, container, &wish.path).await?;
    if let Err(error) = refuse_unkept(operation, container, &resolved, wish.memory).await? {
        return Ok(Err(error));
    }
    let path = resolved.path;
    let shown = told(&path);
    let old = match operation.engine().archive(container, &path, 0..MOST_BEFORE).await {
        Ok(archived) => archived.node.map(|node| (node, archived.body)),
        Err(EngineError::NotFound(_)) => None,
        Err(error) => return Err(error.into()),
    };
    // What was read with its secrets hidden is not written back without them.
    let masks = |body: &[u8]| String::from_utf8_lossy(body).matches(redact::MASK).count();
    if old.as_ref().is_some_and(|(_, body)| masks(&wish.body) > masks(body)) {
        let words = format!(
            "{shown}: {} stands for secrets that are hidden from readers, and would take the place of them; nothing was written",
            redact::MASK
        );
        return Ok(Err(ToolError::new(ErrorKind::Conflict, words)
            .with_hint("Change single lines by container_exec, such as with sed -i.")));
    }
    let kind = old.as_ref().map(|(node, _)| node.kind);
    match kind {
        Some(NodeKind::Directory) => return conflict(format!("{shown} is a directory; nothing was written")),
        Some(NodeKind::Special) => {
            return conflict(format!("{shown} is a device, pipe or socket; nothing was written"));
        }
        Some(NodeKind::Link) => return conflict(format!("{shown} has become a link; nothing was written")),
        Some(NodeKind::File) | None => {}
    }
    let whole = old.as_ref().filter(|(node, body)| node.size == body.len() as u64);
    let before = whole.map(|(_, body)| hash(body));
    if let Some(wanted) = wish.only_if.filter(|wanted| before.as_ref() != Some(wanted)) {
        let is = before
            .map_or_else(|| "not there, or too large to tell".to_owned(), |hash| format!("{hash} by now"));
        return conflict(format!("{shown} is not {wanted}: it is {is}; nothing was written"));
    }
    let (directory, name) = parts(&path);
    let (mode, owner) = match old.as_ref().map(|(node, _)| node) {
        Some(node) => {
            let Some(owner) = owner(operation, container, &path, node).await? else {
                let why = "this engine does not tell whose it is, and no stat runs in the container";
                return conflict(format!("{shown}: {why}; nothing was written"));
            };
            (wish.mode.unwrap_or(node.mode), owner)
        }
        // It belongs to whom the directory belongs to.
        None => match operation.engine().node(container, directory).await {
            Ok(Some(node)) => {
                let owner = owner(operation, container, directory, &node).await?;
                (wish.mode.unwrap_or(USUAL_MODE), owner.unwrap_or(node.owner))
            }
            Ok(None) => (wish.mode.unwrap_or(USUAL_MODE), (0, 0)),
            Err(EngineError::NotFound(_)) => {
                let words = format!("there is no directory {} in the container", told(directory));
                return Ok(Err(ToolError::new(ErrorKind::NotFound, words)));
            }
            Err(error) => return Err(error.into()),
        },
    };
    let (bytes, wanted) = (wish.body.len(), hash(&wish.body));
    let file = NewFile { name: name.to_owned(), body: wish.body, mode, owner };
    let unknown = |why| HostError::OutcomeUnknown { operation: operation.context().id, why };
    match operation.engine().put_file(container, directory, &file).await {
        Err(EngineError::Link(_)) => return Err(unknown("the line broke while a file was written")),
        // Not a no: some of it may be there.
        Err(EngineError::Refused { status: 500.., message }) => {
            return Ok(Err(ToolError::new(ErrorKind::DockerError, told(&message)).made()));
        }
        written => written?,
    }
    let seen = operation.engine().archive(container, &path, 0..(MOST as u64 + 1)).await;
    let seen = seen.map_err(|_| unknown("what was written could not be read again"))?;
    let after = hash(&seen.body);
    if after != wanted {
        let words = format!("{shown} was written, and is another one by now: somebody else writes it too");
        return Ok(Err(ToolError::new(ErrorKind::Conflict, words).made()));
    }
    let mode = seen.node.map_or(mode, |node| node.mode);
    Ok(Ok(Written { path, bytes, before, after, mode }))
}

/// Whose a file or directory is, by numbers. Podman says of each that it is root's, so the container is asked.
async fn owner(
    operation: &Operation,
    container: &ContainerName,
    path: &str,
    node: &Node,
) -> Result<Option<(u64, u64)>, HostError> {
    let engine = operation.engine();
    if engine.info().product != "Podman" {
        return Ok(Some(node.owner));
    }
    let command = ["stat", "-c", "%u %g", "--", path].map(ToOwned::to_owned).into();
    let spec = ExecSpec { command, ..ExecSpec::default() };
    let told = async {
        let exec = engine.prepare_exec(container.as_str(), spec).await?;
        let mut printed = engine.start_exec(&exec).await?;
        let mut told = Vec::new();
        while let Some(piece) = printed.next().await {
            told.extend_from_slice(&piece?.1);
        }
        Ok::<_, EngineError>(String::from_utf8_lossy(&told).into_owned())
    };
    let told = match told.await {
        Ok(told) => told,
        Err(EngineError::Link(fault)) => return Err(fault.into()),
        Err(_) => return Ok(None),
    };
    let pair = told.trim().split_once(' ');
    Ok(pair.and_then(|(user, group)| Some((user.parse().ok()?, group.parse().ok()?))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wish(more: &Value) -> Result<Wish, String> {
        let mut arguments = json!({"host": "h", "container": "c", "path": "/a/b", "content": "x"});
        for (key, value) in more.as_object().unwrap() {
            arguments[key] = value.clone();
        }
        Wish::of(&serde_json::from_value(arguments).unwrap()).map_err(|error| error.message)
    }

    #[test]
    fn a_file_is_named_wholly_and_lies_where_files_are_kept() {
        assert_eq!(wish(&json!({"path": "/a/../etc//b", "mode": "0600"})).unwrap().path, "/etc/b");
        assert_eq!(wish(&json!({"mode": "0600"})).unwrap().mode, Some(0o600));
        for wrong in [
            json!({"path": "/"}),
            json!({"path": "/a/"}),
            json!({"path": "a"}),
            json!({"path": "/x/../proc/self/mem"}),
            json!({"path": "/dev/sda"}),
            json!({"mode": "4755"}),
            json!({"mode": "rw"}),
            json!({"mode": "+644"}),
            json!({"if_sha256": "abc"}),
            json!({"content": "x".repeat(MOST + 1)}),
        ] {
            assert!(wish(&wrong).is_err(), "{wrong}");
        }
        assert!(wish(&json!({"path": "/processes/x"})).is_ok());
    }

    #[test]
    fn the_audit_has_the_content_by_its_hash() {
        let Value::Object(arguments) = json!({"path": "/a", "content": "hunter2"}) else { panic!() };
        let told = audited(&arguments).to_string();
        assert!(
            !told.contains("hunter2") && told.contains("7 bytes") && told.contains(&hash(b"hunter2")),
            "{told}"
        );
    }
}
