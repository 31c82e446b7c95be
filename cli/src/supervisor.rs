//! The agent beside the server: a process of its own that outlives the server and is never there twice.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use remuda_api::resource::{TokenCreate, TokenCreated};
use reqwest::Method;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::client::{Client, Refusal};
use crate::failure::{Context, Failure};

/// The agent holds a lock on this file of its data directory as long as it runs.
const LOCK_FILE: &str = "agent.pid";
/// The agent writes this when it has joined.
const JOINED_FILE: &str = "agent.node";
/// First pause before an agent that died is started again: well under the second that is promised.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Last pause: an agent that cannot start says why every few seconds, not every moment.
const PAUSE_LAST: Duration = Duration::from_secs(5);
/// An agent that ran for this long was well: the next death is a new one.
const WELL_AFTER: Duration = Duration::from_secs(30);
/// How a supervisor tells a program where it wants to hear of it (sd_notify(3), sd_watchdog_enabled(3)).
const SUPERVISORS: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];
/// The token is used at once.
const TOKEN_TTL_S: u64 = 60;

pub struct Supervisor {
    pub program: PathBuf,
    /// Everything after `agent`, but for the token.
    pub arguments: Vec<String>,
    /// The agent's own.
    pub data_dir: PathBuf,
    /// For a join token, as long as the agent has not joined.
    pub client: Client,
}

impl Supervisor {
    /// Keeps one agent running until it ends by itself without an error: then somebody asked it to.
    pub async fn keep(self) {
        let mut pause = PAUSE_FIRST;
        loop {
            let was_member = self.is_member();
            if let Err(error) = other_agent_ended(&self.data_dir).await {
                tracing::warn!("cannot see whether an agent runs already: {error}");
            }
            if was_member && !self.is_member() {
                return tracing::info!("this host has left the fleet: its agent is not started again");
            }
            let started = Instant::now();
            match self.run_once().await {
                Ok(status) if status.success() => {
                    return tracing::info!("the agent of this host was asked to end: it is not started again");
                }
                Ok(status) => tracing::warn!("the agent of this host ended ({status}): starting it again"),
                Err(failure) => tracing::error!("the agent of this host does not start: {failure}"),
            }
            if started.elapsed() > WELL_AFTER {
                pause = PAUSE_FIRST;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_LAST);
        }
    }

    /// Has joined, and has not left.
    fn is_member(&self) -> bool {
        self.data_dir.join(JOINED_FILE).exists()
    }

    async fn run_once(&self) -> Result<ExitStatus, Failure> {
        let token = match self.is_member() {
            true => None,
            false => Some(self.token().await?),
        };
        let mut child = self.spawn(token.is_some())?;
        if let (Some(token), Some(mut stdin)) = (token, child.stdin.take()) {
            stdin.write_all(format!("{token}\n").as_bytes()).await.cannot("give the agent its token")?;
        }
        child.wait().await.cannot("wait for the agent")
    }

    async fn token(&self) -> Result<String, Failure> {
        let wish = TokenCreate { uses: 1, ttl_s: TOKEN_TTL_S };
        let created: TokenCreated =
            self.client.send(Method::POST, &["tokens"], &wish).await.map_err(Refusal::into_failure)?;
        Ok(created.token)
    }

    /// In a process group of its own, so that Ctrl-C at the server's terminal is not meant for it.
    fn spawn(&self, with_token: bool) -> Result<Child, Failure> {
        let mut command = Command::new(&self.program);
        command.arg("agent").args(&self.arguments).stdout(Stdio::null()).process_group(0);
        // Who supervises the server hears of the server: this agent is looked after here.
        for variable in SUPERVISORS {
            command.env_remove(variable);
        }
        match with_token {
            true => command.args(["--token-file", "-"]).stdin(Stdio::piped()),
            false => command.stdin(Stdio::null()),
        };
        command.spawn().cannot(format!("start {} agent", self.program.display()))
    }
}

/// Returns when no agent has this data directory; at once if none has.
async fn other_agent_ended(data_dir: &Path) -> io::Result<()> {
    let path = data_dir.join(LOCK_FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let file = match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_) => return Ok(()),
        Err((file, Errno::EWOULDBLOCK)) => file,
        Err((_, error)) => return Err(error.into()),
    };
    let pid = std::fs::read_to_string(&path).unwrap_or_default();
    tracing::info!("the agent of this host runs already (process {}): it goes on", pid.trim());
    // A lock is granted the moment its holder dies, whoever its parent was.
    let waited = tokio::task::spawn_blocking(move || Flock::lock(file, FlockArg::LockShared).map(drop)).await;
    tracing::warn!("the agent of this host has ended");
    waited.map_err(io::Error::other)?.map_err(|(_, error)| error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("remuda-supervisor-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[tokio::test]
    async fn without_another_agent_there_is_nothing_to_wait_for() {
        let folder = folder("free");
        other_agent_ended(&folder).await.expect("no lock file yet");
        std::fs::write(folder.join(LOCK_FILE), "7\n").expect("written");
        other_agent_ended(&folder).await.expect("nobody holds it");
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_agent_that_runs_is_waited_for_until_it_lets_go() {
        let folder = folder("held");
        let file = File::create(folder.join(LOCK_FILE)).expect("created");
        let held = Flock::lock(file, FlockArg::LockExclusive).expect("free");
        let waiting = tokio::spawn({
            let folder = folder.clone();
            async move { other_agent_ended(&folder).await }
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(50), async {
                while !waiting.is_finished() {
                    tokio::task::yield_now().await
                }
            })
            .await
            .is_err()
        );
        drop(held);
        waiting.await.expect("no panic").expect("granted");
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
