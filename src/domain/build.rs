//! An image that is to be built: what `docker build` is told by its options.

use super::image::ImageName;
use super::redact;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// An image to be built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSpec {
    /// What it is built from.
    pub context: BuildContext,
    /// The file that says how, within the context; `Dockerfile` when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<BuildWord>,
    /// Its names.
    pub tags: Vec<ImageName>,
    /// Arguments of the build.
    #[serde(default, skip_serializing_if = "BuildArgs::is_empty")]
    pub args: BuildArgs,
    /// The stage that is built; the last one when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<BuildWord>,
    /// Nothing is taken from builds before.
    #[serde(default)]
    pub no_cache: bool,
}

/// Text that cannot be used for a build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidBuild(String);

/// Declares a type of text that serde reads by its own rule.
macro_rules! by_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = InvalidBuild;

            fn try_from(text: String) -> Result<Self, InvalidBuild> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}

by_text!(BuildContext);
by_text!(BuildWord);
by_text!(ArgName);

/// What an image is built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BuildContext {
    /// A directory on the host.
    Directory(String),
    /// A Git repository, with a branch and a directory behind `#`.
    Git(String),
}

impl FromStr for BuildContext {
    type Err = InvalidBuild;

    fn from_str(text: &str) -> Result<Self, InvalidBuild> {
        let invalid =
            |why: &str| InvalidBuild(format!("context {:?}: {why}", redact::text(&without_login(text))));
        if text.is_empty() || text.chars().any(|char| char.is_control() || char.is_whitespace()) {
            return Err(invalid("it must be one word"));
        }
        if text.starts_with('/') {
            return Ok(Self::Directory(text.to_owned()));
        }
        let is_git =
            ["https://", "http://", "git://", "ssh://", "git@"].iter().any(|start| text.starts_with(start));
        if !is_git {
            return Err(invalid("write an absolute path on the host, or the URL of a Git repository"));
        }
        // It would stand in the argument vector of a process. Where a password is asked for a name may be a token.
        let user = text.split_once("://").and_then(|(_, rest)| rest.split('/').next()?.rsplit_once('@'));
        let has_query = text.split('#').next().is_some_and(|url| url.contains('?'));
        if has_query || user.is_some_and(|(user, _)| user.contains(':') || text.starts_with("http")) {
            return Err(invalid("a login or a query has no place in it; let the host's own git know them"));
        }
        if text.contains("://-") {
            return Err(invalid("no host is named so"));
        }
        Ok(Self::Git(text.to_owned()))
    }
}

/// What was given as a context, as it may be told: a login that it is refused for may be a token.
pub fn without_login(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) if scheme.to_ascii_lowercase().starts_with("http") => {
            format!("{scheme}://{}{}", redact::MASK, &rest[at..])
        }
        _ => text.to_owned(),
    }
}

impl fmt::Display for BuildContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Directory(text) | Self::Git(text)) = self;
        f.write_str(text)
    }
}

/// A path within a context, or the name of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BuildWord(String);

impl FromStr for BuildWord {
    type Err = InvalidBuild;

