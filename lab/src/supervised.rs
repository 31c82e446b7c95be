//! The agent that a server keeps running on its own host: which process it is now, whoever started it.

use crate::fleet::agent_pid;
use crate::state::State;
use crate::{process, wait_for};
use anyhow::{Context, Result};
use std::time::Duration;

/// Of a server's agent, below the server's own directory.
const AGENT_DIR: &str = "agent";
/// A server notices within this that its agent has ended.
const SUPERVISOR_LIMIT: Duration = Duration::from_secs(1);

/// Learns it from the agent's own directory, which lies below the server's: after a restart of the server it is no
/// child of the server's.
pub(crate) fn find_servers_agent(state: &mut State) {
    let Some(server) = &state.server else { return };
    let data_dir = server.data_dir.join(AGENT_DIR);
    let host = state.hosts.iter_mut().find(|host| host.netns == server.netns);
    if let Some(host) = host.filter(|_| data_dir.is_dir()) {
        host.admin_socket = data_dir.join("admin.sock");
        host.data_dir = data_dir;
        host.agent_pid = agent_pid(host);
        if process::is_alive(host.agent_pid) {
            host.argv = without_token(process::argv(host.agent_pid));
        }
    }
}

/// A host that has joined has its identity; nobody could feed it a token again.
fn without_token(argv: Vec<String>) -> Vec<String> {
    let at = argv.iter().position(|argument| argument == "--token-file");
    argv.iter()
        .enumerate()
        .filter(|(index, _)| at.is_none_or(|at| *index != at && *index != at + 1))
        .map(|(_, argument)| argument.clone())
        .collect()
}

pub(crate) fn is_servers_host(state: &State, who: &str) -> bool {
    let host = state.hosts.iter().find(|host| host.name == who);
    host.is_some_and(|host| state.server.as_ref().is_some_and(|server| server.netns == host.netns))
}

/// Waits for a moment whether the server starts its host's agent again.
pub(crate) fn supervised_again(state: &mut State) -> Result<()> {
    wait_for("the server starts an agent", SUPERVISOR_LIMIT, || {
        find_servers_agent(state);
        let server = state.server.as_ref().context("a server")?;
        let host = state.hosts.iter().find(|host| host.netns == server.netns).context("its host")?;
        Ok(process::is_alive(host.agent_pid).then_some(()))
    })
}
