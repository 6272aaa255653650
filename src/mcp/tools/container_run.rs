//! `container_run`

use crate::domain::change::Change;
use crate::domain::run::{RestartPolicy, RunSpec};
use crate::domain::toolset::Toolset;
use crate::mcp::error::{ErrorKind, ToolError};
use crate::mcp::tool::{About, Effect, Gate, Tool};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Image.
    image: String,
    /// Name.
    name: Option<String>,
    /// Program and arguments.
    #[serde(default)]
    command: Vec<String>,
    /// Variables.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// 8080:80/tcp.
    #[serde(default)]
    ports: Vec<String>,
    /// `source:target[:ro]`.
    #[serde(default)]
    volumes: Vec<String>,
    /// One network.
    #[serde(default)]
    networks: Vec<String>,
    /// Labels.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// When the engine starts it again (default no).
    restart: Option<Restart>,
    /// Memory limit, such as 512m.
    memory: Option<String>,
    /// Processors.
    cpus: Option<f64>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Restart {
    No,
    OnFailure,
    UnlessStopped,
    Always,
}

impl From<Restart> for RestartPolicy {
    fn from(restart: Restart) -> Self {
        match restart {
            Restart::No => Self::No,
            Restart::OnFailure => Self::OnFailure,
            Restart::UnlessStopped => Self::UnlessStopped,
            Restart::Always => Self::Always,
        }
    }
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "container_run",
        title: "Run a container",
        description: "Create and start a container from an image (pulled when the host has none of the name). When it cannot be started it is removed again.",
        toolset: Toolset::Containers,
        effect: Effect { read_only: false, destructive: false, idempotent: false, open_world: true },
    };
    Tool::job(about, Gate::Asks, read)
}

fn read(parameters: Parameters) -> Result<Change, ToolError> {
    let wrong = |words: String| ToolError::new(ErrorKind::InvalidArguments, words);
    let spec = RunSpec {
        name: parameters.name.map(|name| name.parse()).transpose()?,
        command: parameters.command,
        env: parameters.env,
        ports: all(&parameters.ports).map_err(wrong)?,
        volumes: all(&parameters.volumes).map_err(wrong)?,
        networks: networks(parameters.networks).map_err(wrong)?,
        labels: parameters.labels,
        restart: parameters.restart.map_or(RestartPolicy::No, Into::into),
        memory: parameters.memory.as_deref().map(bytes).transpose().map_err(wrong)?,
        milli_cpus: parameters.cpus.map(milli_cpus).transpose().map_err(wrong)?,
        ..RunSpec::of(parameters.image.parse()?)
    };
    Ok(Change::ContainerRun(Box::new(spec)))
}

fn all<T: std::str::FromStr<Err = impl std::fmt::Display>>(texts: &[String]) -> Result<Vec<T>, String> {
    texts.iter().map(|text| text.parse().map_err(|error| format!("{error}"))).collect()
}

/// The networks by name. Of older engines none takes more than one; names that mean more than a name stay out.
fn networks(names: Vec<String>) -> Result<Vec<String>, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let is_name =
        |name: &String| name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(allowed);
    if let Some(wrong) = names.iter().find(|name| !is_name(name)) {
        return Err(format!("networks: {wrong:?} is no network's name"));
    }
    if names.len() > 1 {
        return Err("networks: name one; Docker before 25 attaches a new container to no more".to_owned());
    }
    Ok(names)
}

/// An amount of memory as Docker takes it: a number, and `b`, `k`, `m` or `g`.
pub(super) fn bytes(text: &str) -> Result<i64, String> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor: Option<i64> = match unit.to_ascii_lowercase().trim_end_matches('b') {
        "" => Some(1),
        "k" => Some(1 << 10),
        "m" => Some(1 << 20),
        "g" => Some(1 << 30),
        _ => None,
    };
    let amount =
        digits.parse::<i64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    amount
        .filter(|amount| *amount > 0)
        .ok_or_else(|| format!("memory: {text:?} is no amount: write 512m or 2g"))
}

/// Processors in thousandths.
pub(super) fn milli_cpus(cpus: f64) -> Result<i64, String> {
    #[expect(clippy::cast_possible_truncation, reason = "in the range that is checked")]
    if (0.01..=1024.0).contains(&cpus) {
        Ok((cpus * 1000.0).round() as i64)
    } else {
        Err(format!("cpus: {cpus} is not between 0.01 and 1024"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_docker_reads_them() {
        assert_eq!(bytes("512m"), Ok(512 << 20));
        assert_eq!(bytes("2G"), Ok(2 << 30));
        assert_eq!(bytes("64kb"), Ok(64 << 10));
        assert_eq!(bytes("1000"), Ok(1000));
        for bad in ["", "m", "-1", "0", "1t", "99999999999g", "1.5g"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(milli_cpus(1.5), Ok(1500));
        assert!(milli_cpus(0.0).is_err() && milli_cpus(f64::NAN).is_err());
    }
}
