//! Floor 3: Docker contexts, so that `docker --context` and everything built on it reach the same hosts.
//!
//! They are made and asked for with the docker client, which owns their format. A context is ours when
//! the data directory says so: only those are ever changed or removed. A foreign one that leads to the
//! right place is used as it is. `default` and the context that is in use are left alone in any case.

use crate::domain::context::same_endpoint;
use crate::domain::fault::Fault;
use crate::runtime::lock::FileLock;
use crate::transport::{Command, Output, process};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The docker client answers within 50 ms; one that has not by now hangs.
const CLIENT_LIMIT: Duration = Duration::from_secs(10);

/// Docker clients at work at once: hosts that become ready together must not start fifty processes.
const CLIENTS: usize = 4;

/// A context as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Its endpoint, such as `ssh://ops@nas.lan`.
    pub host: String,
    /// Words about it.
    pub description: String,
}

/// A context there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// Its endpoint.
    pub host: String,
    /// Whether docker uses it when nobody says otherwise.
    pub current: bool,
    /// Whether we made it.
    pub ours: bool,
}

/// What had to be done for a context to be as wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Nothing.
    Nothing,
    /// It was made.
    Created,
    /// It was ours and led elsewhere.
    Repointed,
}

/// Why there is no context as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// This machine has no docker client, or no place to remember contexts in.
    #[error(
        "there is no docker client on this machine, so there are no contexts; everything else works without"
    )]
    NoClient,
    /// A context of this name is somebody else's and leads elsewhere.
    #[error(
        "the Docker context {name} leads to {host} and is not Dockmaster's; it was to lead to {wanted}. Remove or rename it, set docker_context for the host, or let Dockmaster have it: dockmaster context adopt {name}"
    )]
    Foreign {
        /// The context.
        name: String,
        /// Where it leads.
        host: String,
        /// Where it was to lead.
        wanted: String,
    },
    /// It would have to be changed, and docker uses it at the moment.
    #[error(
        "the Docker context {name} leads to {host}, and is not changed while it is in use: docker context use default"
    )]
    InUse {
        /// The context.
        name: String,
        /// Where it leads.
        host: String,
    },
    /// `default` is Docker's own.
    #[error("a context cannot be called default; set another docker_context for the host")]
    Reserved,
    /// The docker client failed.
    #[error("docker {action}: {words}")]
    Client {
        /// What it was to do.
        action: &'static str,
        /// Its words.
        words: String,
    },
    /// The data directory cannot be used.
    #[error("cannot remember the context {name}: {words}")]
    Record {
        /// The context.
        name: String,
        /// Why.
        words: String,
    },
}

impl ContextError {
    /// Whether trying again can cure it.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Client { .. } | Self::Record { .. })
    }
}

/// The Docker contexts of this user; clones share their turns.
#[derive(Clone)]
pub struct Contexts(Option<Arc<Inner>>);

struct Inner {
    /// The docker client, and what it is told before every command.
    client: Vec<String>,
    /// One file for each context of ours; the locks lie beside it.
    records: PathBuf,
    /// The hosts files of the service whose hosts get contexts by themselves, in one line.
    service: Option<String>,
    turns: Semaphore,
    said: AtomicBool,
}

impl Contexts {
    /// No contexts, for services on hosts that are no Docker hosts.
    pub fn none() -> Self {
        Self(None)
    }

    /// Those of this user; what is ours is remembered below `data_dir`.
    pub fn of_this_user(data_dir: &Path) -> Self {
        Self::with_client(data_dir, vec!["docker".to_owned()], None)
    }

    /// The same for a service whose hosts stand in `files`: what it makes, it takes away again when a host
    /// has left those, whenever that was.
    pub fn of_service(data_dir: &Path, files: &[PathBuf]) -> Self {
        let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
        Self::with_client(data_dir, vec!["docker".to_owned()], Some(files.join(":").replace('\n', " ")))
    }

    pub(crate) fn with_client(data_dir: &Path, client: Vec<String>, service: Option<String>) -> Self {
        let records = data_dir.join("contexts");
        let (turns, said) = (Semaphore::new(CLIENTS), AtomicBool::new(false));
        Self(Some(Arc::new(Inner { client, records, service, turns, said })))
    }