    fn from_str(text: &str) -> Result<Self, InvalidBuild> {
        let leads_out = text.starts_with('/') || text.split('/').any(|part| part == "..");
        let is_plain = |char: char| char.is_ascii_alphanumeric() || "._-+@/".contains(char);
        let is_odd = text.is_empty() || text.starts_with('-') || !text.chars().all(is_plain);
        if leads_out || is_odd {
            let rule =
                "write a path within the context, or the name of a stage, of letters, digits and ._-+@/";
            return Err(InvalidBuild(format!("{text:?}: {rule}")));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for BuildWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an argument.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArgName(String);

impl FromStr for ArgName {
    type Err = InvalidBuild;

    fn from_str(text: &str) -> Result<Self, InvalidBuild> {
        let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_';
        if text.is_empty()
            || text.starts_with(|first: char| first.is_ascii_digit())
            || !text.chars().all(is_word)
        {
            return Err(InvalidBuild(format!("args {text:?}: write a name of letters, digits and _")));
        }
        Ok(Self(text.to_owned()))
    }
}

impl ArgName {
    /// Whether it means something to the programs of a build on the host: the shell, the loader, docker with its
    /// plugins and helpers, git, ssh. In their environment it would say where and how they work.
    fn is_read_by_programs(&self) -> bool {
        let name = self.0.to_ascii_uppercase();
        let starts = [
            "LD_",
            "GIT_",
            "DOCKER_",
            "BUILDX_",
            "BUILDKIT_",
            "MOBY_",
            "COMPOSE_",
            "DOCKMASTER_",
            "XDG_",
            "GPG_",
            "SSH_ASKPASS",
            "SSH_SK_",
            "CURL_",
            "SSL_CERT_",
            "OTEL_",
            "GRPC_",
            "LC_",
            "MALLOC_",
            "BASH",
            "PERL5",
            "RUBYLIB",
            "RUBYOPT",
            "PASSWORD_STORE_",
        ];
        let words = [
            "PATH",
            "HOME",
            "PWD",
            "OLDPWD",
            "CDPATH",
            "IFS",
            "ENV",
            "PS4",
            "SHELL",
            "SHELLOPTS",
            "TMPDIR",
            "USER",
            "LOGNAME",
            "LANG",
            "LANGUAGE",
            "LOCPATH",
            "NLSPATH",
            "TERM",
            "TERMINFO",
            "EDITOR",
            "VISUAL",
            "PAGER",
            "SSH_AUTH_SOCK",
            "GLIBC_TUNABLES",
            "GCONV_PATH",
            "RES_OPTIONS",
            "LOCALDOMAIN",
            "HOSTALIASES",
            "GODEBUG",
            "GNUPGHOME",
            "PYTHONPATH",
            "PYTHONHOME",
            "PYTHONSTARTUP",
            "NODE_OPTIONS",
            "NODE_PATH",
            "NODE_EXTRA_CA_CERTS",
        ];
        starts.iter().any(|start| name.starts_with(start)) || words.contains(&&*name)
    }
}

impl fmt::Display for ArgName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Arguments of a build, by name. None of them changes what the programs do that make it, and none that may be a secret
/// stands where a list of processes shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<ArgName, String>", into = "BTreeMap<ArgName, String>")]
pub struct BuildArgs(BTreeMap<ArgName, String>);

impl TryFrom<BTreeMap<ArgName, String>> for BuildArgs {
    type Error = InvalidBuild;

    fn try_from(args: BTreeMap<ArgName, String>) -> Result<Self, InvalidBuild> {
        for (name, value) in &args {
            let entry = format!("{name}={value}");
            if name.is_read_by_programs() && redact::env_entry(&entry) != entry {
                let why = "it looks like a secret, and bears a name that docker, git or the shell would read";
                return Err(InvalidBuild(format!("args {name}: {why}; give it another name")));
            }
        }
        Ok(Self(args))
    }
}

impl From<BuildArgs> for BTreeMap<ArgName, String> {
    fn from(args: BuildArgs) -> Self {
        args.0
    }
}

impl BuildArgs {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their values.
    pub fn values(&self) -> impl Iterator<Item = &String> {
        self.0.values()
    }

    /// The same without secrets.
    #[must_use]
    pub fn masked(&self) -> Self {
        let masked = |(name, value): (&ArgName, &String)| (name.clone(), redact::value(&name.0, value));
        Self(self.0.iter().map(masked).collect())
    }
}

impl BuildSpec {
    /// A script for a POSIX shell that builds it with the engine at `socket`. Whatever is read from it is one word of
    /// the shell; the values of arguments stand in the environment, where no list of processes shows them, but for
    /// those whose names would mean something there.
    pub fn script(&self, socket: &str) -> String {
        let mut lines = vec![];
        let mut given = vec![];
        for (name, value) in &self.args.0 {
            if name.is_read_by_programs() {
                given.push(format!("--build-arg {}", word(&format!("{name}={value}"))));
            } else {
                lines.push(format!("export {name}={}", word(value)));
                given.push(format!("--build-arg {name}"));
            }
        }
        lines.push(format!("export DOCKER_HOST={}", word(&format!("unix://{socket}"))));
        let context = match &self.context {
            BuildContext::Directory(path) => {
                lines.push(format!("cd {} || exit", word(path)));
                ".".to_owned()
            }
            BuildContext::Git(url) => word(url),
        };
        // What the last step ran in would stay when it fails.
        let mut build = vec!["exec docker build --force-rm".to_owned()];
        build.extend(self.dockerfile.iter().map(|file| format!("--file {}", word(&file.0))));
        build.extend(self.tags.iter().map(|tag| format!("--tag {}", word(tag.as_str()))));
        build.extend(given);
        build.extend(self.target.iter().map(|stage| format!("--target {}", word(&stage.0))));
        build.extend(self.no_cache.then(|| "--no-cache".to_owned()));
        build.push(format!("-- {context} </dev/null 2>&1"));
        lines.push(build.join(" "));
        lines.join("\n") + "\n"
    }
}

/// One word of a POSIX shell.
fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn args(pairs: &[(&str, &str)]) -> Result<BuildArgs, InvalidBuild> {
        let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), (*value).to_owned()));
        pairs.collect::<BTreeMap<ArgName, String>>().try_into()
    }

    fn spec() -> BuildSpec {
        BuildSpec {
            context: "/srv/app".parse().unwrap(),
            dockerfile: Some("deploy/Dockerfile".parse().unwrap()),
            tags: vec!["app:1".parse().unwrap()],
            args: args(&[("TOKEN", "hunter2")]).unwrap(),
            target: Some("run".parse().unwrap()),
            no_cache: true,
        }
    }

    #[test]
    fn what_could_be_read_as_something_else_is_no_context() {
        for bad in [
            "",
            "relative",
            "-f",
            "--help",
            "/srv/a b",
            "/srv\nrm",
            "file:///etc",
            "ftp://x/y",
            "https://me:pw@x/y.git",
            "https://token@x/y.git",
            "ssh://git:pw@x/y.git",
            "https://x/y.git?private_token=abc",
            "ssh://-oProxyCommand=id/y.git",
        ] {
            assert!(bad.parse::<BuildContext>().is_err(), "{bad:?}");
        }
        for good in ["/", "/srv/app", "https://x/y.git#main:docker", "git@x:y.git", "ssh://git@x/y.git"] {
            assert!(good.parse::<BuildContext>().is_ok(), "{good:?}");
        }
        for bad in ["", "-x", "/etc/passwd", "../up", "a/../../b", "a b", "$(id)"] {
            assert!(bad.parse::<BuildWord>().is_err(), "{bad:?}");
        }
        for bad in ["", "1A", "A=B", "A B", "-A", "Ä"] {
            assert!(bad.parse::<ArgName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_login_that_is_refused_is_not_repeated() {
        for bad in ["https://token@x/y.git", "HTTPS://me:token@x/y.git", "ssh://git:token@x/y.git"] {
            let told = bad.parse::<BuildContext>().unwrap_err().to_string();
            assert!(!told.contains("token") && told.contains("***@x/y.git"), "{told}");
        }
        for kept in ["https://x/y@1.git", "ssh://git@x/y.git", "/srv/a@b"] {
            assert_eq!(without_login(kept), kept);
        }
    }

    #[test]
    fn values_of_arguments_stand_in_no_argument_vector() {
        let script = spec().script("/run/docker.sock");
        let command = script.lines().last().unwrap();
        assert!(!command.contains("hunter2") && command.contains("--build-arg TOKEN "), "{script}");
        assert!(script.contains("cd '/srv/app'") && command.ends_with("-- . </dev/null 2>&1"), "{script}");
    }

    #[test]
    fn no_argument_says_how_the_programs_of_a_build_work() {
        let names = [
            "PATH",
            "DOCKER_HOST",
            "DOCKER_BUILDKIT",
            "GIT_SSH_COMMAND",
            "LD_PRELOAD",
            "DOCKMASTER_OPERATION",
            "path",
        ];
        let pairs: Vec<(&str, &str)> = names.iter().map(|name| (*name, "it's x")).collect();
        let script = BuildSpec { args: args(&pairs).unwrap(), ..spec() }.script("/run/docker.sock");
        let (command, set) =
            (script.lines().last().unwrap(), script.lines().filter(|line| line.starts_with("export ")));
        assert_eq!(set.collect::<Vec<_>>(), ["export DOCKER_HOST='unix:///run/docker.sock'"]);
        for name in names {
            assert!(command.contains(&format!("--build-arg '{name}=it'\\''s x'")), "{name}: {command}");
        }
        // Neither does the last word of the shell belong to a value.
        let plain =
            BuildSpec { args: args(&[("VERSION", "1"), ("NODE_ENV", "production")]).unwrap(), ..spec() };
        let script = plain.script("/run/docker.sock");
        assert!(
            script.starts_with("export NODE_ENV='production'\nexport VERSION='1'\nexport DOCKER_HOST="),
            "{script}"
        );
        let secret = args(&[("GIT_TOKEN", "hunter2")]).unwrap_err().to_string();
        assert!(secret.contains("GIT_TOKEN") && !secret.contains("hunter2"), "{secret}");
        assert!(args(&[("SSH_PRIVATE_KEY", "hunter2"), ("DOCKER_TOKEN", redact::MASK)]).is_ok());
    }

    proptest! {
        #[test]
        fn every_value_is_one_word_of_a_shell(value in "[^\0]{0,40}") {
            let quoted = word(&value);
            // As POSIX reads it: outside of quotes only an escaped quote stands.
            let (mut read, mut inside, mut chars) = (String::new(), false, quoted.chars());
            while let Some(char) = chars.next() {
                match char {
                    '\'' => inside = !inside,
                    '\\' if !inside => read.extend(chars.next()),
                    char => { prop_assert!(inside); read.push(char); }
                }
            }
            prop_assert!(!inside);
            prop_assert_eq!(read, value);
        }
    }
}
