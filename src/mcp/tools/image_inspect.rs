//! `image_inspect`

use crate::actors::host::HostError;
use crate::actors::operation::Operation;
use crate::domain::image::ImageName;
use crate::domain::redact;
use crate::domain::text::{clean, cut};
use crate::domain::toolset::Toolset;
use crate::engine::images::{HistoryStep, ImageDetail};
use crate::mcp::error::ToolError;
use crate::mcp::fleet::{Patience, on_host};
use crate::mcp::sections;
use crate::mcp::shape::{rfc3339, short_id, told};
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A step may be a whole script.
const LONGEST_STEP: usize = 300;

/// No image has more layers; steps without one may be more.
const MOST_STEPS: usize = 128;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name.
    host: String,
    /// Reference or id.
    image: String,
    /// Which parts (default: summary).
    sections: Option<Vec<Section>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Section {
    Summary,
    Config,
    History,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    host: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Config>,
    /// Newest first; the first 128.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<Step>>,
}

#[derive(Serialize, JsonSchema)]
struct Summary {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    digests: Vec<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "String::is_empty")]
    created: String,
    /// Bytes.
    size: u64,
    layers: usize,
    platform: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    author: String,
}

#[derive(Serialize, JsonSchema)]
struct Config {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entrypoint: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    working_dir: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    stop_signal: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    health_check: Vec<String>,
    /// KEY=VALUE; values of secret keys are shown as ***.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

#[derive(Serialize, JsonSchema)]
struct Step {
    /// RFC 3339.
    #[serde(skip_serializing_if = "String::is_empty")]
    created: String,
    created_by: String,
    /// Bytes; left out where no layer was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "image_inspect",
        title: "Inspect an image",
        description: "Tags, digests, size and platform of one image; on demand config and history. Secrets are redacted.",
        toolset: Toolset::Images,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let host = context.directory.host(&parameters.host)?;
    let sections = sections::chosen(parameters.sections, &[Section::Summary]);
    let name: ImageName = parameters.image.parse()?;
    on_host(Patience::Quick, &context, &host, |operation| inspect(operation, name.clone(), sections.clone()))
        .await
}

async fn inspect(operation: Operation, name: ImageName, sections: Vec<Section>) -> Result<Answer, HostError> {
    let engine = operation.engine();
    let detail = engine.image(&name).await?;
    let mut answer = answer(operation.context().host.to_string(), &detail, &sections);
    if sections.contains(&Section::History) {
        let steps = engine.image_history(&name).await?;
        answer.history = Some(steps.iter().take(MOST_STEPS).map(step).collect());
    }
    Ok(answer)
}

fn answer(host: String, detail: &ImageDetail, sections: &[Section]) -> Answer {
    let with = |section| sections.contains(&section);
    let each = |texts: &[String]| texts.iter().map(|text| told(text)).collect::<Vec<_>>();
    let command = |words: &[String]| {
        let words: Vec<String> = words.iter().map(|word| clean(word)).collect();
        redact::command(&words)
    };
    Answer {
        host,
        id: short_id(&detail.id),
        summary: with(Section::Summary).then(|| Summary {
            tags: each(&detail.tags),
            digests: each(&detail.digests),
            created: whole_seconds(&detail.created),
            size: detail.size,
            layers: detail.layers,
            platform: clean(&detail.platform),
            author: told(&detail.author),
        }),
        config: with(Section::Config).then(|| Config {
            entrypoint: command(&detail.entrypoint),
            command: command(&detail.command),
            user: clean(&detail.user),
            working_dir: clean(&detail.working_dir),
            stop_signal: clean(&detail.stop_signal),
            ports: each(&detail.ports),
            volumes: each(&detail.volumes),
            health_check: command(&detail.health_check),
            env: detail.env.iter().map(|entry| redact::env_entry(&clean(entry))).collect(),
            labels: detail
                .labels
                .iter()
                .map(|(key, value)| (clean(key), redact::value(key, &clean(value))))
                .collect(),
        }),
        history: None,
    }
}

/// The engine writes the year 1 where there is no time.
fn whole_seconds(time: &str) -> String {
    let time = time.parse::<Timestamp>().ok().filter(|_| !time.starts_with("0001-"));
    time.map(rfc3339).unwrap_or_default()
}

fn step(step: &HistoryStep) -> Step {
    let created_by = told(&step.created_by);
    Step {
        created: Timestamp::from_second(step.created).map(rfc3339).unwrap_or_default(),
        created_by: cut(&created_by, LONGEST_STEP).0.to_owned(),
        size: Some(step.size).filter(|size| *size > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds_or_left_out() {
        assert_eq!(whole_seconds("2024-01-01T00:00:00.123456789Z"), "2024-01-01T00:00:00Z");
        assert_eq!(whole_seconds("2024-01-01T02:00:00+02:00"), "2024-01-01T00:00:00Z");
        for none in ["", "0001-01-01T00:00:00Z", "soon"] {
            assert_eq!(whole_seconds(none), "", "{none}");
        }
    }

    #[test]
    fn no_part_of_an_image_tells_secrets() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let detail = ImageDetail {
            env: words(&["DB_PASSWORD=hunter1", "LEVEL=info"]),
            entrypoint: words(&["app", "--password", "hunter2"]),
            command: words(&["sh", "-c", "TOKEN=hunter3 run"]),
            health_check: words(&["CMD-SHELL", "curl -u app:x http://app:hunter4@localhost"]),
            labels: [("auth.token".to_owned(), "hunter5".to_owned())].into(),
            author: "API_KEY=hunter6".to_owned(),
            ..ImageDetail::default()
        };
        let mut answer = answer("h".into(), &detail, &[Section::Summary, Section::Config]);
        answer.history = Some(vec![step(&HistoryStep {
            created: 0,
            created_by: "|1 NPM_TOKEN=hunter7 /bin/sh -c npm ci".into(),
            size: 0,
        })]);
        let told = serde_json::to_string(&answer).unwrap();
        assert!(!told.contains("hunter") && told.contains("LEVEL=info") && told.contains("npm ci"), "{told}");
    }
}
