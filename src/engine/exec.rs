//! Commands inside containers.

use super::{Engine, EngineError};
use crate::domain::output::Stream as Side;
use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};

/// A command for a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecSpec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// As which user; the container's own when nothing is said.
    pub user: Option<String>,
    /// Where; the container's own directory when nothing is said.
    pub workdir: Option<String>,
    /// `KEY=VALUE`, beside the container's own.
    pub env: Vec<String>,
}

/// How a command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecState {
    /// Whether it runs.
    pub running: bool,
    /// How it ended.
    pub exit_code: Option<i64>,
}

impl ExecState {
    /// Whether it has run and ended: one that has yet to begin does not run either, and has no exit code.
    pub fn has_ended(self) -> bool {
        !self.running && self.exit_code.is_some()
    }
}

/// What a command prints, piece by piece.
pub type Printed = BoxStream<'static, Result<(Side, Bytes), EngineError>>;

impl Engine {
    /// Prepares a command in a running container; returns the name by which it is started.
    pub async fn prepare_exec(&self, container: &str, spec: ExecSpec) -> Result<String, EngineError> {
        let ExecSpec { command, user, workdir, env } = spec;
        let config = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command),
            user,
            working_dir: workdir,
            env: Some(env),
            ..ExecConfig::default()
        };
        Ok(self.docker.create_exec(container, config).await?.id)
    }

    /// Starts a prepared command; it goes on when nobody listens any more.
    pub async fn start_exec(&self, exec: &str) -> Result<Printed, EngineError> {
        let options = StartExecOptions::default();
        match self.docker.start_exec(exec, Some(options)).await? {
            StartExecResults::Attached { output, .. } => {
                let piece = |printed| match printed {
                    LogOutput::StdErr { message } => (Side::Err, message),
                    LogOutput::StdOut { message }
                    | LogOutput::StdIn { message }
                    | LogOutput::Console { message } => (Side::Out, message),
                };
                Ok(output.map_ok(piece).map_err(EngineError::from).boxed())
            }
            StartExecResults::Detached => Ok(futures_util::stream::empty().boxed()),
        }
    }

    /// How a started command stands.
    pub async fn exec_state(&self, exec: &str) -> Result<ExecState, EngineError> {
        let found = self.docker.inspect_exec(exec).await?;
        Ok(ExecState { running: found.running.unwrap_or_default(), exit_code: found.exit_code })
    }
}
