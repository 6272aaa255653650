//! `dockmaster config`: the files, looked at without running the service.

use super::{EXIT_CONFIG, refuse};
use crate::config::{ConfigError, Sources, Warning, confirm, json_schema, load, show, trust};
use crate::runtime::dirs::DirError;
use clap::Subcommand;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print every value with where it comes from
    Show,
    /// Say whether the configuration can be used: exit code 0, or 78 with everything to change
    Check {
        /// Take a warning, such as an unknown key, for a fault
        #[arg(long)]
        strict: bool,
    },
    /// Print the JSON Schema of a hosts file, for editors
    Schema,
    /// Print the files that are looked at, the one that counts most first
    Path,
    /// Confirm the files as they are: a running service then believes that hosts are gone
    Confirm,
    /// Trust a project: `dockmaster stdio` started there reads its config/hosts.yml and .env
    Trust {
        /// The project's directory
        #[arg(value_name = "DIR", required_unless_present = "list")]
        directory: Option<PathBuf>,
        /// Trust it no longer
        #[arg(long)]
        remove: bool,
        /// Print the trusted projects
        #[arg(long, conflicts_with_all = ["directory", "remove"])]
        list: bool,
    },
}

impl ConfigCommand {
    #[expect(clippy::print_stdout, reason = "the command's answer")]
    pub(super) fn run(self, sources: &Sources) -> ExitCode {
        match self {
            Self::Show => match checked(sources) {
                Ok((settings, _)) => print!("{}", show::values(&settings)),
                Err(error) => return refuse(&error, EXIT_CONFIG),
            },
            Self::Check { strict } => match checked(sources) {
                Ok((_, warnings)) if strict && warnings > 0 => return ExitCode::from(EXIT_CONFIG),
                Ok((settings, _)) => println!("{} hosts", settings.hosts.len()),
                Err(error) => return refuse(&error, EXIT_CONFIG),
            },
            Self::Schema => println!("{:#}", json_schema()),
            Self::Path => print!("{}", show::files(sources)),
            Self::Confirm => match confirm::confirm(sources) {
                Ok(_) if sources.data_dir.is_none() => return refuse(&DirError::NoHome, 1),
                Ok(files) => {
                    for file in files {
                        println!("confirmed {}", file.display());
                    }
                }
                Err(error) => return refuse(&error, 1),
            },
            Self::Trust { directory, remove, .. } => return trust(sources, directory, !remove),
        }
        ExitCode::SUCCESS
    }
}

/// The settings and how many warnings there are, which are printed.
#[expect(clippy::print_stderr, reason = "the command's answer")]
fn checked(sources: &Sources) -> Result<(crate::config::Settings, usize), ConfigError> {
    let settings = load(sources)?;
    for Warning(warning) in &settings.warnings {
        eprintln!("warning: {warning}");
    }
    let warnings = settings.warnings.len();
    Ok((settings, warnings))
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn trust(sources: &Sources, directory: Option<PathBuf>, wanted: bool) -> ExitCode {
    let Some(data_dir) = &sources.data_dir else { return refuse(&DirError::NoHome, 1) };
    let Some(directory) = directory else {
        for project in trust::trusted(data_dir) {
            println!("{}", project.display());
        }
        return ExitCode::SUCCESS;
    };
    match trust::set_trusted(data_dir, &directory, wanted) {
        Ok(project) => {
            println!("{} {}", if wanted { "trusted" } else { "no longer trusted" }, project.display());
            ExitCode::SUCCESS
        }
        Err(error) => refuse(&error, 1),
    }
}

/// The open project, when its owner trusts it; says so when it has files that are therefore not read.
#[expect(clippy::print_stderr, reason = "the log does not run yet")]
pub(super) fn trusted_project(sources: &Sources) -> Option<PathBuf> {
    let project = sources.project.clone()?;
    if sources.data_dir.as_ref().is_some_and(|data_dir| trust::is_trusted(data_dir, &project)) {
        return Some(project);
    }
    if sources.config.is_none() && project.join("config/hosts.yml").exists() {
        let project = project.display();
        eprintln!(
            "dockmaster: {project}/config/hosts.yml is not read, because the project is not trusted; dockmaster config trust {project} changes that"
        );
    }
    None
}
