//! Merging: flags over the project's file over the user's files over the environment over defaults.
//! Hosts merge by id; a higher file replaces the whole host.

use super::error::{ConfigError, ConfigFault};
use super::fields::{ListenHost, Port, WatchMode};
use super::read::read_file;
use super::schema::File;
use super::{Environment, places};
use crate::domain::host::{Endpoint, HostId, HostSpec};
use crate::domain::policy::ConfirmFallback;
use crate::domain::toolset::Offer;
use crate::runtime::telemetry::LogLevel;
use crate::transport::ssh::SshSettings;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// Where to look, and what flags said.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// The directory whose `config/hosts.yml` and `.env` are read; `None` reads neither, because
    /// whoever opens a foreign project must not thereby hand over their fleet.
    pub project: Option<PathBuf>,
    /// `--host`.
    pub host: Option<String>,
    /// `--port`.
    pub port: Option<String>,
    /// `--log-level`.
    pub log_level: Option<String>,
    /// `--toolsets` and its like.
    pub offer: Offer,
    /// `--ssh-config`: what ssh is told, and whose aliases are hosts to import.
    pub ssh: SshSettings,
    /// The process's environment.
    pub environment: Environment,
    /// Where Dockmaster keeps what a person said about these files: which contents are meant as they are,
    /// which projects are trusted, what removed hosts were held to. `None` keeps nothing.
    pub data_dir: Option<PathBuf>,
}

impl Sources {
    /// Every file that is read where it exists, the weakest first, by its absolute path.
    pub fn files(&self) -> Vec<PathBuf> {
        let files = places::candidates(self).into_iter();
        files.map(|path| std::path::absolute(&path).unwrap_or(path)).collect()
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A variable.
    Environment(&'static str),
    /// A file.
    File(PathBuf),
    /// A flag.
    Flag(&'static str),
    /// Found on this machine.
    Discovered,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Flag(flag) => f.write_str(flag),
            Self::Discovered => f.write_str("found on this machine"),
        }
    }
}

/// A value with where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

impl<T> Sourced<T> {
    fn default_of(value: T) -> Self {
        Self { value, origin: Origin::Default }
    }
}

/// Something that works but is hardly meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(pub String);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The merged configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The address to listen on.
    pub host: Sourced<IpAddr>,
    /// The port to listen on.
    pub port: Sourced<u16>,
    /// How much is logged.
    pub log_level: Sourced<LogLevel>,
    /// Names that HTTP requests may call this server by, beside addresses and localhost.
    pub allowed_hosts: Sourced<Vec<String>>,
    /// How changes of the files are noticed.
    pub watch: Sourced<WatchMode>,
    /// What becomes of calls that a person has to agree to where none can be asked.
    pub confirm_fallback: Sourced<ConfirmFallback>,
    /// The hosts by id.
    pub hosts: BTreeMap<HostId, Sourced<HostSpec>>,
    /// What an operator should look at.
    pub warnings: Vec<Warning>,
}

/// A file in its place: later ones count more.
struct Layer {
    path: PathBuf,
    file: File,
    /// Whether it came with a project, and not from the person who runs Dockmaster.
    of_project: bool,
}

/// Reads everything that `sources` names; all faults are told at once. A missing user or project file is
/// none; a file that was named and is missing is a fault.
pub fn load(sources: &Sources) -> Result<Settings, ConfigError> {
    let mut environment = sources.environment.clone();
    let (mut warnings, mut faults) = (Vec::new(), Vec::new());
    if let Some(project) = &sources.project {
        warnings.extend(environment.read_dot_env(&project.join(".env")).map(Warning));
    }
    warnings.extend(environment.unknown_variables().into_iter().map(Warning));

    let mut layers = Vec::new();
    for place in places::layers(sources, &environment) {
        match read_file(&place.path, &environment) {
            Ok(Some(reading)) => {
                warnings.extend(reading.warnings);
                layers.push(Layer { path: place.path, file: reading.file, of_project: place.of_project });
            }
            Ok(None) => faults
                .extend(place.named_by.map(|named_by| ConfigFault::Missing { path: place.path, named_by })),
            Err(found) => faults.extend(found),
        }
    }

    let mut settings = Settings {
        host: Sourced::default_of(IpAddr::from([127, 0, 0, 1])),
        port: Sourced::default_of(8000),
        log_level: Sourced::default_of(LogLevel::Info),
        allowed_hosts: Sourced::default_of(vec![]),
        watch: Sourced::default_of(WatchMode::default()),
        confirm_fallback: Sourced::default_of(ConfirmFallback::default()),
        hosts: BTreeMap::new(),
        warnings,
    };
    apply_environment(&mut settings, &environment, &mut faults);
    for layer in layers {
        apply_layer(&mut settings, layer);
    }
    apply_flags(&mut settings, sources, &mut faults);
    ConfigError::unless_none(faults)?;
    if settings.hosts.is_empty() {
        settings.hosts.extend(local_engine());
    }
    Ok(settings)
}

