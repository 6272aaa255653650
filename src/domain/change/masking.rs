//! What a change keeps secret.

use super::Change;
use crate::domain::redact;
use std::cmp::Reverse;

/// A line of a secret is one too when it is so long; shorter ones stand anywhere.
const TELLING: usize = 8;

impl Change {
    /// It with the secrets in it masked, and whether there were none.
    pub fn masked(&self) -> (Self, bool) {
        let masked = match self {
            Self::ContainerRun(spec) => {
                let mut spec = spec.clone();
                mask(spec.env.iter_mut().chain(&mut spec.labels));
                spec.command = redact::command(&spec.command);
                Self::ContainerRun(spec)
            }
            Self::ImageBuild(spec) => {
                let mut spec = spec.clone();
                spec.args = spec.args.masked();
                Self::ImageBuild(spec)
            }
            Self::VolumeCreate(spec) => {
                let mut spec = spec.clone();
                mask(spec.options.iter_mut().chain(&mut spec.labels));
                // Of file servers: `o=username=me,password=…`.
                spec.options.values_mut().for_each(|value| *value = redact::text(value));
                Self::VolumeCreate(spec)
            }
            Self::NetworkCreate(spec) => {
                let mut spec = spec.clone();
                mask(spec.labels.iter_mut());
                Self::NetworkCreate(spec)
            }
            other => other.clone(),
        };
        let whole = masked == *self;
        (masked, whole)
    }

    /// Somebody's words about it, without what it keeps secret: engines repeat what they were asked.
    pub fn hide(&self, words: &str) -> String {
        let (masked, whole) = self.masked();
        let mut text = words.to_owned();
        if !whole {
            let (open, shown) = (self.values(), masked.values());
            let mut secrets: Vec<_> =
                open.into_iter().zip(shown).filter(|(value, shown)| value != shown).collect();
            // One may be the beginning of another.
            secrets.sort_by_key(|(secret, _)| Reverse(secret.len()));
            for (secret, shown) in secrets {
                text = text.replace(secret.as_str(), shown);
                // What is told may begin amid it, as the end of a log does.
                let lines = secret.lines().map(str::trim);
                for line in lines.filter(|line| line.len() >= TELLING && !shown.contains(line)) {
                    text = text.replace(line, redact::MASK);
                }
            }
        }
        redact::text(&text)
    }

    /// Whatever in it may be a secret.
    fn values(&self) -> Vec<&String> {
        match self {
            Self::ContainerRun(spec) => {
                spec.env.values().chain(spec.labels.values()).chain(&spec.command).collect()
            }
            Self::ImageBuild(spec) => spec.args.values().collect(),
            Self::VolumeCreate(spec) => spec.options.values().chain(spec.labels.values()).collect(),
            Self::NetworkCreate(spec) => spec.labels.values().collect(),
            _ => vec![],
        }
    }
}

fn mask<'a>(pairs: impl Iterator<Item = (&'a String, &'a mut String)>) {
    for (key, value) in pairs {
        *value = redact::value(key, value);
    }
}
