//! Reading what belongs to a stack: its compose files, its `.env`, and what compose makes of them.

use super::locate::{LARGEST_FILE, StackFiles};
use crate::domain::fault::Fault;
use crate::domain::stack::StackName;
use crate::transport::files::{find_files, read_file};
use crate::transport::{Command, Link};
use std::time::Duration;

/// Rendering resolves variables and includes; it contacts no registry.
const RENDER_LIMIT: Duration = Duration::from_secs(20);

/// A file as it lies on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackText {
    /// Where it lies.
    pub path: String,
    /// Its text, unredacted.
    pub text: String,
}

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The host did not answer, or the file cannot be opened.
    #[error(transparent)]
    Link(#[from] Fault),
    /// The file is there and is not what it should be.
    #[error("{path} is not shown: {why}")]
    Unusable {
        /// The file.
        path: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// The stack has no such file.
    #[error("{0} does not exist")]
    Missing(String),
    /// compose refused the files.
    #[error("compose cannot render the stack: {0}")]
    Compose(String),
}

/// The compose files of a stack, in order.
pub async fn compose_files(link: &dyn Link, files: &StackFiles) -> Result<Vec<StackText>, ReadError> {
    let mut texts = Vec::with_capacity(files.paths.len());
    for path in &files.paths {
        let text = read_text(link, path).await?;
        if !has_services(&text) {
            let why = "it has no top-level `services`, so it is no compose file";
            return Err(ReadError::Unusable { path: path.clone(), why });
        }
        texts.push(StackText { path: path.clone(), text });
    }
    Ok(texts)
}

/// The `.env` beside a stack's file.
pub async fn env_file(link: &dyn Link, files: &StackFiles) -> Result<StackText, ReadError> {
    let path = format!("{}/.env", files.directory.trim_end_matches('/'));
    let found = find_files(link, std::slice::from_ref(&path)).await?;
    let Some(file) = found.into_iter().flatten().next() else { return Err(ReadError::Missing(path)) };
    let name = file.resolved.rsplit('/').next().unwrap_or_default();
    if !name.contains(".env") || file.size > LARGEST_FILE {
        let why = "an env file is at most 1 MiB and has .env in its name, also after links are resolved";
        return Err(ReadError::Unusable { path: file.resolved, why });
    }
    let text = read_text(link, &file.resolved).await?;
    Ok(StackText { path: file.resolved, text })
}

/// What compose makes of a stack's files: merged, variables filled in. Runs on the host, where the
/// files and their environment are: the plugin, else the stand-alone program.
pub async fn rendered(link: &dyn Link, files: &StackFiles, stack: &StackName) -> Result<String, ReadError> {
    let mut reasons = Vec::new();
    for program in [&["docker", "compose"][..], &["docker-compose"][..]] {
        let mut argv: Vec<String> = program.iter().map(ToString::to_string).collect();
        argv.extend(["--project-name".to_owned(), stack.to_string()]);
        argv.extend(["--project-directory".to_owned(), files.directory.clone()]);
        argv.extend(files.paths.iter().flat_map(|path| ["--file".to_owned(), path.clone()]));
        argv.push("config".to_owned());
        let output = link.exec(&Command { deadline: RENDER_LIMIT, ..Command::new(argv) }).await?;
        if output.status == Some(0) {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        reasons.push(format!("{}: {}", program.join(" "), String::from_utf8_lossy(&output.stderr).trim()));
        // Any answer of the plugin itself is final; only its absence leads on.
        let absent = output.status == Some(127)
            || String::from_utf8_lossy(&output.stderr).contains("'compose' is not a docker command")
            || String::from_utf8_lossy(&output.stderr).contains("unknown command: docker compose");
        if !absent {
            break;
        }
    }
    Err(ReadError::Compose(reasons.join("; ")))
}

async fn read_text(link: &dyn Link, path: &str) -> Result<String, ReadError> {
    let limit = usize::try_from(LARGEST_FILE).unwrap_or(usize::MAX);
    let bytes = read_file(link, path, limit).await?;
    String::from_utf8(bytes)
        .map_err(|_| ReadError::Unusable { path: path.to_owned(), why: "it is not UTF-8 text" })
}

/// Whether a text has the key every compose file has. Looked for line by line: the text may hold
/// tags and anchors that only compose understands.
fn has_services(text: &str) -> bool {
    text.lines().any(|line| {
        let key = line.split_once(':').map_or("", |(key, _)| key.trim_end());
        matches!(key, "services" | "\"services\"" | "'services'")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s9_a_compose_file_is_known_by_its_top_level_services() {
        assert!(has_services("name: x\nservices:\n  a:\n    image: b\n"));
        assert!(has_services("\"services\" : {}\n"));
        for other in ["root:$6$abc:19000:0:99999:7:::\n", "x:\n  services:\n    a: b\n", "# services:\n", ""]
        {
            assert!(!has_services(other), "{other:?}");
        }
    }
}