    /// The contexts that a service with the same hosts files made, now or earlier.
    pub fn made_for_us(&self) -> Vec<String> {
        let Some((inner, service)) =
            self.0.as_deref().and_then(|inner| Some((inner, inner.service.as_ref()?)))
        else {
            return vec![];
        };
        let ours = |entry: std::fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            inner.claims(&name).contains(service).then_some(name)
        };
        let records = std::fs::read_dir(&inner.records).into_iter().flatten().flatten();
        records.filter_map(ours).collect()
    }

    /// Makes sure that there is a context as `wanted`: there already, made, or led to the right place.
    /// Any number of callers, also of other processes, make it once.
    pub async fn ensure(&self, wanted: &Wanted) -> Result<Done, ContextError> {
        let inner = self.inner()?;
        if wanted.name == "default" {
            return Err(ContextError::Reserved);
        }
        let _turn = inner.turns.acquire().await;
        let _lock = inner.lock(&wanted.name).await?;
        match inner.inspect(&wanted.name).await? {
            None => inner.create(wanted).await,
            Some(there) => inner.settle(wanted, there).await,
        }
    }

    /// Takes a context over, whoever made it, and leads it to the right place.
    pub async fn adopt(&self, wanted: &Wanted) -> Result<Done, ContextError> {
        let inner = self.inner()?;
        let lock = inner.lock(&wanted.name).await?;
        if inner.inspect(&wanted.name).await?.is_some() {
            inner.record(wanted)?;
        }
        drop(lock);
        self.ensure(wanted).await
    }

    /// Removes a context if it is ours and not in use; says whether it did. A service leaves one to others
    /// whose hosts have it too.
    pub async fn remove(&self, name: &str) -> Result<bool, ContextError> {
        let inner = self.inner()?;
        let _turn = inner.turns.acquire().await;
        let _lock = inner.lock(name).await?;
        if !inner.is_ours(name) {
            return Ok(false);
        }
        if let Some(service) = &inner.service {
            let others: Vec<String> =
                inner.claims(name).into_iter().filter(|claim| claim != service).collect();
            if !others.is_empty() {
                inner.write(name, &inner.endpoint(name), &others)?;
                return Ok(false);
            }
        }
        if let Some(there) = inner.inspect(name).await? {
            if there.current {
                return Err(ContextError::InUse { name: name.to_owned(), host: there.host });
            }
            inner.docker("context rm", &["context", "rm", name]).await?;
        }
        inner.forget(name);
        Ok(true)
    }

    /// All contexts of this user.
    pub async fn list(&self) -> Result<Vec<Context>, ContextError> {
        let inner = self.inner()?;
        let listed = inner.docker("context ls", &["context", "ls", "--format", "{{json .}}"]).await?;
        let read = |line: &str| {
            let row: serde_json::Value = serde_json::from_str(line).ok()?;
            let text = |key: &str| row[key].as_str().map(ToOwned::to_owned);
            let name = text("Name")?;
            let ours = inner.is_ours(&name);
            Some(Context { name, host: text("DockerEndpoint")?, current: row["Current"] == true, ours })
        };
        Ok(listed.lines().filter_map(read).collect())
    }

    /// Whether nobody was told yet that there are none; says so once.
    pub fn first_word(&self) -> bool {
        self.0.as_ref().is_some_and(|inner| !inner.said.swap(true, Ordering::Relaxed))
    }

    /// Makes a context as somebody else would, in the place of ours.
    #[cfg(test)]
    pub(crate) async fn foreign(&self, wanted: &Wanted) {
        let inner = self.inner().unwrap();
        inner.forget(&wanted.name);
        let endpoint = format!("host={}", wanted.host);
        inner.docker("by hand", &["context", "update", &wanted.name, "--docker", &endpoint]).await.unwrap();
    }

    fn inner(&self) -> Result<&Inner, ContextError> {
        self.0.as_deref().ok_or(ContextError::NoClient)
    }
}

