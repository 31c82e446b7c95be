//! The agent that runs here, asked over its admin socket, and its server, greeted over TCP and no further.

use std::path::Path;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::admin;
use crate::doctor::fleet::{Agent, Facts};

/// An agent that lives answers at once.
const AGENT_LIMIT: Duration = Duration::from_secs(2);
/// A server may be on another continent; a SYN that is lost is sent again after a second.
const SERVER_LIMIT: Duration = Duration::from_secs(3);

/// Also the agent's assignment, null where there is none.
pub(super) async fn look(data_dir: &Path) -> (Facts, Value) {
    let status = ask(data_dir, "status").await;
    let assignment = match &status {
        Some(_) => ask(data_dir, "assignment").await.map(|mut answer| answer["assignment"].take()),
        None => None,
    };
    let server = match server_of(data_dir) {
        Some(address) if status.is_some() => {
            let outcome = reach(&address).await;
            Some((address, outcome))
        }
        _ => None,
    };
    let facts = Facts {
        data_dir: data_dir.display().to_string(),
        is_member: data_dir.join("agent.node").exists(),
        agent: status.as_ref().map(agent),
        certificate_end_s: certificate_end_s(data_dir),
        server,
    };
    (facts, assignment.unwrap_or_default())
}

async fn ask(data_dir: &Path, what: &str) -> Option<Value> {
    let answer = tokio::time::timeout(AGENT_LIMIT, admin::ask(&data_dir.join(admin::SOCKET), what)).await;
    answer.ok()?.ok()
}

fn agent(status: &Value) -> Agent {
    let problems = status["problems"].as_array().into_iter().flatten();
    Agent {
        is_synced: status["synced"].as_bool().unwrap_or(false),
        generation: status["generation"].as_u64().unwrap_or(0),
        wanted_generation: status["wanted_generation"].as_u64().unwrap_or(0),
        problems: problems.filter_map(|line| line.as_str().map(str::to_owned)).collect(),
    }
}

/// The end of the certificate the agent has stored.
fn certificate_end_s(data_dir: &Path) -> Option<u64> {
    let pem = std::fs::read(data_dir.join("agent.crt")).ok()?;
    let certificate = CertificateDer::from_pem_slice(&pem).ok()?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).ok()?;
    u64::try_from(parsed.validity().not_after.timestamp()).ok()
}

/// As the running agent was told on its command line.
fn server_of(data_dir: &Path) -> Option<String> {
    let pid: u32 = std::fs::read_to_string(data_dir.join("agent.pid")).ok()?.trim().parse().ok()?;
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<String> =
        line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    server_among(&words)
}

/// `--server ADDRESS` or `--server=ADDRESS`; 8443 where no port is said.
fn server_among(words: &[String]) -> Option<String> {
    let after = words.iter().position(|word| word == "--server").and_then(|at| words.get(at + 1));
    let joined = words.iter().find_map(|word| word.strip_prefix("--server="));
    let address = after.map(String::as_str).or(joined)?;
    Some(if address.contains(':') { address.to_owned() } else { format!("{address}:8443") })
}

async fn reach(address: &str) -> Result<(), String> {
    match tokio::time::timeout(SERVER_LIMIT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", SERVER_LIMIT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_the_one_the_agent_was_started_with() {
        let words = |line: &str| line.split(' ').map(String::from).collect::<Vec<_>>();
        assert_eq!(
            server_among(&words("remuda agent --server 192.0.2.1:8443 --name h1")).as_deref(),
            Some("192.0.2.1:8443")
        );
        assert_eq!(server_among(&words("remuda agent --server=h1")).as_deref(), Some("h1:8443"));
        assert_eq!(server_among(&words("remuda agent --assignment f")), None);
    }

    #[tokio::test]
    async fn nobody_at_the_other_end_is_said_in_words() {
        let why = reach("127.0.0.1:9").await.expect_err("nobody listens there");
        assert!(why.contains("refused"), "{why}");
    }
}