/// The engine of this machine, offered only while nothing else is configured: naming hosts is a
/// choice, and this machine may be none of them.
fn local_engine() -> Option<(HostId, Sourced<HostSpec>)> {
    let socket = crate::transport::local::find_socket()?;
    let id: HostId = HostSpec::LOCAL.parse().ok()?;
    let endpoint = Endpoint::Unix(socket);
    let spec = HostSpec {
        description: "the engine of this machine".to_owned(),
        ..HostSpec::new(id.clone(), endpoint)
    };
    Some((id, Sourced { value: spec, origin: Origin::Discovered }))
}

fn apply_environment(settings: &mut Settings, environment: &Environment, faults: &mut Vec<ConfigFault>) {
    let mut text = |names: &[&'static str]| {
        let set: Vec<_> = names.iter().filter_map(|name| Some((*name, environment.get(name)?))).collect();
        if let [(first, value), (second, other)] = set.as_slice()
            && value != other
        {
            settings.warnings.push(Warning(format!("{second} is set, but {first} has the last word")));
        }
        set.first().copied()
    };
    let [host, port, level, allowed, watch, fallback] = [
        text(&["DOCKMASTER_HOST", "FASTMCP_HOST"]),
        text(&["DOCKMASTER_PORT", "FASTMCP_PORT"]),
        text(&["DOCKMASTER_LOG_LEVEL", "LOG_LEVEL"]),
        text(&["DOCKMASTER_ALLOWED_HOSTS"]),
        text(&["DOCKMASTER_WATCH"]),
        text(&["DOCKMASTER_CONFIRM_FALLBACK"]),
    ];
    set_parsed(&mut settings.host, host, faults, |text| text.parse::<ListenHost>().map(|host| host.0));
    set_parsed(&mut settings.port, port, faults, |text| text.parse::<Port>().map(|port| port.0));
    set_parsed(&mut settings.log_level, level, faults, |text| {
        text.parse::<LogLevel>().map_err(|error| error.to_string())
    });
    set_parsed(&mut settings.allowed_hosts, allowed, faults, |text| {
        Ok(text.split(',').map(|name| name.trim().to_owned()).collect())
    });
    set_parsed(&mut settings.watch, watch, faults, |text| {
        text.parse().map_err(|_| "write auto or poll".to_owned())
    });
    let of_project = environment.is_from_dot_env("DOCKMASTER_CONFIRM_FALLBACK");
    set_parsed(&mut settings.confirm_fallback, fallback, faults, |text| {
        let said: ConfirmFallback = text.parse().map_err(|_| "write plan, deny or allow".to_owned())?;
        Ok(if of_project { said.max(ConfirmFallback::default()) } else { said })
    });
}