impl Inner {
    async fn settle(&self, wanted: &Wanted, there: Context) -> Result<Done, ContextError> {
        let Wanted { name, host, description } = wanted;
        if same_endpoint(&there.host, host) {
            if there.ours {
                self.record(wanted)?;
            }
            return Ok(Done::Nothing);
        }
        if !there.ours {
            let (name, wanted) = (name.clone(), host.clone());
            return Err(ContextError::Foreign { name, host: there.host, wanted });
        }
        if there.current {
            return Err(ContextError::InUse { name: name.clone(), host: there.host });
        }
        let endpoint = format!("host={host}");
        let words = ["context", "update", name, "--description", description, "--docker", &endpoint];
        self.docker("context update", &words).await?;
        self.record(wanted)?;
        Ok(Done::Repointed)
    }

    /// Remembered before it is made: a context that nobody claims would stay for ever.
    async fn create(&self, wanted: &Wanted) -> Result<Done, ContextError> {
        let Wanted { name, host, description } = wanted;
        self.record(wanted)?;
        let endpoint = format!("host={host}");
        let words = ["context", "create", name, "--description", description, "--docker", &endpoint];
        match self.docker("context create", &words).await {
            Ok(_) => Ok(Done::Created),
            Err(error) => {
                self.forget(name);
                // Somebody who asks nobody made one at the same moment: it is theirs.
                match self.inspect(name).await {
                    Ok(Some(there)) => self.settle(wanted, there).await,
                    _ => Err(error),
                }
            }
        }
    }

    async fn inspect(&self, name: &str) -> Result<Option<Context>, ContextError> {
        let output = self.run(&["context", "inspect", name]).await?;
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status != Some(0) {
            let missing = words.contains("not found") || words.contains("does not exist");
            return if missing {
                Ok(None)
            } else {
                Err(ContextError::Client { action: "context inspect", words })
            };
        }
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let host = told[0]["Endpoints"]["docker"]["Host"].as_str().unwrap_or_default().to_owned();
        let current = self.docker("context show", &["context", "show"]).await?.trim() == name;
        Ok(Some(Context { name: name.to_owned(), host, current, ours: self.is_ours(name) }))
    }

    async fn docker(&self, action: &'static str, words: &[&str]) -> Result<String, ContextError> {
        let output = self.run(words).await?;
        if output.status == Some(0) {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let words = crate::domain::text::clean(String::from_utf8_lossy(&output.stderr).trim());
        Err(ContextError::Client { action, words })
    }

    async fn run(&self, words: &[&str]) -> Result<Output, ContextError> {
        let argv = self.client.iter().map(String::as_str).chain(words.iter().copied());
        let command = Command { deadline: CLIENT_LIMIT, ..Command::new(argv) };
        // What the service's own shell was set to is not what the user's docker uses.
        process::run_without(&command, &["DOCKER_HOST", "DOCKER_CONTEXT"]).await.map_err(|fault: Fault| {
            if fault.detail.contains("cannot start") {
                return ContextError::NoClient;
            }
            ContextError::Client { action: "context", words: fault.detail }
        })
    }

    async fn lock(&self, name: &str) -> Result<FileLock, ContextError> {
        let (records, locks) = (self.records.clone(), self.records.with_file_name("context-locks"));
        let lock = locks.join(name);
        let locked = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(records)?;
            std::fs::create_dir_all(locks)?;
            FileLock::on_file(&lock)
        });
        let locked = locked.await.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
        locked.map_err(|error| not_remembered(name, &error))
    }

    fn is_ours(&self, name: &str) -> bool {
        self.records.join(name).exists()
    }

    /// Remembers a context, and that this service has a host for it.
    fn record(&self, wanted: &Wanted) -> Result<(), ContextError> {
        let mut claims = self.claims(&wanted.name);
        claims.extend(self.service.iter().cloned());
        claims.sort();
        claims.dedup();
        self.write(&wanted.name, &wanted.host, &claims)
    }

    /// The hosts files of the services that have a host for a context.
    fn claims(&self, name: &str) -> Vec<String> {
        let record = std::fs::read_to_string(self.records.join(name)).unwrap_or_default();
        record.lines().skip(1).filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect()
    }

    fn endpoint(&self, name: &str) -> String {
        let record = std::fs::read_to_string(self.records.join(name)).unwrap_or_default();
        record.lines().next().unwrap_or_default().to_owned()
    }

    /// A record is the endpoint, and below it a line for each claim.
    fn write(&self, name: &str, endpoint: &str, claims: &[String]) -> Result<(), ContextError> {
        let record: Vec<&str> = std::iter::once(endpoint).chain(claims.iter().map(String::as_str)).collect();
        std::fs::write(self.records.join(name), record.join("\n") + "\n")
            .map_err(|error| not_remembered(name, &error))
    }

    fn forget(&self, name: &str) {
        // What is not there is forgotten already.
        let _ = std::fs::remove_file(self.records.join(name));
    }
}

