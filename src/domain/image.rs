//! An image's name, and the platform one is made for.

use super::host::InvalidName;
use globset::GlobMatcher;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The longest name a registry takes, with its tag and digest.
const LONGEST: usize = 512;

/// An image as it is named in `docker pull`: `nginx:1.27`, `ghcr.io/owner/name@sha256:…`, or an identifier.
///
/// Parsed at the edge because an engine's client puts it into a URL's path as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName(String);

impl ImageName {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without its tag, and the tag or digest; an image that names neither is `latest`.
    pub fn repository_and_tag(&self) -> (&str, &str) {
        if let Some((repository, digest)) = self.0.split_once('@') {
            return (repository, digest);
        }
        let repository = repository_of(&self.0);
        (repository, self.0.get(repository.len() + 1..).unwrap_or("latest"))
    }

    /// The image that is meant where this is the name of a repository alone, and no identifier; `None` for one with a
    /// tag or a digest.
    pub fn latest(&self) -> Option<Self> {
        let (repository, tag) = self.repository_and_tag();
        (repository.len() == self.0.len()).then(|| Self(format!("{repository}:{tag}")))
    }
}

impl FromStr for ImageName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ':' | '@');
        let segments_are_names =
            text.split('/').all(|part| part.starts_with(|c: char| c.is_ascii_alphanumeric()));
        // A login before a registry would be a secret on record; a digest is all that an @ may lead to.
        let is_digest = |rest: &str| {
            rest.split_once(':')
                .is_some_and(|(_, hex)| hex.len() >= 32 && hex.chars().all(|c| c.is_ascii_hexdigit()))
        };
        let has_no_login = text.split_once('@').is_none_or(|(_, rest)| is_digest(rest));
        if has_no_login
            && text.len() <= LONGEST
            && segments_are_names
            && text.chars().all(allowed)
            && !text.contains("..")
        {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidName::new(
            "image",
            text,
            "write it as in docker pull: nginx:1.27 or ghcr.io/owner/name:tag",
        ))
    }
}

impl TryFrom<String> for ImageName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<ImageName> for String {
    fn from(name: ImageName) -> Self {
        name.0
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an image without its tag.
pub fn repository_of(image: &str) -> &str {
    // A colon before the last slash belongs to a registry's port.
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => image,
    }
}

/// Whether the glob is one of the image's name, with or without its tag.
pub fn is_like(glob: &GlobMatcher, image: &str) -> bool {
    glob.is_match(image) || glob.is_match(repository_of(image))
}

/// What an image runs on: `linux/arm64`, with a variant `linux/arm/v7`, or the system alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Platform(String);

impl Platform {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Platform {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let is_word = |part: &str| {
            let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
            part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(rest)
        };
        if text.len() <= LONGEST && text.split('/').count() <= 3 && text.split('/').all(is_word) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidName::new("platform", text, "write it as os/arch, such as linux/arm64 or linux/arm/v7"))
    }
}

impl TryFrom<String> for Platform {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> Self {
        platform.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_as_docker_splits_them() {
        for (text, repository, tag) in [
            ("nginx", "nginx", "latest"),
            ("nginx:1.27", "nginx", "1.27"),
            ("localhost:5000/a/b", "localhost:5000/a/b", "latest"),
            ("localhost:5000/a/b:2", "localhost:5000/a/b", "2"),
            (
                "ghcr.io/a/b@sha256:000102030405060708090a0b0c0d0e0f",
                "ghcr.io/a/b",
                "sha256:000102030405060708090a0b0c0d0e0f",
            ),
        ] {
            let name: ImageName = text.parse().unwrap();
            assert_eq!(name.repository_and_tag(), (repository, tag), "{text}");
            let latest = name.latest().map(|name| name.to_string());
            assert_eq!(latest, (text == repository).then(|| format!("{text}:latest")));
        }
    }

    #[test]
    fn a_glob_is_one_of_the_name_with_or_without_its_tag() {
        let is_like = |pattern: &str, image: &str| {
            is_like(&globset::Glob::new(pattern).unwrap().compile_matcher(), image)
        };
        assert!(is_like("nginx", "nginx:1.27") && is_like("nginx:1.*", "nginx:1.27"));
        assert!(
            is_like("*/app", "localhost:5000/app:1") && is_like("localhost:5000/*", "localhost:5000/app")
        );
        assert!(!is_like("nginx:2*", "nginx:1.27") && !is_like("localhost", "localhost:5000/app"));
    }

    #[test]
    fn a_platform_has_one_to_three_words() {
        for good in ["linux", "linux/amd64", "linux/arm/v7", "windows/amd64/10.0.17763.1"] {
            assert_eq!(good.parse::<Platform>().unwrap().as_str(), good);
        }
        for bad in
            ["", "linux/", "/amd64", "a/b/c/d", "--help", "linux amd64", "linux/../x", "linux\n", "\u{e4}"]
        {
            assert!(bad.parse::<Platform>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_no_path_and_no_flag() {
        for bad in [
            "",
            "/",
            "a/../b",
            "../a",
            "a//b",
            "-a",
            "a b",
            "a?x=1",
            "a#b",
            "a%2e",
            "a\n",
            "a/-b",
            "user:token@registry/a",
        ] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad:?}");
        }
    }
}