fn set_parsed<T>(
    setting: &mut Sourced<T>,
    variable: Option<(&'static str, &str)>,
    faults: &mut Vec<ConfigFault>,
    parse: impl Fn(&str) -> Result<T, String>,
) {
    let Some((name, text)) = variable else { return };
    match parse(text) {
        Ok(value) => *setting = Sourced { value, origin: Origin::Environment(name) },
        Err(why) => faults.push(ConfigFault::Value { name, value: text.to_owned(), why }),
    }
}

fn apply_layer(settings: &mut Settings, Layer { path, file, of_project }: Layer) {
    let origin = Origin::File(path);
    let below: Vec<HostSpec> = settings.hosts.values().map(|host| host.value.clone()).collect();
    for (id, mut spec) in file.hosts.unwrap_or_default().0 {
        // What came with a project may hold a host back, and never let it go further, whatever it calls it.
        if of_project {
            let place = spec.endpoint.place();
            for same in below.iter().filter(|other| other.id == id || other.endpoint.place() == place) {
                spec.policy = spec.policy.max(same.policy);
                spec.protected.extend(same.protected.iter().cloned());
            }
        }
        settings.hosts.insert(id, Sourced { value: spec, origin: origin.clone() });
    }
    let Some(server) = file.server else { return };
    let warnings = &mut settings.warnings;
    replace(&mut settings.host, server.host.map(|host| host.0), &origin, warnings);
    replace(&mut settings.port, server.port.map(|port| port.0), &origin, warnings);
    replace(&mut settings.log_level, server.log_level, &origin, warnings);
    replace(&mut settings.allowed_hosts, server.allowed_hosts, &origin, warnings);
    replace(&mut settings.watch, server.watch, &origin, warnings);
    let known = settings.confirm_fallback.value;
    let fallback = server.confirm_fallback.map(|said| if of_project { said.max(known) } else { said });
    replace(&mut settings.confirm_fallback, fallback, &origin, warnings);
}

/// Sets a value from a file, and says so when that hides a variable somebody set.
fn replace<T: PartialEq>(
    setting: &mut Sourced<T>,
    value: Option<T>,
    origin: &Origin,
    warnings: &mut Vec<Warning>,
) {
    let Some(value) = value else { return };
    if let Origin::Environment(name) = setting.origin
        && setting.value != value
    {
        warnings.push(Warning(format!("{name} is set, but {origin} has the last word")));
    }
    *setting = Sourced { value, origin: origin.clone() };
}

fn apply_flags(settings: &mut Settings, sources: &Sources, faults: &mut Vec<ConfigFault>) {
    let mut parsed =
        |name, text: Option<&String>, parse: &dyn Fn(&str, &mut Settings) -> Result<(), String>| {
            let Some(text) = text else { return };
            if let Err(why) = parse(text, settings) {
                faults.push(ConfigFault::Value { name, value: text.clone(), why });
            }
        };
    parsed("--host", sources.host.as_ref(), &|text, settings| {
        let value = text.parse::<ListenHost>()?.0;
        settings.host = Sourced { value, origin: Origin::Flag("--host") };
        Ok(())
    });
    parsed("--port", sources.port.as_ref(), &|text, settings| {
        // Port 0 lets the system choose; only a flag can say so.
        let value = if text == "0" { 0 } else { text.parse::<Port>()?.0 };
        settings.port = Sourced { value, origin: Origin::Flag("--port") };
        Ok(())
    });
    parsed("--log-level", sources.log_level.as_ref(), &|text, settings| {
        let value = text.parse::<LogLevel>().map_err(|error| error.to_string())?;
        settings.log_level = Sourced { value, origin: Origin::Flag("--log-level") };
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::Policy;

    /// A machine with these files below one directory, which is its home and its project.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new(files: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = dir.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Self(dir)
        }

        fn load(&self, change: impl FnOnce(&mut Sources)) -> Result<Settings, String> {
            let home = self.0.path().to_str().unwrap();
            let mut sources = Sources {
                project: Some(self.0.path().to_owned()),
                environment: Environment::of([("HOME", home)]),
                ..Sources::default()
            };
            change(&mut sources);
            load(&sources).map_err(|error| error.to_string().replace(home, "~"))
        }
    }

    #[track_caller]
    fn fault(yaml: &str, parts: &[&str]) {
        let machine = Machine::new(&[("config/hosts.yml", yaml)]);
        let error = machine.load(|_| {}).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in:\n{error}");
        }
    }

    #[test]
    fn s1_defaults_hold_where_nobody_says_anything() {
        let settings = Machine::new(&[]).load(|_| {}).unwrap();
        assert_eq!((settings.host.value.to_string().as_str(), settings.port.value), ("127.0.0.1", 8000));
        assert_eq!((settings.log_level.value, settings.log_level.origin), (LogLevel::Info, Origin::Default));
    }

    #[test]
    fn what_came_with_a_project_asks_no_less_than_the_person_wants() {
        let machine = Machine::new(&[(".env", "DOCKMASTER_CONFIRM_FALLBACK=allow\n")]);
        let found = machine.load(|sources| {
            sources.environment.read_dot_env(&machine.0.path().join(".env"));
        });
        assert_eq!(found.unwrap().confirm_fallback.value, ConfirmFallback::Plan);
        let file = "server: {confirm_fallback: allow}";
        let found = Machine::new(&[("config/hosts.yml", file)]).load(|_| {});
        assert_eq!(found.unwrap().confirm_fallback.value, ConfirmFallback::Plan);
        let file = "server: {confirm_fallback: deny}";
        let found = Machine::new(&[("config/hosts.yml", file)]).load(|_| {});
        assert_eq!(found.unwrap().confirm_fallback.value, ConfirmFallback::Deny);
    }

    #[test]
    fn s2_flags_beat_the_project_which_beats_the_user_which_beats_the_environment() {
        let machine = Machine::new(&[
            ("config/hosts.yml", "server: {port: 3}\nhosts: {nas: {hostname: project, user: a}}"),
            (
                ".config/dockmaster/hosts.yml",
                "server: {port: 2, log_level: debug}\nhosts: {nas: {hostname: user, user: a, port: 9}, edge: {hostname: e, user: a}}",
            ),
            (
                ".config/docker-mcp/hosts.yml",
                "server: {port: 1}\nhosts: {edge: {hostname: old, user: a}, older: {hostname: o, user: a}}",
            ),
        ]);
        let env = |sources: &mut Sources| {
            let home = sources.environment.get("HOME").unwrap().to_owned();
            sources.environment = Environment::of([
                ("HOME", home.as_str()),
                ("FASTMCP_PORT", "7"),
                ("FASTMCP_HOST", "::1"),
                ("LOG_LEVEL", "error"),
            ]);
        };
        let settings = machine.load(env).unwrap();
        assert_eq!(settings.port.value, 3);
        assert_eq!(settings.log_level.value, LogLevel::Debug);
        assert_eq!(
            (settings.host.value.to_string().as_str(), &settings.host.origin),
            ("::1", &Origin::Environment("FASTMCP_HOST"))
        );
        let urls: Vec<String> = settings.hosts.values().map(|host| host.value.endpoint.url()).collect();
        // The project's nas replaces the user's as a whole, its port included.
        assert_eq!(urls, ["ssh://a@e", "ssh://a@project", "ssh://a@o"]);
        assert!(
            settings.warnings.iter().any(|warning| warning.0.contains("FASTMCP_PORT")),
            "{:?}",
            settings.warnings
        );

        let settings = machine.load(|sources| sources.port = Some("4".into())).unwrap();
        assert_eq!((settings.port.value, settings.port.origin), (4, Origin::Flag("--port")));
    }

    #[test]
    fn s2_a_named_file_takes_the_projects_place_and_must_exist() {
        let machine = Machine::new(&[
            ("config/hosts.yml", "hosts: {nas: {hostname: project, user: a}}"),
            ("other.yml", "hosts: {vps: {hostname: v, user: a}}"),
        ]);
        let other = machine.0.path().join("other.yml");
        let settings = machine.load(|sources| sources.config = Some(other)).unwrap();
        assert_eq!(settings.hosts.keys().map(HostId::as_str).collect::<Vec<_>>(), ["vps"]);
        let error = machine.load(|sources| sources.config = Some("/none.yml".into())).unwrap_err();
        assert!(error.contains("--config names /none.yml, which does not exist"), "{error}");
    }

    #[test]
    fn a_project_holds_hosts_back_and_never_lets_them_go_further() {
        let machine = Machine::new(&[
            (
                ".config/dockmaster/hosts.yml",
                "hosts: {nas: {hostname: 10.0.0.2, policy: ro}, pi: {hostname: p}}",
            ),
            (
                "config/hosts.yml",
                "hosts: {nas: {hostname: elsewhere}, again: {hostname: 10.0.0.2}, pi: {hostname: p, policy: ro}}",
            ),
        ]);
        let settings = machine.load(|_| {}).unwrap();
        let policies: Vec<Policy> = settings.hosts.values().map(|host| host.value.policy).collect();
        assert_eq!(policies, [Policy::ReadOnly; 3], "again, nas, pi");
    }

    #[test]
    fn s1_unknown_keys_are_ignored_with_the_nearest_known_one() {
        let machine = Machine::new(&[(
            "config/hosts.yml",
            "hosts: {nas: {hostname: n, user: a, descripton: x}}\nsever: {}",
        )]);
        let warnings = machine.load(|_| {}).unwrap().warnings;
        let text = format!("{warnings:?}");
        assert!(text.contains("hosts.nas.descripton") && text.contains("description"), "{text}");
        assert!(text.contains("sever is unknown") && text.contains("server"), "{text}");
    }

    #[test]
    fn the_predecessors_file_loads_unchanged() {
        let yaml = "# my hosts\nhosts:\n  production-1:\n    hostname: 10.0.0.5\n    user: dockeruser\n    port: 22\n    identity_file: ~/.ssh/id_ed25519\n    description: \"Main: server\"\n    tags: [\"production\"]\n    docker_context: prod\n    compose_path: /opt/compose\n    appdata_path: \"\"\n    enabled: false\nserver:\n  host: localhost\n  max_connections: 10\ntransfer:\n  method: ssh\n";
        let settings = Machine::new(&[("config/hosts.yml", yaml)]).load(|_| {}).unwrap();
        assert_eq!(settings.warnings, []);
        let host = &settings.hosts.values().next().unwrap().value;
        assert_eq!((host.context_name().as_str(), host.enabled), ("prod", false));
        assert_eq!(
            (host.compose_path.as_deref(), host.appdata_path.as_deref()),
            (Some("/opt/compose"), None)
        );
    }

    #[test]
    fn faults_carry_line_column_the_line_and_what_to_write() {
        fault(
            "hosts:\n  nas:\n    hostname: n\n    port: 70000\n",
            &["~/config/hosts.yml:4:", "port: 70000", "1 to 65535", "^"],
        );
        fault(
            "hosts:\n  off:\n    hostname: n\n",
            &["hosts.yml:2:", "host id \"off\"", "starting with a letter"],
        );
        fault("hosts:\n  nas: {hostname: a}\n  nas: {hostname: b}\n", &["twice"]);
        fault("hosts:\n  nas:\n    hostnme: a\n", &["needs a hostname", "Did you mean \"hostname\"?"]);
        fault("hosts:\n  nas:\n    hostname: -oProxyCommand=x\n", &["hosts.yml:3:", "is not valid"]);
        fault("hosts:\n\tnas: 1\n", &["hosts.yml:2:"]);
        fault("hosts: [a, b]\n", &["a mapping from names to hosts"]);
        fault("just text\n", &["hosts.yml"]);
        fault("hosts:\n  nas:\n    hostname: n\n    compose_path: ../x\n", &["absolute path"]);
    }

    #[test]
    fn what_cannot_be_read_is_told_and_an_empty_file_is_none() {
        let machine = Machine::new(&[("config/hosts.yml/x", "")]);
        assert!(machine.load(|_| {}).unwrap_err().contains("it is no file"));
        let machine = Machine::new(&[("config/hosts.yml", "# nothing yet\n")]);
        assert!(machine.load(|_| {}).is_ok());
        let machine = Machine::new(&[]);
        let path = machine.0.path().join("latin1.yml");
        std::fs::write(&path, b"hosts: {}\n# gr\xfc\xdfe\n").unwrap();
        assert!(
            machine.load(|sources| sources.config = Some(path)).unwrap_err().contains("line 2 is not UTF-8")
        );
    }
}