fn not_remembered(name: &str, error: &std::io::Error) -> ContextError {
    ContextError::Record { name: name.to_owned(), words: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user with a real docker client and nothing else.
    struct User(tempfile::TempDir);

    impl User {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn contexts(&self) -> Contexts {
            let config = self.0.path().join("docker");
            let client = ["docker", "--config", config.to_str().unwrap()].map(ToOwned::to_owned);
            Contexts::with_client(&self.0.path().join("data"), client.to_vec(), None)
        }

        /// The same, as a service whose hosts stand in this file.
        fn service(&self, file: &str) -> Contexts {
            let config = self.0.path().join("docker");
            let client = ["docker", "--config", config.to_str().unwrap()].map(ToOwned::to_owned);
            Contexts::with_client(&self.0.path().join("data"), client.to_vec(), Some(file.to_owned()))
        }

        /// As the user would type it.
        async fn docker(&self, words: &[&str]) -> String {
            self.contexts().inner().unwrap().docker("by hand", words).await.unwrap()
        }
    }

    fn wanted(host: &str) -> Wanted {
        Wanted { name: "docker-mcp-nas".into(), host: host.into(), description: "the nas".into() }
    }

    async fn host(user: &User, name: &str) -> Option<String> {
        let listed = user.contexts().list().await.unwrap();
        listed.into_iter().find(|context| context.name == name).map(|context| context.host)
    }

    #[tokio::test]
    async fn s3_a_context_is_made_verified_by_its_endpoint_and_made_again() {
        let (user, right) = (User::new(), wanted("ssh://ops@nas"));
        let contexts = user.contexts();
        assert_eq!(contexts.ensure(&right).await, Ok(Done::Created));
        assert_eq!(contexts.ensure(&right).await, Ok(Done::Nothing));
        assert_eq!(contexts.ensure(&wanted("ssh://ops@nas:2201")).await, Ok(Done::Repointed));
        assert_eq!(host(&user, "docker-mcp-nas").await.unwrap(), "ssh://ops@nas:2201");
        user.docker(&["context", "rm", "docker-mcp-nas"]).await;
        assert_eq!(contexts.ensure(&right).await, Ok(Done::Created));
        user.docker(&["context", "update", "docker-mcp-nas", "--docker", "host=ssh://elsewhere"]).await;
        assert_eq!(contexts.ensure(&right).await, Ok(Done::Repointed));
        assert_eq!(contexts.remove("docker-mcp-nas").await, Ok(true));
        assert_eq!(host(&user, "docker-mcp-nas").await, None);
        assert_eq!(contexts.remove("docker-mcp-nas").await, Ok(false));
    }

    #[tokio::test]
    async fn s3_a_foreign_context_is_used_or_named_and_never_changed() {
        let (user, right) = (User::new(), wanted("ssh://ops@nas"));
        let contexts = user.contexts();
        user.docker(&["context", "create", "docker-mcp-nas", "--docker", "host=ssh://ops@NAS:22"]).await;
        assert_eq!(contexts.ensure(&right).await, Ok(Done::Nothing));
        assert_eq!(contexts.remove("docker-mcp-nas").await, Ok(false), "it is not ours");
        user.docker(&["context", "update", "docker-mcp-nas", "--docker", "host=ssh://other"]).await;
        let refused = contexts.ensure(&right).await.unwrap_err();
        assert!(matches!(&refused, ContextError::Foreign { host, .. } if host == "ssh://other"), "{refused}");
        assert_eq!(host(&user, "docker-mcp-nas").await.unwrap(), "ssh://other");
        assert_eq!(contexts.adopt(&right).await, Ok(Done::Repointed));
        assert_eq!(contexts.remove("docker-mcp-nas").await, Ok(true));
    }

    #[tokio::test]
    async fn s3_the_context_in_use_and_the_default_one_are_left_alone() {
        let (user, right) = (User::new(), wanted("ssh://ops@nas"));
        let contexts = user.contexts();
        contexts.ensure(&right).await.unwrap();
        user.docker(&["context", "use", "docker-mcp-nas"]).await;
        assert_eq!(contexts.ensure(&right).await, Ok(Done::Nothing));
        assert!(matches!(contexts.ensure(&wanted("ssh://x")).await, Err(ContextError::InUse { .. })));
        assert!(matches!(contexts.remove("docker-mcp-nas").await, Err(ContextError::InUse { .. })));
        let default = Wanted { name: "default".into(), ..right };
        assert_eq!(contexts.ensure(&default).await, Err(ContextError::Reserved));
    }

    #[tokio::test]
    async fn s3_concurrent_callers_and_processes_make_it_once() {
        let user = User::new();
        // Two of them share nothing but their directories, as two processes do.
        let (a, b) = (user.contexts(), user.contexts());
        let right = wanted("ssh://ops@nas");
        let calls = (0..16).map(|at| if at % 2 == 0 { a.ensure(&right) } else { b.ensure(&right) });
        let mut done: Vec<Done> = Vec::new();
        for outcome in futures_util::future::join_all(calls).await {
            done.push(outcome.unwrap());
        }
        assert_eq!(done.iter().filter(|done| **done == Done::Created).count(), 1, "{done:?}");
        assert_eq!(done.iter().filter(|done| **done == Done::Nothing).count(), 15, "{done:?}");
    }

    #[tokio::test]
    async fn s10_a_service_knows_again_what_it_made_and_nothing_that_others_did() {
        let (user, right) = (User::new(), wanted("ssh://ops@nas"));
        user.service("/a").ensure(&right).await.unwrap();
        user.service("/b").ensure(&Wanted { name: "docker-mcp-pi".into(), ..right.clone() }).await.unwrap();
        user.contexts().ensure(&Wanted { name: "dockmaster-nas".into(), ..right }).await.unwrap();
        assert_eq!(user.service("/a").made_for_us(), ["docker-mcp-nas"]);
        assert_eq!(user.service("/b").made_for_us(), ["docker-mcp-pi"]);
        assert_eq!(user.contexts().made_for_us(), [""; 0]);
    }

    #[tokio::test]
    async fn s10_a_context_that_two_services_have_goes_with_the_last() {
        let (user, right) = (User::new(), wanted("ssh://ops@nas"));
        for file in ["/a", "/b", "/a"] {
            user.service(file).ensure(&right).await.unwrap();
        }
        assert_eq!(user.service("/a").remove("docker-mcp-nas").await, Ok(false), "the other one has it too");
        assert_eq!(host(&user, "docker-mcp-nas").await.unwrap(), "ssh://ops@nas");
        assert_eq!(user.service("/b").made_for_us(), ["docker-mcp-nas"]);
        assert_eq!(user.service("/b").remove("docker-mcp-nas").await, Ok(true));
        assert_eq!(host(&user, "docker-mcp-nas").await, None);
    }

    #[tokio::test]
    async fn without_a_docker_client_there_are_none_and_that_is_said_once() {
        let dir = tempfile::tempdir().unwrap();
        let contexts = Contexts::with_client(dir.path(), vec!["/nonexistent/docker".to_owned()], None);
        assert_eq!(contexts.ensure(&wanted("ssh://nas")).await, Err(ContextError::NoClient));
        assert_eq!((contexts.first_word(), contexts.first_word()), (true, false));
    }
}
