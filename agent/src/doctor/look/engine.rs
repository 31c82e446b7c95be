//! Asks the engine what it is, within a limit of time.

use std::path::Path;
use std::time::Duration;

use bollard::models::{LocalNodeState, SystemInfo};
use bollard::{API_DEFAULT_VERSION, Docker};

use crate::doctor::engine::{Engine, Facts};

/// Where Docker listens unless it was told otherwise.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// An engine that lives answers in milliseconds; one that hangs is said to hang.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

pub(super) async fn look(socket: Option<&Path>) -> Facts {
    let Some(socket) = socket else { return Facts::default() };
    // An agent looks there without being told; that nothing is there is no trouble.
    if socket == Path::new(DEFAULT_SOCKET) && !socket.exists() {
        return Facts::default();
    }
    let engine = match tokio::time::timeout(ANSWER_LIMIT, ask(socket)).await {
        Ok(answer) => answer.map_err(|error| words(&error)),
        Err(_) => Err(format!("no answer within {} s", ANSWER_LIMIT.as_secs())),
    };
    Facts { socket: Some(socket.display().to_string()), engine: Some(engine) }
}

async fn ask(socket: &Path) -> Result<Engine, bollard::errors::Error> {
    let address = socket.to_string_lossy();
    let docker = Docker::connect_with_unix(&address, ANSWER_LIMIT.as_secs(), API_DEFAULT_VERSION)?;
    let docker = docker.negotiate_version().await?;
    let (version, info) = tokio::try_join!(docker.version(), docker.info())?;
    let text = |value: Option<String>| value.unwrap_or_default();
    let swarm = info.swarm.as_ref().and_then(|swarm| swarm.local_node_state);
    Ok(Engine {
        version: text(version.version),
        api: text(version.api_version),
        has_live_restore: info.live_restore_enabled.unwrap_or(false),
        storage_driver: text(info.driver.clone()),
        cgroup_driver: info.cgroup_driver.map(|driver| driver.to_string()).unwrap_or_default(),
        cgroup_version: info.cgroup_version.map(|version| version.to_string()).unwrap_or_default(),
        is_swarm: matches!(swarm, Some(LocalNodeState::ACTIVE | LocalNodeState::PENDING | LocalNodeState::LOCKED)),
        security: security(&info),
        warnings: info.warnings.unwrap_or_default(),
    })
}

fn security(info: &SystemInfo) -> Vec<String> {
    info.security_options.clone().unwrap_or_default()
}

/// The innermost cause: what stands before it says only that something failed.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
