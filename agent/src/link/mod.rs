//! The agent's end of `remuda.v1.AgentLink`: it always dials, over TLS that proves both sides.
//!
//! [`token`] and [`tls`] decide whom to trust, [`mod@identity`] joins and renews, [`report`] tells what this host
//! observes, [`orders`] does what a waiting user asked for, answered by a [`session`]. Assignments are followed in
//! [`crate::source::stream`]. All share one HTTP/2 connection, which heals itself.

mod identity;
mod orders;
mod report;
mod session;
mod tls;
mod token;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;

use crate::agent::Agent;
use crate::facts::Host;
use crate::problems::Problems;
use crate::source::{Assignments, stream};

pub use identity::Identity;
pub use token::{Token, TokenError};

/// The generated client.
pub(crate) mod client {
    include!(concat!(env!("OUT_DIR"), "/remuda.v1.AgentLink.rs"));
    pub(crate) use agent_link_client::AgentLinkClient;
}

/// The client over our healing connection.
pub(crate) type Client = client::AgentLinkClient<tonic::transport::Channel>;

/// This host's identity: the one it has, renewed if it expired, or a new one by joining with the token.
pub(crate) async fn identity(host: &Host, server: &str, token_file: Option<&Path>) -> anyhow::Result<Arc<Identity>> {
    let options = &host.options;
    if let Some(identity) = Identity::load(&options.data_dir, server).context("read this host's identity")? {
        return Ok(Arc::new(identity));
    }
    let token_file = token_file.with_context(|| {
        format!(
            "this host has no identity in {} yet: make a token with `remuda token create` and give it with \
             `--token-file FILE` (`-` = standard input)",
            options.data_dir.display()
        )
    })?;
    let token = token::read(token_file).with_context(|| format!("read the token in {}", token_file.display()))?;
    let joined = identity::join(options, host.facts(), server, &token).await;
    Ok(Arc::new(joined.with_context(|| format!("join the fleet at {server}"))?))
}

/// Follows the orchestrator's assignments, beginning with the one stored here.
pub(crate) fn assignments(host: &Host, identity: &Arc<Identity>, problems: Problems) -> anyhow::Result<Assignments> {
    Ok(stream::follow(host, identity.clone(), problems)?)
}

/// Starts what needs the running agent: reports, orders, renewal.
pub(crate) fn spawn(tasks: &mut JoinSet<()>, host: &Host, identity: Arc<Identity>, agent: &Agent) {
    tasks.spawn(report::run(identity.clone(), agent.clone(), host.clone()));
    tasks.spawn(orders::run(identity.clone(), agent.clone()));
    tasks.spawn(identity.renew_in_time(agent.parts.problems.clone()));
}

/// Waits between attempts to reach the orchestrator: short enough for a restart to be unnoticed.
#[derive(Default)]
pub(crate) struct Patience {
    failures: u32,
}

impl Patience {
    const FIRST_MS: u64 = 50;
    /// A host whose link is back shall be ready within 2 s: this, a SYN of up to a second, and a report.
    const LONGEST_MS: u64 = 500;

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    pub(crate) async fn wait(&mut self) {
        let doubled = Self::FIRST_MS << self.failures.min(10);
        self.failures = self.failures.saturating_add(1);
        // Half of it by chance, so that a fleet does not come back in one beat.
        let wait_ms = doubled.min(Self::LONGEST_MS);
        let wait_ms = wait_ms / 2 + rand::random_range(0..=wait_ms / 2);
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    }

    /// As [`Patience::wait`], but over when other hosts are heard again after silence.
    pub(crate) async fn wait_or_back(&mut self, identity: &Identity) {
        let is_back = identity.is_back();
        tokio::select! {
            () = self.wait() => {}
            () = is_back.notified() => self.succeeded(),
        }
    }
}

/// A refusal or failure in words, with every cause that says something.
pub(crate) fn words(status: &tonic::Status) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut cause: Option<&dyn std::error::Error> = None;
    let mut text = status.message().to_owned();
    loop {
        let plain = plain(&text);
        if !plain.is_empty() && !parts.iter().any(|part| part.contains(plain)) {
            parts.push(plain.to_owned());
        }
        cause = match cause {
            None => std::error::Error::source(status),
            Some(cause) => cause.source(),
        };
        let Some(deeper) = cause else { break };
        text = deeper.to_string();
    }
    if parts.is_empty() { status.code().description().to_owned() } else { parts.join(": ") }
}

/// Without what the libraries add for programmers: a manual's address, and that an error is one.
fn plain(text: &str) -> &str {
    let text = text.split(": https://").next().unwrap_or(text);
    let text = text.strip_prefix("unexpected error: ").unwrap_or(text);
    if matches!(text, "transport error" | "tcp connect error") { "" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_reads_without_the_libraries_own_words() {
        let status = tonic::Status::unavailable("unexpected error: this is not the server of our fleet");
        assert_eq!(words(&status), "this is not the server of our fleet");
        assert_eq!(words(&tonic::Status::unavailable("transport error")), "The service is currently unavailable");
    }
}
