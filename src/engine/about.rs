//! What an engine tells about itself and its machine.

use super::{Engine, EngineError};
use bollard::models::SystemInfo;

/// An engine and its machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineDetail {
    /// The machine's own name.
    pub name: String,
    /// Such as `Debian GNU/Linux 12 (bookworm)`.
    pub os: String,
    /// The kernel's version.
    pub kernel: String,
    /// Such as `x86_64`.
    pub arch: String,
    /// Processors.
    pub cpus: u64,
    /// Bytes.
    pub memory: u64,
    /// Such as `overlay2`.
    pub storage_driver: String,
    /// The directory in which it keeps everything.
    pub root_dir: String,
    /// Where containers' logs go when they do not say.
    pub log_driver: String,
    /// Whether it belongs to a swarm.
    pub swarm: bool,
    /// Whether it runs without root's powers.
    pub rootless: bool,
    /// Containers by what they do.
    pub containers: Containers,
    /// Images, intermediate layers included.
    pub images: u64,
    /// What it warns of.
    pub warnings: Vec<String>,
}

/// How many containers there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Containers {
    /// That run.
    pub running: u64,
    /// That are paused.
    pub paused: u64,
    /// That do not run.
    pub stopped: u64,
}

impl Engine {
    /// The engine and its machine: one request.
    pub async fn about(&self) -> Result<EngineDetail, EngineError> {
        Ok(self.docker.info().await?.into())
    }
}

impl From<SystemInfo> for EngineDetail {
    fn from(told: SystemInfo) -> Self {
        let count =
            |number: Option<i64>| number.and_then(|number| number.try_into().ok()).unwrap_or_default();
        let swarm = told.swarm.and_then(|swarm| swarm.local_node_state).map(|state| state.to_string());
        let options = told.security_options.unwrap_or_default();
        Self {
            name: told.name.unwrap_or_default(),
            os: told.operating_system.unwrap_or_default(),
            kernel: told.kernel_version.unwrap_or_default(),
            arch: told.architecture.unwrap_or_default(),
            cpus: count(told.ncpu),
            memory: count(told.mem_total),
            storage_driver: told.driver.unwrap_or_default(),
            root_dir: told.docker_root_dir.unwrap_or_default(),
            log_driver: told.logging_driver.unwrap_or_default(),
            swarm: swarm.is_some_and(|state| !matches!(state.as_str(), "" | "inactive")),
            rootless: options.iter().any(|option| option.split(',').any(|word| word == "name=rootless")),
            containers: Containers {
                running: count(told.containers_running),
                paused: count(told.containers_paused),
                stopped: count(told.containers_stopped),
            },
            images: count(told.images),
            warnings: told.warnings.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_from_the_words_of_the_engine() {
        let told = |json: serde_json::Value| {
            EngineDetail::from(serde_json::from_value::<SystemInfo>(json).expect("an answer"))
        };
        let plain = told(serde_json::json!({
            "Swarm": {"LocalNodeState": "inactive"}, "SecurityOptions": ["name=seccomp,profile=rootless"],
            "NCPU": 4, "MemTotal": -1,
        }));
        assert_eq!((plain.swarm, plain.rootless, plain.cpus, plain.memory), (false, false, 4, 0));
        let other = told(serde_json::json!({
            "Swarm": {"LocalNodeState": "active"}, "SecurityOptions": ["name=seccomp", "name=rootless"],
        }));
        assert!(other.swarm && other.rootless);
        assert_eq!(told(serde_json::json!({})), EngineDetail::default());
    }
}
